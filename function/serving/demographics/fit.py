"""Goodness of fit: whether the corrected shares explain the answers.

The correction assumes that the release answers as it did for the validation faces of the same age and label. Pictures
of another kind break that (concept shift). Then no shares explain the answers, which this test detects in part.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from serving.demographics import mixture
from serving.demographics.confusion import LEVELS, Array
from serving.demographics.responses import Responses

# Levels of the estimated age in one cell of the test.
_POOLED = 8
# A poor fit is improbable, and concerns so large a share of the answers that figures change.
_IMPROBABLE = 0.025
_NOTICEABLE = 0.03


class Fit(NamedTuple):
    """How well a mixture explains the answers."""

    distance: float
    """Share of the answers that would have to be others (total variation), beyond what chance explains."""
    probability: float
    """How often crowds that the mixture explains fit no better."""

    @property
    def poor(self) -> bool:
        """Whether the correction is not to be trusted for these pictures."""
        return self.probability < _IMPROBABLE and self.distance > _NOTICEABLE


def measure(grid: Array, found: Array, one: Responses, many: Responses, random: np.random.Generator) -> Fit:
    """Compare the answers with those that the shares explain.

    Args:
        grid: (LEVELS, columns) faces by answer.
        found: (1, L, YEARS) shares.
        one: the responses.
        many: replicates of the responses, so that a fit is judged against their uncertainty.
        random: draws crowds that the shares explain.
    """
    faces = int(grid.sum())
    explained = _cells(mixture.expected(found, one))[0]
    each = _cells(mixture.expected(np.repeat(found, len(many.levels), axis=0), many))
    drawn = np.stack([random.multinomial(faces, shares / shares.sum()) for shares in each]) / faces
    observed = _cells(grid[None])[0] / faces
    chance = _variation(drawn, explained)
    distance = float(_variation(observed, explained))
    probability = float((1 + (chance >= distance).sum()) / (1 + len(chance)))
    return Fit(max(0.0, distance - float(np.median(chance))), probability)


def _variation(shares: Array, explained: Array) -> Array:
    result: Array = np.abs(shares - explained).sum(axis=-1) / 2
    return result


def _cells(answers: Array) -> Array:
    """Return (B, LEVELS, columns) with pooled levels, flat."""
    result: Array = answers.reshape(len(answers), LEVELS // _POOLED, _POOLED, -1).sum(axis=2).reshape(len(answers), -1)
    return result
