"""Shares of labels and ages in a crowd, with 95 % intervals."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from serving.demographics import adjusted, fit, mixture, responses
from serving.demographics import bands as age_bands
from serving.demographics.bands import Band
from serving.demographics.confusion import DEGREES, YEARS, Array, Confusion, HeadCounts
from serving.demographics.crowd import NOTHING, Crowd
from serving.demographics.fit import Fit
from serving.demographics.responses import Responses

REPLICATES = 100
"""Bootstrap replicates. Each resamples the crowd and the validation faces behind the release's statistics."""
# Steps of a replicate, which starts from the shares of the crowd itself.
_REPLICATE_STEPS = 20
# Standard deviations from the estimate to each end of a 95 % interval. Percentiles of the replicates are no better
# centred, because noisy responses draw replicates together.
_DEVIATIONS = 1.96


class EmptyCrowdError(ValueError):
    """There is no face to summarize."""


class Figure(NamedTuple):
    """An estimate: a share from 0 to 1, or an age in years."""

    value: float
    """Corrected for the release's errors."""
    low: float
    """Lower end of the 95 % interval."""
    high: float
    """Upper end of the 95 % interval."""
    counted: float
    """What the answers alone give."""


@dataclass(frozen=True)
class Estimate:
    """Shares by label and age of one grid, and their bootstrap replicates."""

    shares: Array
    """(L, YEARS)."""
    replicates: Array
    """(B, L, YEARS)."""
    fit: Fit
    """How well the shares explain the answers."""


@dataclass(frozen=True)
class Summary:
    """Figures of one crowd."""

    faces: int
    heads: dict[str, dict[str, Figure]]
    """Shares of labels by head."""
    bands: dict[str, Figure]
    """Shares of age bands."""
    pyramid: dict[str, dict[str, Figure]]
    """Shares of age bands by label of the first head. They sum to 1 over all labels. Empty without a head."""
    mean_age: Figure
    median_age: Figure
    fit: Fit
    """Of the first head's grid."""
    adjusted: dict[str, dict[str, float]] = field(default_factory=dict)
    """Shares of labels by head as adjusted counts give them: a check."""

    def as_json(self) -> dict[str, Any]:
        """Return the figures as JSON: shares from 0 to 1, ages in years."""
        return {
            "faces": self.faces,
            **{head: _json(figures) for head, figures in self.heads.items()},
            "age": {
                "mean": self.mean_age._asdict(),
                "median": self.median_age._asdict(),
                "bands": _json(self.bands),
                "pyramid": {label: _json(figures) for label, figures in self.pyramid.items()},
            },
            "fit": self.fit._asdict(),
            "adjusted": self.adjusted,
        }


