"""A crowd as counts of answers: all that its shares are estimated from. Crowds add up in any order."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from serving.demographics import confusion
from serving.demographics.confusion import DEGREES, LEVELS, UNDIVIDED, YEARS, Confusion, Counts
from serving.heads import AGE

NOTHING = ""
"""The grid of ages without a label, where no head is enabled."""


@dataclass(frozen=True)
class Crowd:
    """Counts of answers."""

    years: Counts
    """(L, YEARS): faces by answered label of the first grid and by answered age, the last of 100 years or more."""
    grids: Mapping[str, Counts]
    """By head, (LEVELS, L * DEGREES): faces by level of the estimated age, and by answered label with its certainty."""

    @classmethod
    def empty(cls, known: Confusion, heads: tuple[str, ...]) -> Self:
        """Return a crowd without a face, with a grid for each head that the release has statistics of."""
        sizes = {head: len(counts.labels) for head, counts in known.heads.items() if head in heads}
        sizes = sizes or {NOTHING: len(UNDIVIDED)}
        return cls(
            np.zeros((next(iter(sizes.values())), YEARS), np.int64),
            {head: np.zeros((LEVELS, labels * DEGREES), np.int64) for head, labels in sizes.items()},
        )

    @property
    def faces(self) -> int:
        """The number of faces."""
        return int(self.years.sum())

    def add(
        self,
        known: Confusion,
        years: npt.NDArray[Any],
        means: npt.NDArray[Any],
        probabilities: Mapping[str, npt.NDArray[Any]],
    ) -> None:
        """Count N answers.

        Args:
            known: the statistics of the release that answered.
            years: (N,) answered ages.
            means: (N,) means of the age distributions, years.
            probabilities: calibrated, (N, L) for each head of `grids`.
        """
        levels = known.level(means)
        columns = {
            head: np.zeros(len(levels), np.int64) if head == NOTHING else confusion.answer(probabilities[head])
            for head in self.grids
        }
        label = next(iter(columns.values())) // DEGREES
        np.add.at(self.years, (label, np.clip(np.rint(years).astype(np.int64), 0, YEARS - 1)), 1)
        for head, grid in self.grids.items():
            np.add.at(grid, (levels, columns[head]), 1)

    def __add__(self, other: Crowd) -> Crowd:
        return Crowd(self.years + other.years, {head: grid + other.grids[head] for head, grid in self.grids.items()})

    def as_json(self) -> dict[str, Any]:
        """Return the counts for a file or a request."""
        return {AGE: self.years.tolist(), **{head: grid.tolist() for head, grid in self.grids.items()}}

    @classmethod
    def parse(cls, stated: Mapping[str, Any]) -> Self:
        """Return the crowd of `as_json`."""
        arrays = {name: np.array(counts, np.int64) for name, counts in stated.items()}
        return cls(arrays.pop(AGE), arrays)
