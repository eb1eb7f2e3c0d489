"""What the log tells of a request's pictures: counts in bins too coarse to know anybody by."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable
from typing import Any

from serving.images import Picture

# First year of each band: (0-12, 13-19, 20-39, 40-59, 60+).
AGE_BAND_STARTS = (0, 13, 20, 40, 60)
AGE_BANDS = ("0-12", "13-19", "20-39", "40-59", "60+")
# pixels; the least shorter side of each bin
SIDE_STARTS = (0, 32, 64, 128, 256, 512)
SIDES = ("0-31", "32-63", "64-127", "128-255", "256-511", "512+")

Counts = dict[str, int]


class Tally:
    """The pictures of one request, counted as they are answered, from any number of threads."""

    def __init__(self, pictures: int) -> None:
        self.pictures = pictures
        # each answer, and its picture's format and shorter side in pixels
        self._answered: list[tuple[dict[str, Any], str, int]] = []

    def add(self, answer: dict[str, Any], picture: Picture) -> None:
        """One of them was answered."""
        # Appending is atomic.
        self._answered.append((answer, picture.kind, min(picture.width, picture.height)))

    def fields(self, heads: tuple[str, ...]) -> dict[str, Any]:
        """Fields of a line of the log: `images`, `failed` (not answered, for whatever reason), and bins with counts.

        Of the answers, only those of `heads` are counted. What there is nothing of is left out.
        """
        # A copy, for a picture may be answered after its request was given up.
        answered = [*self._answered]
        answers = [answer for answer, _, _ in answered]
        counts = {
            "predictions": {
                head: _count(_bin(head, answer[head]) for answer in answers)
                for head in heads
                if answers and head in answers[0]
            },
            "warnings": _count(warned["code"] for answer in answers for warned in answer.get("warnings", ())),
            "sides": _count(SIDES[bisect_right(SIDE_STARTS, shorter) - 1] for _, _, shorter in answered),
            "formats": _count(kind for _, kind, _ in answered),
        }
        found = {"images": self.pictures, "failed": self.pictures - len(answered)}
        return found | {name: counted for name, counted in counts.items() if counted}


def age_band(years: int) -> str:
    """The one of AGE_BANDS that holds an answered age."""
    return AGE_BANDS[bisect_right(AGE_BAND_STARTS, years) - 1]


def _bin(head: str, answer: dict[str, Any]) -> str:
    return age_band(answer["years"]) if head == "age" else answer["label"]


def _count(names: Iterable[str]) -> Counts:
    counts: Counts = {}
    for name in names:
        counts[name] = counts.get(name, 0) + 1
    return counts
