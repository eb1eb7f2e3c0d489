"""Age distributions of validation faces -> how much of each to cut off, so that intervals cover what they state.

One level for all ages would do overall and fail in groups: a network draws ages towards where most faces are, so that
its intervals are too wide for children and too narrow for teenagers. Here the levels depend on the answered age, and
are the ones with the narrowest intervals among those that cover the wanted share overall and in every age band.
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

# years; answered ages at which levels are fitted, closest where labels change fastest
KNOTS = (2.0, 10.0, 18.0, 25.0, 35.0, 50.0, 70.0)
# validation faces nearest to a knot below which it is left out, and in a band below which the band is not looked at
_FEWEST_FACES = 40
_TAILS = np.linspace(0.005, 0.45, 90)
# places in _TAILS that a search moves by, coarse to fine
_STRIDES = (12, 6, 3, 1)
# years of width that a whole share of missing coverage is worth, overall and in one band
_OVERALL_PENALTY = 200.0
_BAND_PENALTY = 60.0
# share by which the overall coverage may exceed what is stated before it counts as missing its aim
_SLACK = 0.005
# A fit follows the faces it sees, the fewer the closer: levels fitted on two thirds of the validation faces covered
# 75.5 % of the teenagers among the other third, where 80 % were asked for. So a band is asked for more the fewer faces
# it has: this many standard errors above a floor that lies this far below what is stated.
_BAND_ERRORS = 1.5
_BAND_FLOOR = 0.02


@dataclass(frozen=True)
class Levels:
    """Years of median answers, rising, and the lower and upper level of the distribution at each."""

    at: tuple[float, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]


def covered(low: npt.NDArray[Any], high: npt.NDArray[Any], ages: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
    """Whether each labelled age lies in its answered interval, all in whole years."""
    result: npt.NDArray[np.bool_] = (ages >= low) & (ages <= high)
    return result


def fit(distribution: npt.NDArray[Any], ages: npt.NDArray[Any], coverage: float) -> Levels:
    """The levels with the narrowest intervals that cover `coverage` of the faces, and about as many in every age band.

    Args:
        distribution: (N, years) probabilities for faces that were not trained on.
        ages: (N,) labelled years.
        coverage: share of the faces.
    """
    search = _Search(distribution, ages.astype(np.float64), coverage)
    tails = search.best()
    low, high = np.round(_TAILS[tails[0]], 4), np.round(1 - _TAILS[tails[1]], 4)
    return Levels(tuple(map(float, search.knots)), tuple(map(float, low)), tuple(map(float, high)))


class _Search:
    """Coordinate descent over places in _TAILS, (2, knots): the tails below and above."""

    def __init__(self, distribution: npt.NDArray[Any], ages: Array, coverage: float) -> None:
        (self.years,) = age_levels(distribution, (0.5,))
        self.low, self.high = age_levels(distribution, _TAILS), age_levels(distribution, 1 - _TAILS)
        # Answers are whole years.
        self.above, self.below = ages >= np.rint(self.low), ages <= np.rint(self.high)
        self.coverage = coverage
        self.knots = _knots(self.years)
        bands = band(ages)
        counts = np.bincount(bands, minlength=len(AGE_BANDS))
        self.bands = [bands == number for number in np.flatnonzero(counts >= _FEWEST_FACES)]
        self.goals = [_goal(coverage, int(mask.sum())) for mask in self.bands]

    def best(self) -> npt.NDArray[np.int64]:
        """The places with the lowest cost that no single move betters."""
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
        """Years: the mean width, and penalties for what is not covered."""
        faces = np.arange(len(self.years))
        below, above = (np.rint(np.interp(self.years, self.knots, row)).astype(np.int64) for row in tails)
        hits = self.above[below, faces] & self.below[above, faces]
        overall = hits.mean()
        missing = max(0.0, self.coverage - overall) + max(0.0, overall - self.coverage - _SLACK)
        uneven = sum(max(0.0, goal - hits[mask].mean()) for goal, mask in zip(self.goals, self.bands, strict=True))
        width = (self.high[above, faces] - self.low[below, faces]).mean()
        return float(width + _OVERALL_PENALTY * missing + _BAND_PENALTY * uneven)


def _goal(coverage: float, faces: int) -> float:
    """The share that a band of that many faces is asked to have covered."""
    return coverage - _BAND_FLOOR + _BAND_ERRORS * math.sqrt(coverage * (1 - coverage) / faces)


def _knots(years: Array) -> npt.NDArray[np.float64]:
    """The knots that have enough answers around them; one alone where there are too few faces for any."""
    knots = np.array(KNOTS)
    nearest = np.abs(years[:, None] - knots).argmin(axis=1)
    enough = knots[np.bincount(nearest, minlength=len(knots)) >= _FEWEST_FACES]
    return enough if len(enough) else np.array([np.median(years).round(1)])
