"""The baseline: the same prediction for every face. A model has to be better than that to be of use."""

from __future__ import annotations

from typing import Any

import numpy as np

from training.data.shards import LabelArray
from training.evaluation.age_groups import AGE_GROUPS
from training.evaluation.metric_table import COMPARED, COMPARED_RANGES
from training.evaluation.samples import METRICS, ScoredSamples
from training.labels import CHOICES, MISSING, age_range, by_head


def measure(training: LabelArray, test: LabelArray, coverage: float) -> dict[str, Any]:
    """Return a baseline and its metrics, as metrics.json has them.

    It predicts the median age and the most frequent labels of the training faces. Its age interval covers the central
    ages of the training faces. A range counts as its middle. A head that no training face has a label for is left out.

    Args:
        training: (N, len(ROW)) labels, one of them with an age.
        test: (M, len(ROW)) labels.
        coverage: share of the training faces that the age interval covers.
    """
    known = {head: values[values != MISSING] for head, values in by_head(training).items()}
    youngest, oldest = (ages[ages != MISSING].astype(np.float64) for ages in age_range(training))
    ages = (youngest + oldest) / 2
    years = int(np.median(ages))
    low, high = np.quantile(ages, ((1 - coverage) / 2, (1 + coverage) / 2)).tolist()
    choices = [int(np.bincount(known[head.name]).argmax()) if len(known[head.name]) else -1 for head in CHOICES]
    same = np.ones(len(test))
    faces = ScoredSamples(
        labels=test,
        years=years * same,
        low=low * same,
        high=high * same,
        choices=np.tile(choices, (len(test), 1)),
        probabilities=np.ones((len(test), len(CHOICES))),
    )
    metrics = faces.metrics()
    return {
        "faces": len(training),
        "years": years,
        "low": low,
        "high": high,
        "labels": {
            head.name: head.labels[choice] for head, choice in zip(CHOICES, choices, strict=True) if choice >= 0
        },
        "labelled": {head: len(values) for head, values in known.items()},
        "overall": _means(metrics),
        **{group.key: _means(metrics[group.mask(test)]) for group in AGE_GROUPS},
    }


def _means(metrics: Any) -> dict[str, float]:
    """Return the mean of each metric, without those that no face has a label for."""
    counted = ~np.isnan(metrics)
    return {
        name: round(float(values[counts].mean()), 4)
        for name, values, counts in zip(METRICS, metrics.T, counted.T, strict=True)
        if counts.any()
    }


def sentence(measured: dict[str, Any]) -> str:
    """Return what the baseline of metrics.json predicts."""
    found = measured["baseline"]
    predictions = ", ".join([f"{found['years']} years", *found["labels"].values()])
    labelled = {head: n for head, n in found.get("labelled", {}).items() if n < found["faces"]}
    partial = ", ".join(f"{n:,} have a label for {head}" for head, n in labelled.items())
    return (
        f"Baseline: {predictions} for every face, the median age and the most frequent labels of the "
        f"{found['faces']:,} training faces{f', of which {partial}' if partial else ''}."
    )


def not_better(measured: dict[str, Any]) -> str:
    """Return a warning about the metrics that are not better than the baseline; "" if all are better."""
    overall, constant = measured["overall"], measured["baseline"]["overall"]
    rows = [
        f"{spec.title} ({spec.text(overall[name]['value'])}, baseline {spec.text(constant[name])})"
        for name, spec in {**COMPARED, **COMPARED_RANGES}.items()
        if name in overall and name in constant and spec.worse_sign * (overall[name]["value"] - constant[name]) >= 0
    ]
    return f"Not better than the same prediction for every face: {'; '.join(rows)}." if rows else ""
