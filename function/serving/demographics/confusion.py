"""What a release answers for faces of known age and label: the part of its manifest that corrects counts.

`evaluate` counts the answers for validation faces. An answer falls into one cell of a grid: a level of the estimated
age by a label with a degree of certainty. The faces are counted by label and by group of true ages, never one by one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from serving.heads import Labels
from serving.release import ReleaseError
from serving.request_stats import AGE_BANDS

Array = npt.NDArray[np.float64]
Counts = npt.NDArray[np.int64]

MEMBER = "demographics"
"""Optional section of a manifest."""
_BANDS = "bands"
CERTAINTY = (0.6, 0.75, 0.9, 0.97)
"""Bounds between degrees of certainty: probabilities of the answered label."""
DEGREES = len(CERTAINTY) + 1
LEVELS = 64
"""Levels of the estimated age."""
YEARS = 101
"""Ages of a crowd: 0 to 99 years, and 100 or more."""
UNDIVIDED = ("",)
"""The labels of a grid that counts ages only."""


@dataclass(frozen=True)
class HeadCounts:
    """Answers for validation faces of one classification head, with L labels and G groups of true ages."""

    labels: tuple[str, ...]
    """In the order of the head's outputs."""
    levels: Counts
    """(L, G, LEVELS): faces by true label, group of true ages, and level of the estimated age."""
    answers: Counts
    """(L, G, L * DEGREES): faces by true label, group of true ages, and answered label with its degree of certainty."""

    def age_only(self) -> HeadCounts:
        """Return the same faces without the label."""
        answers = np.zeros((len(UNDIVIDED), self.answers.shape[1], len(UNDIVIDED) * DEGREES), np.int64)
        # A crowd counts every face without a label in the first column.
        answers[0, :, 0] = self.answers.sum(axis=(0, 2))
        return HeadCounts(UNDIVIDED, self.levels.sum(axis=0, keepdims=True), answers)


@dataclass(frozen=True)
class Confusion:
    """The statistics of one release."""

    faces: int
    """Validation faces that were counted."""
    scale: Array
    """(LEVELS - 1,) rising bounds between levels: means of the age distribution, in years."""
    centers: Array
    """(G,) mean true age of each group, in years, rising."""
    heads: Mapping[str, HeadCounts]
    """By classification head."""
    bands: Counts | None = None
    """(G, bands): faces by group of true ages and answered band of the request log, None if it was not counted."""

    def level(self, means: npt.NDArray[Any]) -> Counts:
        """Return the level of each mean of an age distribution, (N,) years -> (N,)."""
        found: Counts = np.searchsorted(self.scale, means, side="right").astype(np.int64)
        return found

    @cached_property
    def age_weights(self) -> Array:
        """(YEARS, G): each year of age as a mixture of the two nearest groups."""
        years = np.arange(YEARS)
        return np.stack([np.interp(years, self.centers, row) for row in np.eye(len(self.centers))], axis=1)


def answer(probabilities: npt.NDArray[Any]) -> Counts:
    """Return the column of a grid for calibrated (N, L) probabilities: the best label's degree of certainty, (N,)."""
    best = probabilities.argmax(axis=1)
    degree = np.searchsorted(CERTAINTY, probabilities.max(axis=1), side="right")
    columns: Counts = (best * DEGREES + degree).astype(np.int64)
    return columns


def section(confusion: Confusion) -> dict[str, Any]:
    """Return the manifest's section."""
    return {
        "faces": confusion.faces,
        "scale": [round(float(bound), 3) for bound in confusion.scale],
        "centers": [round(float(center), 2) for center in confusion.centers],
        **({_BANDS: _rows(confusion.bands)} if confusion.bands is not None else {}),
        **{
            head: {"levels": _written(counts.levels), "answers": _written(counts.answers)}
            for head, counts in confusion.heads.items()
        },
    }


def parse(manifest: Mapping[str, Any], labels: Labels) -> Confusion:
    """Return the statistics of a release's manifest.

    Raises:
        ReleaseError: it has none, or they are garbled.
    """
    version = manifest.get("version")
    if MEMBER not in manifest:
        raise ReleaseError(
            f"release {version} has no statistics to correct counts with: an earlier version evaluated it; run "
            "`python -m training evaluate` and publish it again, or choose another release with --model"
        )
    stated = manifest[MEMBER]
    try:
        return _confusion(stated, labels)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise ReleaseError(
            f"the section {MEMBER} of release {version} lacks or garbles {error}; publish the release again"
        ) from error


def _confusion(stated: Mapping[str, Any], labels: Labels) -> Confusion:
    scale, centers = (np.array(stated[name], np.float64) for name in ("scale", "centers"))
    if scale.shape != (LEVELS - 1,) or (np.diff(scale) < 0).any():
        raise ValueError(f"the scale, which is not {LEVELS - 1} rising ages")
    if len(centers) < 2 or (np.diff(centers) <= 0).any():
        raise ValueError("the centers, which are not two or more rising ages")
    heads = {
        head: HeadCounts(
            names,
            _read(stated[head]["levels"], (len(names), len(centers), LEVELS)),
            _read(stated[head]["answers"], (len(names), len(centers), len(names) * DEGREES)),
        )
        for head, names in labels.items()
        if head in stated
    }
    if not heads:
        raise ValueError(f"every head of {', '.join(labels)}")
    bands = None
    if _BANDS in stated:
        bands = _read([stated[_BANDS]], (1, len(centers), len(AGE_BANDS)))[0]
    return Confusion(int(stated["faces"]), scale, centers, heads, bands)


def _written(counts: Counts) -> list[list[str]]:
    """Return rows of counts as text, a number a cell; the last cells of a row are left out where they are 0."""
    return [_rows(group) for group in counts]


def _rows(counts: Counts) -> list[str]:
    return [" ".join(map(str, np.trim_zeros(row, "b"))) for row in counts]


def _read(rows: list[list[str]], shape: tuple[int, ...]) -> Counts:
    counts = np.zeros(shape, np.int64)
    if [len(groups) for groups in rows] != [shape[1]] * shape[0]:
        raise ValueError(f"counts, which are not {shape[0]} lists of {shape[1]} rows")
    for label, groups in enumerate(rows):
        for group, row in enumerate(groups):
            numbers = [int(number) for number in row.split()]
            counts[label, group, : len(numbers)] = numbers
    if (counts < 0).any() or not counts.sum(axis=2).sum(axis=0).all():
        raise ValueError("counts, which are negative, or a group without a face")
    return counts
