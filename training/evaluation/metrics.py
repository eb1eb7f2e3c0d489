"""Metrics of predictions, over all faces and for every group, each with n and a bootstrap interval."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from serving import manifest_v3
from serving.heads import AGE
from serving.prediction import FacePrediction
from serving.release import MANIFEST, parse_manifest
from serving.request_stats import AGE_BANDS
from training.calibration.intervals import covered
from training.config import EvaluateConfig
from training.data.shards import LabelArray
from training.errors import StepError
from training.evaluation.metric_table import MEASURED
from training.labels import CHOICES, ETHNICITIES, GENDERS, LABELS, Head, band, by_head

Array = npt.NDArray[np.float64]

METRICS_FILE = "metrics.json"
# In the order of the columns of `ScoredSamples.metrics`.
METRICS = tuple(MEASURED)

RELIABILITY_BINS = 15
# The gate judges groups with at least so many faces.
MIN_SUBGROUP_SIZE = 50


@dataclass(frozen=True)
class ScoredSamples:
    """Predictions and labels of N faces."""

    labels: LabelArray
    """(N, len(COLUMNS))."""
    years: Array
    """(N,) predicted ages."""
    low: Array
    """(N,) lower ends of the age intervals, years."""
    high: Array
    """(N,) upper ends of the age intervals, years."""
    choices: npt.NDArray[np.int64]
    """(N, len(CHOICES)) indices of the predicted labels; -1 for a label that this code does not know."""
    probabilities: Array
    """(N, len(CHOICES)) probabilities of the predicted labels."""

    def metrics(self) -> Array:
        """Return (N, len(METRICS)) contributions of each face: a metric is the mean of its column."""
        age = self.labels[:, 0].astype(np.int64)
        error = np.abs(self.years - age)
        columns = (
            error,
            error <= 5,
            band(self.years) == band(age),
            covered(self.low, self.high, age),
            *self.right().T,
        )
        return np.stack(columns, axis=1).astype(np.float64)

    def right(self) -> npt.NDArray[np.bool_]:
        """Return (N, len(CHOICES)): whether each predicted label is correct."""
        labelled = by_head(self.labels)
        result: npt.NDArray[np.bool_] = self.choices == np.stack([labelled[head] for head in LABELS], axis=1)
        return result


def collect(predictions: list[FacePrediction], labels: LabelArray) -> ScoredSamples:
    """Return predictions as arrays, in the order of `labels`."""
    return ScoredSamples(
        labels=labels,
        years=np.array([prediction.age.years for prediction in predictions]),
        low=np.array([prediction.age.low for prediction in predictions]),
        high=np.array([prediction.age.high for prediction in predictions]),
        choices=np.array([[_index(head, prediction) for head in CHOICES] for prediction in predictions]),
        probabilities=np.array([[_probability(head, prediction) for head in CHOICES] for prediction in predictions]),
    )


def _index(head: Head, prediction: FacePrediction) -> int:
    """Return -1 for a label or head that this code lacks. It is never correct; `champion.terms` excludes it."""
    predicted = prediction.choices.get(head.name)
    return head.labels.index(predicted.label) if predicted and predicted.label in head.labels else -1


def _probability(head: Head, prediction: FacePrediction) -> float:
    predicted = prediction.choices.get(head.name)
    return predicted.probability if predicted else 0.0


def measure(faces: ScoredSamples, config: EvaluateConfig) -> dict[str, Any]:
    """Return all metrics: overall, by attribute and by their combinations; calibration errors; confusion matrices."""
    metrics = faces.metrics()
    random = np.random.default_rng(config.seed)

    def group(mask: npt.NDArray[np.bool_], **names: str) -> dict[str, Any]:
        return {**names, "n": int(mask.sum()), **_metrics(metrics[mask], config, random)}

    everyone = np.ones(len(metrics), np.bool_)
    labelled = by_head(faces.labels)
    bands, genders, ethnicities = band(labelled[AGE]), labelled["gender"], labelled["ethnicity"]
    return {
        "overall": group(everyone),
        "from_13_years": group(bands >= 1),
        "by_age_band": [group(bands == b, age_band=name) for b, name in enumerate(AGE_BANDS)],
        **{
            f"by_{head}": [group(labelled[head] == number, **{head: name}) for number, name in enumerate(names)]
            for head, names in LABELS.items()
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
            group((genders == g) & (ethnicities == e) & (bands >= 1), gender=gender, ethnicity=ethnicity)
            for g, gender in enumerate(GENDERS)
            for e, ethnicity in enumerate(ETHNICITIES)
        ],
        "calibration_error": {
            head: _calibration_error(probabilities, right)
            for head, probabilities, right in zip(LABELS, faces.probabilities.T, faces.right().T, strict=True)
        },
        "confusion": _confusions(faces),
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


def worst_subgroup(measured: dict[str, Any]) -> dict[str, Any] | None:
    """Return the gender and ethnicity, 13 and older, with the lowest gender accuracy; None if all are too small."""
    rows = [row for row in measured["by_gender_and_ethnicity_from_13_years"] if row["n"] >= MIN_SUBGROUP_SIZE]
    return min(rows, key=lambda row: float(row["gender_accuracy"]["value"]), default=None)


def reliability(probabilities: Array, right: npt.NDArray[np.bool_]) -> list[tuple[int, float, float]]:
    """Return the number of faces, mean probability and accuracy of each non-empty bin of RELIABILITY_BINS."""
    bins = np.minimum((probabilities * RELIABILITY_BINS).astype(np.int64), RELIABILITY_BINS - 1)
    return [
        (int(mask.sum()), float(probabilities[mask].mean()), float(right[mask].mean()))
        for number in range(RELIABILITY_BINS)
        if (mask := bins == number).any()
    ]


def _calibration_error(probabilities: Array, right: npt.NDArray[np.bool_]) -> float:
    """Return the expected calibration error of the predicted label (Guo et al. 2017, arXiv:1706.04599), a share."""
    rows = reliability(probabilities, right)
    return round(sum(n * abs(stated - found) for n, stated, found in rows) / len(probabilities), 4)


def _metrics(metrics: Array, config: EvaluateConfig, random: np.random.Generator) -> dict[str, dict[str, float]]:
    """Return the mean of each column with its percentile bootstrap interval (Efron 1979)."""
    faces = len(metrics)
    if not faces:
        return {}
    # The counts of the faces in a resample are multinomial; one product then gives all resampled means.
    draws = random.multinomial(faces, np.full(faces, 1 / faces), size=config.bootstrap)
    tail = (1 - config.confidence) / 2
    low, high = np.quantile(draws @ metrics / faces, (tail, 1 - tail), axis=0)
    return {
        name: {"value": round(value, 4), "low": round(low[column], 4), "high": round(high[column], 4)}
        for column, (name, value) in enumerate(zip(METRICS, metrics.mean(axis=0).tolist(), strict=True))
    }


def _confusions(faces: ScoredSamples) -> dict[str, list[list[int]]]:
    labelled = by_head(faces.labels)
    found = {"age_band": _confusion(band(labelled[AGE]), band(faces.years), len(AGE_BANDS))}
    for head, predicted in zip(CHOICES, faces.choices.T, strict=True):
        found[head.name] = _confusion(labelled[head.name], predicted, len(head.labels))
    return found


def _confusion(labelled: npt.NDArray[Any], predicted: npt.NDArray[Any], classes: int) -> list[list[int]]:
    """Return counts with labels in rows and predictions in columns, in the order of their names."""
    table = np.zeros((classes, classes), np.int64)
    np.add.at(table, (labelled, predicted), 1)
    rows: list[list[int]] = table.tolist()
    return rows
