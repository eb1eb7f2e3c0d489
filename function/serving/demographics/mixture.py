"""Shares of ages and labels from counts of answers, by expectation maximization (Saerens et al. 2002).

Saerens, Latinne and Decaestecker (2002, Neural Computation 14(1)) multiply the posterior of each face by the ratio of
the new to the old shares, and take the mean posterior as the next shares. On counts of answers the posterior of a cell
is response x share / sum, the same for all of its faces. After each step the shares are smoothed over the ages
(Silverman et al. 1990, Journal of the Royal Statistical Society B 52(2)), because no answer tells one year
from the next.
"""

from __future__ import annotations

import numpy as np

from serving.demographics.confusion import YEARS, Array
from serving.demographics.responses import Responses

STEPS = 60
"""Steps from even shares. More change the shares of age bands by less than 0.002."""
# Years; the width of the smoothing over ages in each step.
_WIDTH = 1.3
# Faces in a crowd that speak for equal shares of the labels at every age. A face of a baby hardly shows its gender:
# where faces say little, their ages get the shares of the others.
_ALIKE = 200.0


def _smoothing() -> Array:
    """Return (YEARS, YEARS): where each age's faces go in a step."""
    years = np.arange(YEARS)
    weights = np.exp(-0.5 * (np.subtract.outer(years, years) / _WIDTH) ** 2)
    result: Array = weights / weights.sum(axis=1, keepdims=True)
    return result


_SMOOTHING = _smoothing()


def shares(counts: Array, responses: Responses, start: Array | None = None, steps: int = STEPS) -> Array:
    """Return the most likely shares of each replicate.

    Args:
        counts: (B, LEVELS, columns) faces by answer.
        responses: B replicates, or a single one.
        start: (..., L, YEARS) first shares.
        steps: number of steps.

    Returns:
        (B, L, YEARS), which sum to 1.
    """
    faces = counts.sum(axis=(1, 2))[:, None, None]
    labels = responses.levels.shape[1]
    found = np.full((len(counts), labels, YEARS), 1 / (labels * YEARS))
    if start is not None:
        found[:] = start
    by_level = np.ascontiguousarray(np.swapaxes(responses.levels, -1, -2))
    for _ in range(steps):
        expected = (by_level @ (responses.answers * found[..., None])).sum(axis=1)
        ratio = counts / np.maximum(expected, 1e-300)
        found = found * ((responses.levels @ ratio[:, None]) * responses.answers).sum(axis=-1)
        found = _alike(found @ _SMOOTHING, faces) / faces
    return found


def expected(found: Array, responses: Responses) -> Array:
    """Return the share of each answer, (B, LEVELS, columns), if (B, L, YEARS) are the shares."""
    result: Array = (np.swapaxes(responses.levels, -1, -2) @ (responses.answers * found[..., None])).sum(axis=1)
    return result


def _alike(faces: Array, total: Array) -> Array:
    """Return faces by label and age, with the labels' shares at each age drawn to those of all ages."""
    ages = faces.sum(axis=1, keepdims=True)
    weight = _ALIKE / total
    everyone = faces.sum(axis=-1, keepdims=True) / total
    result: Array = (faces + weight * ages * everyone) / (1 + weight)
    return result
