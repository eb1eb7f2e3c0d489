"""Metrics of live faces with true labels, with intervals that count requests, not faces."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from serving.request_stats import AGE_BANDS
from training.evaluation.metric_table import MEASURED, RANGED, Better, MetricSpec, Unit
from training.evaluation.samples import METRICS, Array, ScoredSamples
from training.labels import CHOICES, ETHNICITIES, GENDERS, LABELS, age_bands, by_head

Mask = npt.NDArray[np.bool_]

# Mean probability of the predicted label minus its accuracy.
OVERCONFIDENCE = {
    head.name: MetricSpec(
        f"{head.name}_overconfidence", f"{head.name} overconfidence", Unit.POINTS, Better.STATED, head.name
    )
    for head in CHOICES
}
SPECS = {**MEASURED, **RANGED, **{spec.name: spec for spec in OVERCONFIDENCE.values()}}


class Estimate(NamedTuple):
    """A mean over faces."""

    value: float
    error: float
    """Standard error."""
    n: int
    """Faces with a label for it."""
    requests: int
    """Requests that they came in."""

    def as_json(self, spec: MetricSpec, confidence: float) -> dict[str, Any]:
        """Return the value of a metric with its interval."""
        reach = NormalDist().inv_cdf((1 + confidence) / 2) * self.error
        low, high = round(self.value - reach, 4), round(self.value + reach, 4)
        if spec.unit is Unit.SHARE:
            low, high = max(low, 0.0), min(high, 1.0)
        return {"value": round(self.value, 4), "low": low, "high": high, "n": self.n, "requests": self.requests}


@dataclass(frozen=True)
class LiveFaces:
    """N live faces with labels."""

    scored: ScoredSamples
    requests: npt.NDArray[np.int64]
    """(N,) number of the request of each face."""

    def contributions(self) -> dict[str, Array]:
        """Return (N,) what each face adds to the mean that a metric of SPECS is; NaN where it does not count."""
        columns = dict(zip(METRICS, self.scored.metrics().T, strict=True))
        over = np.where(self.scored.labelled(), self.scored.probabilities - self.scored.right(), np.nan)
        return columns | {OVERCONFIDENCE[head].name: each for head, each in zip(LABELS, over.T, strict=True)}

    def groups(self) -> Iterator[tuple[dict[str, str], Mask]]:
        """Yield every group with its faces: all, age bands, genders, ethnicities, and both together."""
        labels, bands = by_head(self.scored.labels), age_bands(self.scored.labels)
        yield {}, np.ones(len(bands), np.bool_)
        yield from (({"age_band": name}, bands == number) for number, name in enumerate(AGE_BANDS))
        for head, names in LABELS.items():
            yield from (({head: name}, labels[head] == number) for number, name in enumerate(names))
        for g, gender in enumerate(GENDERS):
            for e, ethnicity in enumerate(ETHNICITIES):
                both = (labels["gender"] == g) & (labels["ethnicity"] == e)
                yield {"gender": gender, "ethnicity": ethnicity}, both

    def estimate(self, values: Array, mask: Mask) -> Estimate | None:
        """Return the mean of the values that count; None where there is none.

        The standard error is robust to clusters (Liang and Zeger 1986, Biometrika 73(1)): residuals are added up over
        each request, because faces of one request resemble each other.
        """
        counts = mask & ~np.isnan(values)
        n = int(counts.sum())
        if not n:
            return None
        mean = float(values[counts].mean())
        _, request = np.unique(self.requests[counts], return_inverse=True)
        sums = np.bincount(request, weights=values[counts] - mean)
        requests = len(sums)
        error = float(np.sqrt((sums**2).sum() * requests / max(requests - 1, 1)) / n)
        return Estimate(mean, error, n, requests)
