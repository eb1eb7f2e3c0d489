"""How probable each answer is for each age and label, estimated from a release's counts, with its uncertainty.

Counts of a few faces a group are noisy, and a mixture fitted with noisy responses is biased. So each distribution
borrows from the groups of ages beside it: its shape is pooled over the labels, its mean over the groups.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from serving.demographics.confusion import LEVELS, Array, Confusion, Counts, HeadCounts

# Standard deviations of the kernels over groups of ages: for the shape of the estimated age's distribution, for its
# mean, for the distance between labels, for the answered label, and for the answered band.
_SHAPE, _MEAN, _DISTANCE, _ANSWER = 1.5, 0.5, 3.0, 1.0
# The same for the answered band.
_BAND = 0.5
# Faces that weigh as much for no distance between labels as the counted faces weigh for the observed one.
_NO_DISTANCE = 10.0
# Faces of all ages that each distribution of answered labels borrows.
_BORROWED = 1.0
# Smallest width of the kernel over levels of the estimated age, in levels.
_NARROWEST = 0.6
# Faces in a resample, as a share of those counted. The faces behind the statistics are one sample of the world, and
# those of a crowd are another, with fewer people than pictures: half of the faces give the variance of two samples. But
# a crowd varies more than responses that are pooled over ages. With this share, intervals from one half of the
# validation faces cover 93 % of the crowds drawn from the other half (`tests/bench_demographics.py --cross-fit`).
_RESAMPLED = 0.3
# Replicates that are estimated together: more take more memory, and less time each.
_PORTION = 10
# Levels beyond each end, so that a moved distribution loses nothing.
_MARGIN = 20
# Probability of each level that no validation face had.
_RARE = 1e-5


@dataclass(frozen=True)
class Responses:
    """Probabilities of answers, of B replicates, for L labels."""

    levels: Array
    """(B, L, YEARS, LEVELS): of the estimated age's level."""
    answers: Array
    """(B, L, YEARS, columns): of the answered label with its degree of certainty."""


def of(confusion: Confusion, counts: HeadCounts) -> Responses:
    """Return the responses that the counts suggest, as a single replicate."""
    return _responses(confusion, counts.levels[None].astype(np.float64), counts.answers[None].astype(np.float64))


