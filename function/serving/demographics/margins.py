"""Shares of labels and of age bands from counts of each alone, as the request log and private summaries have them.

Nothing tells which label the faces of a band have. The estimate treats both as independent; the shares of bands and of
labels depend little on it.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from serving.demographics import mixture, responses
from serving.demographics.bands import DEFAULT
from serving.demographics.confusion import DEGREES, Array
from serving.demographics.crowd import NOTHING
from serving.demographics.responses import Responses
from serving.demographics.summary import REPLICATES, Corrector, Figure, figure
from serving.heads import AGE

# Steps from even shares; five bands need more than a grid of levels.
_STEPS = 60


class NoBandsError(ValueError):
    """The statistics have no counts of answered age bands."""


def figures(
    bands: Array, labels: Mapping[str, Array], corrector: Corrector, scale: float = 0.0
) -> dict[str, dict[str, Figure]]:
    """Return the shares of the age bands of the request log and of labels, by head.

    Args:
        bands: (bands,) faces by answered band.
        labels: (L,) faces by answered label, for each head.
        corrector: of the release.
        scale: of the noise that the counts have (see `noise.added`), 0 for none.

    Raises:
        NoBandsError: an earlier version evaluated the release.
    """
    if corrector.known.bands is None:
        raise NoBandsError("the release has no counts of answered age bands")
    random = np.random.default_rng(corrector.known.faces)
    one, many = responses.of_bands(corrector.known, REPLICATES, random)
    found: dict[str, dict[str, Figure]] = {}
    for head, counts in labels.items():
        own = [_coarse(*pair) for pair in zip(corrector.responses(head), (one, many), strict=True)]
        shares, replicates = _shares(bands, counts, own[0], own[1], scale)
        if AGE not in found:
            found[AGE] = {
                band.name: figure(band.share(shares.sum(axis=0)), band.share(replicates.sum(axis=1)), counted)
                for band, counted in zip(DEFAULT, bands / bands.sum(), strict=True)
            }
        if head == NOTHING:
            continue
        found[head] = {
            label: figure(shares[number].sum(), replicates[:, number].sum(axis=1), counts[number] / counts.sum())
            for number, label in enumerate(corrector.known.heads[head].labels)
        }
    return found


def _coarse(fine: Responses, bands: Array) -> Responses:
    """Return the responses to bands instead of levels, and to labels without a degree."""
    answers = fine.answers.reshape(*fine.answers.shape[:-1], -1, DEGREES).sum(axis=-1)
    return Responses(np.repeat(bands[:, None], answers.shape[1], axis=1), answers)


def _shares(bands: Array, labels: Array, one: Responses, many: Responses, scale: float) -> tuple[Array, Array]:
    """Return (L, YEARS) shares and (B, L, YEARS) replicates, from (bands,) and (L,) counts."""
    faces = bands.sum()
    grid = np.outer(bands, labels / labels.sum())
    found = mixture.shares(grid[None], one, steps=_STEPS)[0]
    random = np.random.default_rng(int(faces))
    drawn = [_drawn(counts, len(many.levels), scale, random) for counts in (bands, labels)]
    grids = drawn[0][:, :, None] * drawn[1][:, None, :] / drawn[1].sum(axis=1)[:, None, None]
    return found, mixture.shares(grids, many, steps=_STEPS)


def _drawn(counts: Array, number: int, scale: float, random: np.random.Generator) -> Array:
    """Return resamples of counts, (number, cells), with noise as the counts have it."""
    # Half a face in each cell: a group that nobody was in may have somebody in the next sample.
    likely = counts + 0.5
    drawn = random.multinomial(max(1, int(counts.sum())), likely / likely.sum(), size=number).astype(np.float64)
    if scale:
        drawn += random.laplace(0.0, scale, drawn.shape)
    result: Array = np.maximum(drawn, 0.5)
    return result
