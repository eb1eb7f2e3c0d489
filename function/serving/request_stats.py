"""What the log tells of a request's images: counts in bins too coarse to know anybody by."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable
from typing import Any

from serving.images import DecodedImage

# First year of each band: (0-12, 13-19, 20-39, 40-59, 60+).
AGE_BAND_STARTS = (0, 13, 20, 40, 60)
AGE_BANDS = ("0-12", "13-19", "20-39", "40-59", "60+")
# pixels; the least shorter side of each bin
SIDE_STARTS = (0, 32, 64, 128, 256, 512)
SIDES = ("0-31", "32-63", "64-127", "128-255", "256-511", "512+")

Counts = dict[str, int]


class RequestStats:
    """The images of one request, counted as they are answered, from any number of threads."""

    def __init__(self, images: int) -> None:
        self.images = images
        # each answer, and its image's format and shorter side in pixels
        self._answered: list[tuple[dict[str, Any], str, int]] = []

    def add(self, prediction: dict[str, Any], image: DecodedImage) -> None:
        """One of them was answered."""
        # Appending is atomic.
        self._answered.append((prediction, image.kind, min(image.width, image.height)))

    def fields(self, heads: tuple[str, ...]) -> dict[str, Any]:
        """Fields of a line of the log: `images`, `failed` (not answered, for whatever reason), and bins with counts.

        Of the answers, only those of `heads` are counted. What there is nothing of is left out.
        """
        # A copy, for an image may be answered after its request was given up.
        answered = [*self._answered]
        predictions = [prediction for prediction, _, _ in answered]
        counts = {
            "predictions": {
                head: _count(_bin(head, prediction[head]) for prediction in predictions)
                for head in heads
                if predictions and head in predictions[0]
            },
            "warnings": _count(
                warned["code"] for prediction in predictions for warned in prediction.get("warnings", ())
            ),
            "sides": _count(SIDES[bisect_right(SIDE_STARTS, shorter) - 1] for _, _, shorter in answered),
            "formats": _count(kind for _, kind, _ in answered),
        }
        found = {"images": self.images, "failed": self.images - len(answered)}
        return found | {name: counted for name, counted in counts.items() if counted}


def age_band(years: int) -> str:
    """The one of AGE_BANDS that holds an answered age."""
    return AGE_BANDS[bisect_right(AGE_BAND_STARTS, years) - 1]


def _bin(head: str, prediction: dict[str, Any]) -> str:
    return age_band(prediction["years"]) if head == "age" else prediction["label"]


def _count(names: Iterable[str]) -> Counts:
    counts: Counts = {}
    for name in names:
        counts[name] = counts.get(name, 0) + 1
    return counts
