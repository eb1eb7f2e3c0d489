"""The population stability index between two distributions, one per measure."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
import numpy.typing as npt

from training.config import DriftConfig

Array = npt.NDArray[np.float64]
Counts = dict[str, int]

# Added to each bin, to avoid the logarithm of zero.
_PRIOR = 0.5


class DriftStatus(StrEnum):
    """Verdict on one measure, or on all of them."""

    STABLE = "stable"
    DRIFTED = "DRIFTED"
    TOO_FEW = "too few"


@dataclass(frozen=True)
class Sample:
    """Histograms of images, one per measure."""

    measures: dict[str, Counts]
    """Number of images by measure and bin."""
    independent: int
    """Number of independent observations: requests, since the images of one request resemble each other; or faces."""


@dataclass(frozen=True)
class DriftComparison:
    """Expected and served histogram of one measure."""

    measure: str
    bins: tuple[str, ...]
    expected: Array
    """(bins,) images."""
    served: Array
    """(bins,) images."""
    independent: int
    """Independent observations of the smaller sample."""
    config: DriftConfig

    @property
    def images(self) -> int:
        """Return the number of served images."""
        return int(self.served.sum())

    @property
    def psi(self) -> float:
        """Return the population stability index, uncorrected."""
        return psi(self.expected, self.served)

    @property
    def corrected(self) -> float:
        """Return the index minus its mean under no drift, at least 0."""
        return max(0.0, self.psi - chance(self.expected, self.served))

    @property
    def probability(self) -> float:
        """Return the p-value: the probability of an index at least as large without drift."""
        return significance(self.expected, self.served)

    @property
    def verdict(self) -> DriftStatus:
        """Return DRIFTED if the index is both large and significant."""
        if min(self.independent, self.expected.sum(), self.served.sum()) < self.config.independent:
            return DriftStatus.TOO_FEW
        drifted = self.corrected > self.config.psi and self.probability < self.config.significance
        return DriftStatus.DRIFTED if drifted else DriftStatus.STABLE

    def moved(self) -> tuple[str, float, float]:
        """Return the bin with the largest contribution to the index, and its expected and served share."""
        shares = [counts / max(counts.sum(), 1) for counts in (self.expected, self.served)]
        most = int(np.argmax(_terms(self.expected, self.served)))
        return self.bins[most], float(shares[0][most]), float(shares[1][most])


def psi(expected: Array, served: Array) -> float:
    """Return the population stability index of two (bins,) counts: the sum of (q - p) ln(q / p) over shares p and q."""
    return float(_terms(expected, served).sum())


def chance(expected: Array, served: Array) -> float:
    """Return the mean of the index without drift: (B - 1)(1/n + 1/m) for B bins and n and m images.

    Without drift, the index divided by (1/n + 1/m) is approximately chi-squared with B - 1 degrees of freedom
    (Yurdakul 2018, "Statistical properties of population stability index", Western Michigan University).
    """
    return _freedom(expected, served) * _scale(expected, served)


def significance(expected: Array, served: Array) -> float:
    """Return the p-value of the index under the distribution given at `chance`."""
    scale = _scale(expected, served)
    freedom = _freedom(expected, served)
    return chi_squared_tail(psi(expected, served) / scale, freedom) if freedom and math.isfinite(scale) else 1.0


def chi_squared_tail(value: float, freedom: int) -> float:
    """Return the probability that a chi-squared variable with `freedom` degrees of freedom exceeds `value`.

    It is the regularized upper gamma function Q(freedom / 2, value / 2), by its recurrence from
    Q(1/2, x) = erfc(sqrt x) or Q(1, x) = exp(-x) (Abramowitz and Stegun 1964, 26.4.4 and 26.4.5).
    """
    half = value / 2
    order, tail = (0.5, math.erfc(math.sqrt(half))) if freedom % 2 else (1.0, math.exp(-half))
    while order < freedom / 2:
        tail += half**order * math.exp(-half) / math.gamma(order + 1)
        order += 1
    return tail


def compare(expected: Sample, served: Sample, config: DriftConfig) -> list[DriftComparison]:
    """Compare every measure that both samples have, without bins that are empty in both."""
    independent = min(expected.independent, served.independent)
    found = []
    for measure, now in served.measures.items():
        before = expected.measures.get(measure, {})
        names = tuple(name for name in now if now[name] or before.get(name))
        if before and any(now.values()):
            found.append(
                DriftComparison(measure, names, _array(before, names), _array(now, names), independent, config)
            )
    return found


def _array(counts: Counts, names: tuple[str, ...]) -> Array:
    return np.array([counts[name] for name in names], np.float64)


def _terms(expected: Array, served: Array) -> Array:
    before, now = ((counts + _PRIOR) / (counts + _PRIOR).sum() for counts in (expected, served))
    terms: Array = (now - before) * np.log(now / before)
    return terms


def _scale(expected: Array, served: Array) -> float:
    n, m = expected.sum(), served.sum()
    return float(1 / n + 1 / m) if n and m else math.inf


def _freedom(expected: Array, served: Array) -> int:
    return int(((expected + served) > 0).sum()) - 1
