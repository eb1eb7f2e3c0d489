"""Metrics of predictions, over all faces and for every group, each with n and a bootstrap interval."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from serving import manifest_v3
from serving.heads import AGE
from serving.release import MANIFEST, parse_manifest
from serving.request_stats import AGE_BANDS
from training.config import EvaluateConfig
from training.errors import StepError
from training.evaluation.age_groups import AGE_GROUPS, FROM_13
from training.evaluation.samples import METRICS, Array, ScoredSamples
from training.labels import (
    CHOICES,
    ETHNICITIES,
    GENDERS,
    LABELS,
    NO_BAND,
    age_bands,
    band,
    by_head,
    exact_ages,
    ranged_ages,
)

METRICS_FILE = "metrics.json"

RELIABILITY_BINS = 15
# The gate judges groups with at least so many faces.
MIN_SUBGROUP_SIZE = 50


def measure(faces: ScoredSamples, config: EvaluateConfig) -> dict[str, Any]:
    """Return all metrics: overall, by attribute and by their combinations; calibration errors; confusion matrices.

    A metric that no face of a group has a label for is left out of the group, and a head that no face has a label for
    is left out of the tables.
    """
    metrics = faces.metrics()
    random = np.random.default_rng(config.seed)

    def group(mask: npt.NDArray[np.bool_], **names: str) -> dict[str, Any]:
        return {**names, "n": int(mask.sum()), **_metrics(metrics[mask], config, random)}

    everyone = np.ones(len(metrics), np.bool_)
    labelled, bands, adults = by_head(faces.labels), age_bands(faces.labels), FROM_13.mask(faces.labels)
    genders, ethnicities = labelled["gender"], labelled["ethnicity"]
    known = {head: mask for head, mask in zip(LABELS, faces.labelled().T, strict=True) if mask.any()}
    return {
        "labelled": _labelled(faces),
        "overall": group(everyone),
        FROM_13.key: group(adults),
        "by_age_band": [group(bands == b, age_band=name) for b, name in enumerate(AGE_BANDS)],
        **{
            f"by_{head}": [group(labelled[head] == number, **{head: name}) for number, name in enumerate(names)]
            for head, names in LABELS.items()
            if head in known
        },
        "by_all": [
            group(mask, gender=gender, ethnicity=ethnicity, age_band=age_band)
            for g, gender in enumerate(GENDERS)
            for e, ethnicity in enumerate(ETHNICITIES)
            for b, age_band in enumerate(AGE_BANDS)
            if (mask := (genders == g) & (ethnicities == e) & (bands == b)).any()
        ],
        # Without children, whose faces show their gender least: this table shows a disadvantaged group best.
        "by_gender_and_ethnicity_from_13_years": [
            group((genders == g) & (ethnicities == e) & adults, gender=gender, ethnicity=ethnicity)
            for g, gender in enumerate(GENDERS)
            for e, ethnicity in enumerate(ETHNICITIES)
            if {"gender", "ethnicity"} <= known.keys()
        ],
        # The last groups: those before draw the same resamples as in earlier versions.
        **{each.key: group(each.mask(faces.labels)) for each in AGE_GROUPS if each is not FROM_13},
        "calibration_error": {
            head: calibration_error(probabilities[known[head]], right[known[head]])
            for head, probabilities, right in zip(LABELS, faces.probabilities.T, faces.right().T, strict=True)
            if head in known
        },
        "confusion": _confusions(faces),
        "predicted": _predicted(faces),
    }


def load(folder: Path) -> dict[str, Any]:
    """Return the metrics of the release in `folder`.

    Raises:
        StepError: there are none, or they belong to another model file.
    """
    path = folder / METRICS_FILE
    if not path.is_file():
        raise StepError(f"{path} does not exist; run `python -m training evaluate` first")
    measured: dict[str, Any] = manifest_v3.rename(json.loads(path.read_text(encoding="utf-8")))
    if measured["sha256"] != parse_manifest((folder / MANIFEST).read_text(encoding="utf-8"))["model"]["sha256"]:
        raise StepError(f"{path} belongs to another model; run `python -m training evaluate` again")
    if "baseline" not in measured:
        raise StepError(f"an older version wrote {path}, without a baseline; run `python -m training evaluate` again")
    return measured


def enough(groups: list[dict[str, Any]], metric: str) -> list[dict[str, Any]]:
    """Return the groups with at least MIN_SUBGROUP_SIZE faces that have a label for the metric."""
    # Older versions counted the faces of the group alone, which all had every label.
    return [row for row in groups if metric in row and row[metric].get("n", row["n"]) >= MIN_SUBGROUP_SIZE]


def worst_subgroup(measured: dict[str, Any]) -> dict[str, Any] | None:
    """Return the gender and ethnicity, 13 and older, with the lowest gender accuracy; None if all are too small."""
    rows = enough(measured["by_gender_and_ethnicity_from_13_years"], "gender_accuracy")
    return min(rows, key=lambda row: float(row["gender_accuracy"]["value"]), default=None)


def reliability(probabilities: Array, right: npt.NDArray[np.bool_]) -> list[tuple[int, float, float]]:
    """Return the number of faces, mean probability and accuracy of each non-empty bin of RELIABILITY_BINS."""
    bins = np.minimum((probabilities * RELIABILITY_BINS).astype(np.int64), RELIABILITY_BINS - 1)
    return [
        (int(mask.sum()), float(probabilities[mask].mean()), float(right[mask].mean()))
        for number in range(RELIABILITY_BINS)
        if (mask := bins == number).any()
    ]


def calibration_error(probabilities: Array, right: npt.NDArray[np.bool_]) -> float:
    """Return the expected calibration error of the predicted label (Guo et al. 2017, arXiv:1706.04599), a share."""
    rows = reliability(probabilities, right)
    return round(sum(n * abs(stated - found) for n, stated, found in rows) / len(probabilities), 4)


def _metrics(metrics: Array, config: EvaluateConfig, random: np.random.Generator) -> dict[str, dict[str, float]]:
    """Return the mean of each column with its percentile bootstrap interval (Efron 1979), and its number of faces."""
    faces = len(metrics)
    if not faces:
        return {}
    # The counts of the faces in a resample are multinomial; one product then gives all resampled means.
    draws = random.multinomial(faces, np.full(faces, 1 / faces), size=config.bootstrap)
    counted = ~np.isnan(metrics)
    sums, counts = draws @ np.where(counted, metrics, 0.0), draws @ counted.astype(np.float64)
    tail = (1 - config.confidence) / 2
    found = {}
    for column, name in enumerate(METRICS):
        if not (n := int(counted[:, column].sum())):
            continue
        # A resample of few labelled faces may have none of them.
        drawn = counts[:, column] > 0
        low, high = np.quantile(sums[drawn, column] / counts[drawn, column], (tail, 1 - tail))
        value = float(metrics[counted[:, column], column].mean())
        found[name] = {"value": round(value, 4), "low": round(low, 4), "high": round(high, 4), "n": n}
    return found


def _labelled(faces: ScoredSamples) -> dict[str, int]:
    """Return the number of faces with an exact age, with a range of ages, and with a label of each choice."""
    return {
        AGE: int(exact_ages(faces.labels).sum()),
        "age_range": int(ranged_ages(faces.labels).sum()),
        **dict(zip(LABELS, faces.labelled().sum(axis=0).tolist(), strict=True)),
    }


def _predicted(faces: ScoredSamples) -> dict[str, list[int]]:
    """Return the number of faces, labelled or not, by predicted age band and by predicted label of each choice."""
    found = {"age_band": np.bincount(band(faces.years), minlength=len(AGE_BANDS)).tolist()}
    for head, predicted in zip(CHOICES, faces.choices.T, strict=True):
        if (predicted >= 0).any():
            found[head.name] = np.bincount(predicted[predicted >= 0], minlength=len(head.labels)).tolist()
    return found


def _confusions(faces: ScoredSamples) -> dict[str, list[list[int]]]:
    labelled, bands = by_head(faces.labels), age_bands(faces.labels)
    known = bands != NO_BAND
    found = {"age_band": _confusion(bands[known], band(faces.years[known]), len(AGE_BANDS))}
    for head, predicted, known in zip(CHOICES, faces.choices.T, faces.labelled().T, strict=True):
        if known.any():
            found[head.name] = _confusion(labelled[head.name][known], predicted[known], len(head.labels))
    return found


def _confusion(labelled: npt.NDArray[Any], predicted: npt.NDArray[Any], classes: int) -> list[list[int]]:
    """Return counts with labels in rows and predictions in columns, in the order of their names."""
    table = np.zeros((classes, classes), np.int64)
    np.add.at(table, (labelled, predicted), 1)
    rows: list[list[int]] = table.tolist()
    return rows
