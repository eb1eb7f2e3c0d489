"""Calibrated age intervals: quantile levels of the age distribution, fitted on validation faces.

A single pair of levels reaches the nominal coverage overall but not in groups: predictions are biased towards frequent
ages, so intervals are too wide for children and too narrow for teenagers. Here the levels depend on the predicted age.
The fit finds the narrowest intervals with the nominal coverage overall and in every age band.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from serving.predictor import Array, age_levels
from serving.request_stats import AGE_BANDS
from training.labels import band

# Predicted ages in years at which levels are fitted, closest where labels change fastest.
KNOTS = (2.0, 10.0, 18.0, 25.0, 35.0, 50.0, 70.0)
# Smallest number of validation faces nearest to a knot, and in an age band. Others are left out.
_FEWEST_FACES = 40
_TAILS = np.linspace(0.005, 0.45, 90)
# Added to the probability of each year of a face with a range.
_TINY = 1e-6
# Steps of the search in indices of _TAILS, from coarse to fine.
_STRIDES = (12, 6, 3, 1)
# Penalty in years of width for a coverage of 0 instead of 1, overall and in one band.
_OVERALL_PENALTY = 200.0
_BAND_PENALTY = 60.0
# Share by which the overall coverage may exceed the nominal one without penalty.
_SLACK = 0.005
# A fit on few faces overfits. Levels fitted on two thirds of the validation faces covered 75.5 % of the teenagers in
# the rest, at a nominal 80 %. So a band with fewer faces has a higher goal: _BAND_ERRORS standard errors above a floor
# that is _BAND_FLOOR below the nominal coverage.
_BAND_ERRORS = 1.5
_BAND_FLOOR = 0.02


@dataclass(frozen=True)
class Levels:
    """Quantile levels of the age intervals, to be interpolated over the predicted age."""

    at: tuple[float, ...]
    """Predicted median ages in years, ascending."""
    low: tuple[float, ...]
    """Lower quantile level at each age."""
    high: tuple[float, ...]
    """Upper quantile level at each age."""


def covered(low: npt.NDArray[Any], high: npt.NDArray[Any], ages: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
    """Return (N,) whether each interval contains the labelled age, all in whole years."""
    result: npt.NDArray[np.bool_] = (ages >= low) & (ages <= high)
    return result


def fit(distribution: npt.NDArray[Any], low: npt.NDArray[Any], high: npt.NDArray[Any], coverage: float) -> Levels:
    """Fit the levels with the narrowest intervals that reach `coverage` overall and, within noise, in every age band.

    A range of ages counts by the probability that its age is in the interval, given the range: the self-consistency of
    Turnbull (1976, Journal of the Royal Statistical Society B 38(3)). An exact age counts 0 or 1.

    Args:
        distribution: (N, years) probabilities for faces that were not trained on.
        low: (N,) labelled ages in years, or the lowest ages of ranges.
        high: (N,) the same ages, or the highest ages of ranges.
        coverage: nominal coverage, from 0 to 1.
    """
    search = _Search(distribution, low.astype(np.float64), high.astype(np.float64), coverage)
    tails = search.best()
    low, high = np.round(_TAILS[tails[0]], 4), np.round(1 - _TAILS[tails[1]], 4)
    return Levels(tuple(map(float, search.knots)), tuple(map(float, low)), tuple(map(float, high)))


class _Search:
    """Coordinate descent over (2, knots) indices of _TAILS: the lower and the upper tails."""

    def __init__(self, distribution: npt.NDArray[Any], ages: Array, oldest: Array, coverage: float) -> None:
        (self.years,) = age_levels(distribution, (0.5,))
        self.low, self.high = age_levels(distribution, _TAILS), age_levels(distribution, 1 - _TAILS)
        # Predictions are whole years.
        self.above, self.below = ages >= np.rint(self.low), ages <= np.rint(self.high)
        self.ranged = np.flatnonzero(oldest > ages)
        self.inside = _Inside(distribution[self.ranged], ages[self.ranged], oldest[self.ranged])
        self.coverage = coverage
        self.knots = _knots(self.years)
        # A range counts for the band that holds all of it.
        bands = np.where(band(ages) == band(oldest), band(ages), len(AGE_BANDS))
        counts = np.bincount(bands, minlength=len(AGE_BANDS))[: len(AGE_BANDS)]
        self.bands = [bands == number for number in np.flatnonzero(counts >= _FEWEST_FACES)]
        self.goals = [_goal(coverage, int(mask.sum())) for mask in self.bands]

    def best(self) -> npt.NDArray[np.int64]:
        """Return the indices at a local minimum of the cost."""
        tails = np.full((2, len(self.knots)), len(_TAILS) // 4)
        cost = self.cost(tails)
        for stride in _STRIDES:
            improved = True
            while improved:
                improved = False
                for place in np.ndindex(*tails.shape):
                    for step in (-stride, stride):
                        moved = tails.copy()
                        moved[place] = np.clip(moved[place] + step, 0, len(_TAILS) - 1)
                        if (found := self.cost(moved)) < cost - 1e-9:
                            tails, cost, improved = moved, found, True
        return tails

    def cost(self, tails: npt.NDArray[np.int64]) -> float:
        """Return the mean width in years plus penalties for missing coverage."""
        faces = np.arange(len(self.years))
        below, above = (np.rint(np.interp(self.years, self.knots, row)).astype(np.int64) for row in tails)
        hits = (self.above[below, faces] & self.below[above, faces]).astype(np.float64)
        if len(self.ranged):
            lows, highs = self.low[below, faces], self.high[above, faces]
            hits[self.ranged] = self.inside.shares(np.rint(lows[self.ranged]), np.rint(highs[self.ranged]))
        overall = hits.mean()
        missing = max(0.0, self.coverage - overall) + max(0.0, overall - self.coverage - _SLACK)
        uneven = sum(max(0.0, goal - hits[mask].mean()) for goal, mask in zip(self.goals, self.bands, strict=True))
        width = (self.high[above, faces] - self.low[below, faces]).mean()
        return float(width + _OVERALL_PENALTY * missing + _BAND_PENALTY * uneven)


class _Inside:
    """The distributions of faces with a range of ages, given their range."""

    def __init__(self, distribution: npt.NDArray[Any], low: Array, high: Array) -> None:
        # Up to the end of each year, from year -1. A range without any probability counts by its years.
        self.cumulative = np.pad(np.cumsum(distribution.astype(np.float64) + _TINY, axis=1), ((0, 0), (1, 0)))
        self.low, self.high = low, high

    def shares(self, low: Array, high: Array) -> Array:
        """Return (N,) probabilities that the age is between (N,) `low` and `high`, given its range."""
        whole = self._between(self.low, self.high)
        return self._between(np.maximum(low, self.low), np.minimum(high, self.high)) / whole

    def _between(self, low: Array, high: Array) -> Array:
        faces = np.arange(len(low))
        found = self.cumulative[faces, high.astype(np.int64) + 1] - self.cumulative[faces, low.astype(np.int64)]
        shares: Array = np.where(high >= low, found, 0.0)
        return shares


def _goal(coverage: float, faces: int) -> float:
    """Return the coverage that the fit requires of a band with that many faces."""
    return coverage - _BAND_FLOOR + _BAND_ERRORS * math.sqrt(coverage * (1 - coverage) / faces)


def _knots(years: Array) -> npt.NDArray[np.float64]:
    """Return the knots with enough predictions around them, or the median age if there is none."""
    knots = np.array(KNOTS)
    nearest = np.abs(years[:, None] - knots).argmin(axis=1)
    enough = knots[np.bincount(nearest, minlength=len(knots)) >= _FEWEST_FACES]
    return enough if len(enough) else np.array([np.median(years).round(1)])
