"""A request's images and predictions for the log: counts in bins too coarse to identify a person.

The estimates of each face are logged only where a setting asks for them.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable
from typing import Any, NamedTuple

from serving.images import DecodedImage

AGE_BAND_STARTS = (0, 13, 20, 40, 60)
"""First year of each age band."""
AGE_BANDS = ("0-12", "13-19", "20-39", "40-59", "60+")
SIDE_STARTS = (0, 32, 64, 128, 256, 512)
"""Lower bound of each bin of the shorter side of an image or of a face's crop, in pixels."""
SIDES = ("0-31", "32-63", "64-127", "128-255", "256-511", "512+")

MOST_LOGGED = 1000
"""Faces of one request whose estimates a log line can have. A line of Cloud Logging has at most 256 KiB."""

Counts = dict[str, int]
Logged = list[list[dict[str, Any]] | None]


class _Predicted(NamedTuple):
    prediction: dict[str, Any]
    kind: str
    """Format of the image."""
    shorter: int
    """Pixels of the shorter side, of a face that was found: of its crop."""


class RequestStats:
    """Counts of one request, added up from any number of threads."""

    def __init__(self, images: int) -> None:
        self.images = images
        # The predictions of each image, and whether it is a whole one.
        self._done: list[tuple[bool, list[_Predicted]]] = []
        self._results: list[dict[str, Any]] = []

    def add(self, prediction: dict[str, Any], image: DecodedImage) -> None:
        """Count a prediction and its image."""
        # append is atomic.
        self._done.append((False, [_predicted(prediction, image)]))

    def add_photo(self, faces: list[tuple[dict[str, Any], DecodedImage]]) -> None:
        """Count a whole image, and the prediction and the crop of each face in it."""
        self._done.append((True, [_predicted(*face) for face in faces]))

    def keep(self, results: list[dict[str, Any]]) -> None:
        """Remember the result of each image, in order, for `estimates`."""
        self._results = results

    def estimates(self, heads: tuple[str, ...]) -> dict[str, Logged]:
        """Return the field `estimates` of a log line: for each image its faces, or None for an image with an error.

        An age is [years, low, high], a label [label, probability]. After MOST_LOGGED faces the list ends. There is no
        field without heads, or where the request failed.
        """
        logged: Logged = []
        faces = 0
        for result in self._results if heads else ():
            found = None if "error" in result else result.get("faces", [result])
            faces += len(found or ())
            if faces > MOST_LOGGED:
                break
            logged.append(found and [_estimates(face, heads) for face in found])
        return {"estimates": logged} if logged else {}

    def fields(self, heads: tuple[str, ...]) -> dict[str, Any]:
        """Return fields of a log line: `images`, `failed` (images with an error), and the counts by bin.

        If faces were to be found: `photos` (images that were searched) and `faces` (those that were found), too. Only
        predictions of `heads` are counted. Empty counts are omitted.
        """
        # A copy: a worker may finish an image of a request that already failed.
        done = [*self._done]
        predicted = [each for _, faces in done for each in faces]
        photos = [len(faces) for whole, faces in done if whole]
        predictions = [each.prediction for each in predicted]
        counts = {
            "predictions": {
                head: _count(_bin(head, prediction[head]) for prediction in predictions)
                for head in heads
                if predictions and head in predictions[0]
            },
            "warnings": _count(
                warned["code"] for prediction in predictions for warned in prediction.get("warnings", ())
            ),
            "sides": _count(SIDES[bisect_right(SIDE_STARTS, each.shorter) - 1] for each in predicted),
            "formats": _count(each.kind for each in predicted),
        }
        found = {"images": self.images, "failed": self.images - len(done)}
        if photos:
            found |= {"photos": len(photos), "faces": sum(photos)}
        return found | {name: counted for name, counted in counts.items() if counted}


def _predicted(prediction: dict[str, Any], image: DecodedImage) -> _Predicted:
    return _Predicted(prediction, image.kind, min(image.width, image.height))


def _estimates(face: dict[str, Any], heads: tuple[str, ...]) -> dict[str, Any]:
    return {head: [*face[head].values()] for head in heads if head in face}


def age_band(years: int) -> str:
    """Return the one of AGE_BANDS that contains an age."""
    return AGE_BANDS[bisect_right(AGE_BAND_STARTS, years) - 1]


def _bin(head: str, prediction: dict[str, Any]) -> str:
    return age_band(prediction["years"]) if head == "age" else prediction["label"]


def _count(names: Iterable[str]) -> Counts:
    counts: Counts = {}
    for name in names:
        counts[name] = counts.get(name, 0) + 1
    return counts