def replicates(confusion: Confusion, counts: HeadCounts, number: int, random: np.random.Generator) -> Responses:
    """Return responses of `number` resamples of the validation faces: the uncertainty of the confusion."""
    parts = [
        _responses(confusion, _resampled(counts.levels, some, random), _resampled(counts.answers, some, random))
        for some in [_PORTION] * (number // _PORTION) + [number % _PORTION] * (number % _PORTION > 0)
    ]
    return Responses(np.concatenate([part.levels for part in parts]), np.concatenate([part.answers for part in parts]))


def of_bands(confusion: Confusion, number: int, random: np.random.Generator) -> tuple[Array, Array]:
    """Return the distributions of the answered band, (1, YEARS, bands), and (number, YEARS, bands) replicates.

    Raises:
        ValueError: the release has no counts of bands.
    """
    if confusion.bands is None:
        raise ValueError("a release without counts of answered bands")
    counts = confusion.bands[None]
    one = _answers(confusion.age_weights, counts[None].astype(np.float64), _BAND)[:, 0]
    return one, _answers(confusion.age_weights, _resampled(counts, number, random), _BAND)[:, 0]


def _resampled(counts: Counts, number: int, random: np.random.Generator) -> Array:
    """Return resamples of each row: (L, G, cells) -> (number, L, G, cells)."""
    totals = counts.sum(axis=-1)
    shares = counts / np.maximum(totals, 1)[..., None]
    shares[totals == 0] = 1 / counts.shape[-1]
    some = np.ceil(totals * _RESAMPLED).astype(np.int64)
    drawn: Array = random.multinomial(some, shares, size=(number, *totals.shape)) / _RESAMPLED
    return drawn


def _responses(confusion: Confusion, levels: Array, answers: Array) -> Responses:
    return Responses(_levels(confusion.age_weights, levels), _answers(confusion.age_weights, answers))


def _levels(age_weights: Array, counts: Array) -> Array:
    """Return the distributions of the estimated age: (B, L, G, LEVELS) counts -> (B, L, YEARS, LEVELS)."""
    groups, level = counts.shape[-2], np.arange(LEVELS)
    pooled = counts.sum(axis=1)
    faces = pooled.sum(axis=-1)
    means = (pooled @ level) / faces
    # The estimate for women is lower than for men of the same age, and the like.
    own = counts.sum(axis=-1)
    near = _kernel(groups, _DISTANCE)
    distances = ((counts @ level - own * means[:, None]) @ near) / (own @ near + _NO_DISTANCE)
    shape = np.einsum("bgl,gh->bhl", _moved(_padded(pooled), LEVELS / 2 - means), _kernel(groups, _SHAPE))
    near = _kernel(groups, _MEAN)
    means = ((means * faces) @ near) / (faces @ near)
    shape = age_weights @ _smoothed(shape)
    by = (means[:, None] + distances) @ age_weights.T - LEVELS / 2
    found = _trimmed(_moved(np.broadcast_to(shape[:, None], (*by.shape, shape.shape[-1])), by)) + _RARE
    result: Array = found / found.sum(axis=-1, keepdims=True)
    return result


def _answers(age_weights: Array, counts: Array, width: float = _ANSWER) -> Array:
    """Return the distributions of the answered label: (B, L, G, columns) counts -> (B, L, YEARS, columns)."""
    near = np.einsum("blgc,gh->blhc", counts, _kernel(counts.shape[-2], width))
    everyone = counts.sum(axis=-2, keepdims=True) + 0.1
    borrowed = near + _BORROWED * everyone / everyone.sum(axis=-1, keepdims=True)
    result: Array = age_weights @ (borrowed / borrowed.sum(axis=-1, keepdims=True))
    return result


def _kernel(groups: int, width: float) -> Array:
    distance = np.subtract.outer(np.arange(groups), np.arange(groups)) / width
    weights: Array = np.exp(-0.5 * distance**2)
    return weights


def _smoothed(shape: Array) -> Array:
    """Return (B, G, cells) distributions, smoothed with the width of Silverman (1986, Density Estimation, 3.31)."""
    faces = shape.sum(axis=-1, keepdims=True)
    cumulative = np.cumsum(shape, axis=-1) / faces
    quartiles = (cumulative < 0.75).sum(axis=-1) - (cumulative < 0.25).sum(axis=-1)
    widths = np.maximum(0.9 * quartiles / 1.34 * faces[..., 0] ** -0.2, _NARROWEST)
    cells = np.arange(shape.shape[-1])
    weights = np.exp(-0.5 * (np.subtract.outer(cells, cells) / widths[..., None, None]) ** 2)
    weights /= weights.sum(axis=-1, keepdims=True)
    result: Array = np.einsum("bgc,bgcd->bgd", shape / faces, weights)
    return result


def _padded(counts: Array) -> Array:
    return np.pad(counts, [(0, 0)] * (counts.ndim - 1) + [(_MARGIN, _MARGIN)])


def _trimmed(cells: Array) -> Array:
    """Add the cells of each margin to the level beside it."""
    kept = cells[..., _MARGIN:-_MARGIN].copy()
    kept[..., 0] += cells[..., :_MARGIN].sum(axis=-1)
    kept[..., -1] += cells[..., -_MARGIN:].sum(axis=-1)
    return kept


def _moved(cells: Array, by: Array) -> Array:
    """Return distributions moved by so many cells, to the right if positive: (..., cells), (...) -> (..., cells)."""
    whole = np.floor(by).astype(np.int64)
    share = (by - whole)[..., None]
    source = np.arange(cells.shape[-1]) - whole[..., None]
    return (1 - share) * _taken(cells, source) + share * _taken(cells, source - 1)


def _taken(cells: Array, source: Counts) -> Array:
    last = cells.shape[-1] - 1
    found: Array = np.where(
        (source >= 0) & (source <= last), np.take_along_axis(cells, np.clip(source, 0, last), axis=-1), 0.0
    )
    return found
