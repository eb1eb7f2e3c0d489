"""Counts of a request's images and predictions for the log, in bins too coarse to identify a person."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable
from typing import Any

from serving.images import DecodedImage

AGE_BAND_STARTS = (0, 13, 20, 40, 60)
"""First year of each age band."""
AGE_BANDS = ("0-12", "13-19", "20-39", "40-59", "60+")
SIDE_STARTS = (0, 32, 64, 128, 256, 512)
"""Lower bound of each bin of an image's shorter side, in pixels."""
SIDES = ("0-31", "32-63", "64-127", "128-255", "256-511", "512+")

Counts = dict[str, int]


class RequestStats:
    """Counts of one request, added up from any number of threads."""

    def __init__(self, images: int) -> None:
        self.images = images
        # Prediction, and its image's format and shorter side in pixels.
        self._predicted: list[tuple[dict[str, Any], str, int]] = []
        # Faces of each whole image.
        self._photos: list[int] = []

    def add(self, prediction: dict[str, Any], image: DecodedImage) -> None:
        """Count a prediction and its image."""
        # append is atomic.
        self._predicted.append((prediction, image.kind, min(image.width, image.height)))

    def add_photo(self, faces: list[tuple[dict[str, Any], DecodedImage]]) -> None:
        """Count a whole image, and the prediction and the crop of each face in it."""
        for prediction, crop in faces:
            self.add(prediction, crop)
        self._photos.append(len(faces))

    def fields(self, heads: tuple[str, ...]) -> dict[str, Any]:
        """Return fields of a log line: `images`, `failed` (images without a prediction), and the counts by bin.

        Only predictions of `heads` are counted. Empty counts are omitted.
        """
        # A copy: a worker may finish an image of a request that already failed.
        predicted = [*self._predicted]
        photos = [*self._photos]
        predictions = [prediction for prediction, _, _ in predicted]
        counts = {
            "predictions": {
                head: _count(_bin(head, prediction[head]) for prediction in predictions)
                for head in heads
                if predictions and head in predictions[0]
            },
            "warnings": _count(
                warned["code"] for prediction in predictions for warned in prediction.get("warnings", ())
            ),
            "sides": _count(SIDES[bisect_right(SIDE_STARTS, shorter) - 1] for _, _, shorter in predicted),
            "formats": _count(kind for _, kind, _ in predicted),
        }
        succeeded = len(predicted) - sum(photos) + len(photos)
        found = {"images": self.images, "failed": self.images - succeeded}
        if photos:
            found |= {"photos": len(photos), "faces": sum(photos)}
        return found | {name: counted for name, counted in counts.items() if counted}


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
