"""Probabilities of one answer as whole numbers, and back as arrays of many answers.

A choice has one number a label, in the order of the release's labels. The age has the first year with a share, then the
share of that year and of each year after it. Shares are parts of 10,000.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from serving.prediction import PARTS

# Years; the oldest that an age may begin with.
_OLDEST = 200


def write(probabilities: npt.NDArray[Any]) -> list[int]:
    """Return the numbers of one choice's (L,) probabilities."""
    numbers: list[int] = np.rint(probabilities * PARTS).astype(np.int64).tolist()
    return numbers


def write_age(distribution: npt.NDArray[Any]) -> list[int]:
    """Return the numbers of one (years,) distribution of the age."""
    parts = np.rint(distribution * PARTS).astype(np.int64)
    (years,) = parts.nonzero()
    if not len(years):
        # Spread so evenly that no year has half a part. Its mean stays.
        return [round(float(distribution @ np.arange(len(distribution)) / distribution.sum())), PARTS]
    numbers: list[int] = parts[years[0] : years[-1] + 1].tolist()
    return [int(years[0]), *numbers]


def read_choice(numbers: Sequence[Sequence[int]], labels: int) -> npt.NDArray[np.float64]:
    """Return the (N, L) probabilities of N answers.

    Raises:
        ValueError, TypeError: an answer has another number of labels, or no shares.
    """
    parts = np.array(numbers, np.float64).reshape(len(numbers), labels)
    totals = parts.sum(axis=1, keepdims=True)
    if not (np.isfinite(parts).all() and (parts >= 0).all() and (totals > 0).all()):
        raise ValueError("a share that is negative, or no share at all")
    shares: npt.NDArray[np.float64] = parts / totals
    return shares


def read_mean_ages(numbers: Sequence[Sequence[int]]) -> npt.NDArray[np.float64]:
    """Return the (N,) means of N age distributions, years.

    Raises:
        ValueError, TypeError: an answer has no distribution.
    """
    lengths = np.array([len(each) - 1 for each in numbers])
    if not len(lengths):
        return np.empty(0)
    if (lengths < 1).any():
        raise ValueError("an age without shares")
    flat = np.array([number for each in numbers for number in each], np.float64)
    begin = np.concatenate([[0], np.cumsum(lengths + 1)[:-1]])
    first = flat[begin]
    parts = np.delete(flat, begin)
    starts = begin - np.arange(len(begin))
    years = np.arange(len(parts)) - np.repeat(starts, lengths)
    totals = np.add.reduceat(parts, starts)
    if not (np.isfinite(flat).all() and (flat >= 0).all() and (totals > 0).all() and (first <= _OLDEST).all()):
        raise ValueError("a share that is negative, or no share at all")
    means: npt.NDArray[np.float64] = first + np.add.reduceat(parts * years, starts) / totals
    return means
