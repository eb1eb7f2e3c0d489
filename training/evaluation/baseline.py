"""The baseline: the same prediction for every face. A model has to be better than that to be of use."""

from __future__ import annotations

from typing import Any

import numpy as np

from training.data.shards import LabelArray
from training.evaluation.metric_table import COMPARED, MEASURED
from training.evaluation.metrics import ScoredSamples
from training.labels import CHOICES, by_head


def measure(training: LabelArray, test: LabelArray, coverage: float) -> dict[str, Any]:
    """Return a baseline and its metrics, as metrics.json has them.

    It predicts the median age and the most frequent labels of the training faces. Its age interval covers the central
    ages of the training faces.

    Args:
        training: (N, len(COLUMNS)) labels.
        test: (M, len(COLUMNS)) labels.
        coverage: share of the training faces that the age interval covers.
    """
    ages, *columns = by_head(training).values()
    years = int(np.median(ages))
    low, high = np.quantile(ages, ((1 - coverage) / 2, (1 + coverage) / 2)).tolist()
    choices = [
        int(np.bincount(column, minlength=len(head.labels)).argmax())
        for head, column in zip(CHOICES, columns, strict=True)
    ]
    same = np.ones(len(test))
    faces = ScoredSamples(
        labels=test,
        years=years * same,
        low=low * same,
        high=high * same,
        choices=np.tile(choices, (len(test), 1)),
        probabilities=np.ones((len(test), len(CHOICES))),
    )
    metrics, adults = faces.metrics(), by_head(test)["age"] >= 13
    return {
        "faces": len(training),
        "years": years,
        "low": low,
        "high": high,
        "labels": {head.name: head.labels[choice] for head, choice in zip(CHOICES, choices, strict=True)},
        "overall": _means(metrics),
        "from_13_years": _means(metrics[adults]) if adults.any() else {},
    }


def _means(metrics: Any) -> dict[str, float]:
    return {name: round(mean, 4) for name, mean in zip(MEASURED, metrics.mean(axis=0).tolist(), strict=True)}


def sentence(measured: dict[str, Any]) -> str:
    """Return what the baseline of metrics.json predicts."""
    found = measured["baseline"]
    predictions = ", ".join([f"{found['years']} years", *found["labels"].values()])
    return (
        f"Baseline: {predictions} for every face, the median age and the most frequent labels of the "
        f"{found['faces']:,} training faces."
    )


def not_better(measured: dict[str, Any]) -> str:
    """Return a warning about the metrics that are not better than the baseline; "" if all are better."""
    overall, constant = measured["overall"], measured["baseline"]["overall"]
    rows = [
        f"{spec.title} ({spec.text(overall[name]['value'])}, baseline {spec.text(constant[name])})"
        for name, spec in COMPARED.items()
        if spec.worse_sign * (overall[name]["value"] - constant[name]) >= 0
    ]
    return f"Not better than the same prediction for every face: {'; '.join(rows)}." if rows else ""