class Corrector:
    """Corrects crowds with the statistics of one release. Equal crowds get equal figures."""

    def __init__(self, known: Confusion, replicates: int = REPLICATES) -> None:
        """Keep the statistics; the responses are estimated at the first use."""
        self.known = known
        self._replicates = replicates
        self._estimated: dict[str, tuple[Responses, Responses]] = {}

    def summary(self, crowd: Crowd, bands: tuple[Band, ...] = age_bands.DEFAULT) -> Summary:
        """Return the figures of a crowd.

        Raises:
            EmptyCrowdError: it has no face.
        """
        estimates = {head: self.estimate(crowd, head) for head in crowd.grids}
        first, found = next(iter(estimates.items()))
        counted = crowd.years / crowd.faces
        return Summary(
            faces=crowd.faces,
            heads={
                head: self._labels(crowd, head, estimate) for head, estimate in estimates.items() if head != NOTHING
            },
            bands=_bands(bands, found.shares.sum(axis=0), found.replicates.sum(axis=1), counted.sum(axis=0)),
            pyramid={
                label: _bands(bands, found.shares[number], found.replicates[:, number], counted[number])
                for number, label in enumerate(self._counts(first).labels)
                if first != NOTHING
            },
            mean_age=_age(mean_age, found, counted),
            median_age=_age(median_age, found, counted),
            fit=found.fit,
            adjusted={head: self._adjusted(crowd, head) for head in estimates if head != NOTHING},
        )

    def estimate(self, crowd: Crowd, head: str) -> Estimate:
        """Return the shares by label and age of one of the crowd's grids.

        Raises:
            EmptyCrowdError: the crowd has no face.
        """
        if not crowd.faces:
            raise EmptyCrowdError("there is no face to summarize")
        grid = crowd.grids[head].astype(np.float64)
        one, many = self.responses(head)
        found = mixture.shares(grid[None], one)
        # Equal crowds get equal intervals, and others independent ones.
        random = np.random.default_rng(zlib.crc32(crowd.grids[head].tobytes()))
        draws = random.multinomial(crowd.faces, (grid / crowd.faces).ravel(), size=self._replicates)
        replicates = mixture.shares(
            draws.reshape(-1, *grid.shape).astype(np.float64), many, start=found[0], steps=_REPLICATE_STEPS
        )
        return Estimate(found[0], replicates, fit.measure(grid, found, one, many, random))

    def _counts(self, head: str) -> HeadCounts:
        if head == NOTHING:
            return next(iter(self.known.heads.values())).age_only()
        return self.known.heads[head]

    def responses(self, head: str) -> tuple[Responses, Responses]:
        """Return the responses of one head, as a single replicate and as bootstrap replicates."""
        if head not in self._estimated:
            counts = self._counts(head)
            random = np.random.default_rng(self.known.faces)
            self._estimated[head] = (
                responses.of(self.known, counts),
                responses.replicates(self.known, counts, self._replicates, random),
            )
        return self._estimated[head]

    def _adjusted(self, crowd: Crowd, head: str) -> dict[str, float]:
        counted = crowd.grids[head].sum(axis=0).reshape(-1, DEGREES).sum(axis=1) / crowd.faces
        statistics = self._counts(head)
        return dict(zip(statistics.labels, adjusted.shares(counted, statistics).tolist(), strict=True))

    def _labels(self, crowd: Crowd, head: str, found: Estimate) -> dict[str, Figure]:
        counted = crowd.grids[head].sum(axis=0).reshape(-1, DEGREES).sum(axis=1) / crowd.faces
        shares, replicates = found.shares.sum(axis=1), found.replicates.sum(axis=2)
        return {
            label: figure(shares[number], replicates[:, number], counted[number])
            for number, label in enumerate(self._counts(head).labels)
        }


def mean_age(ages: Array) -> Array:
    """Return the mean age in years of (..., YEARS) shares."""
    mean: Array = ages @ np.arange(YEARS)
    return mean


def median_age(ages: Array) -> Array:
    """Return the median age in years of (..., YEARS) shares. Year k covers k - 0.5 to k + 0.5."""
    cumulative = np.cumsum(ages, axis=-1).reshape(-1, YEARS)
    edges = np.arange(YEARS) + 0.5
    medians = [np.interp(row[-1] / 2, row, edges, left=0.0) for row in cumulative]
    result: Array = np.array(medians).reshape(ages.shape[:-1])
    return result


def _bands(bands: tuple[Band, ...], shares: Array, replicates: Array, counted: Array) -> dict[str, Figure]:
    """Return the figure of each band, from (YEARS,), (B, YEARS) and (YEARS,) shares."""
    return {band.name: figure(band.share(shares), band.share(replicates), band.share(counted)) for band in bands}


def _age(measure: Callable[[Array], Array], found: Estimate, counted: Array) -> Figure:
    """Return the figure of a measure of (..., YEARS) shares."""
    return figure(
        measure(found.shares.sum(axis=0)), measure(found.replicates.sum(axis=1)), measure(counted.sum(axis=0)), YEARS
    )


def figure(value: Any, replicates: Array, counted: Any, largest: float = 1.0) -> Figure:
    """Return an estimate with the 95 % interval of its (B,) replicates, from 0 to `largest`."""
    half = _DEVIATIONS * float(np.std(replicates))
    return Figure(float(value), max(float(value) - half, 0.0), min(float(value) + half, largest), float(counted))


def _json(figures: dict[str, Figure]) -> dict[str, dict[str, float]]:
    return {name: figure._asdict() for name, figure in figures.items()}
