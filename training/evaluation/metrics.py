"""Predictions and labels -> metrics, overall and for every group, each with its n and a bootstrap interval."""

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
from training.labels import CHOICES, ETHNICITIES, GENDERS, LABELS, Head, band, by_head

Array = npt.NDArray[np.float64]

# what `evaluate` leaves in a release
METRICS_FILE = "metrics.json"

METRICS = (
    "age_mae",
    "age_within_5",
    "age_band_accuracy",
    "interval_coverage",
    *(f"{head}_accuracy" for head in LABELS),
)

RELIABILITY_BINS = 15
# Fewer faces than these say little about a gender and ethnicity.
MIN_SUBGROUP_SIZE = 50


@dataclass(frozen=True)
class ScoredSamples:
    """N scored faces: what was answered and what was labelled, as arrays of length N.

    Of the choices, (N, len(CHOICES)).
    """

    labels: LabelArray
    years: Array
    low: Array
    high: Array
    # indices of the answered labels, -1 for one that is not known
    choices: npt.NDArray[np.int64]
    # of the answered labels
    probabilities: Array

    def metrics(self) -> Array:
        """(N, len(METRICS)): each face's share in each metric, so that a metric is the mean of its column."""
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
        """(N, len(CHOICES)): whether each answered label is the labelled one."""
        result: npt.NDArray[np.bool_] = self.choices == self.labels[:, 1:]
        return result


def collect(predictions: list[FacePrediction], labels: LabelArray) -> ScoredSamples:
    """Put predictions into arrays, in the order of `labels`."""
    return ScoredSamples(
        labels=labels,
        years=np.array([prediction.age.years for prediction in predictions]),
        low=np.array([prediction.age.low for prediction in predictions]),
        high=np.array([prediction.age.high for prediction in predictions]),
        choices=np.array([[_index(head, prediction) for head in CHOICES] for prediction in predictions]),
        probabilities=np.array([[_probability(head, prediction) for head in CHOICES] for prediction in predictions]),
    )


def _index(head: Head, prediction: FacePrediction) -> int:
    """-1 for a label or a head that only other releases have: never right, and not judged (see `champion.terms`)."""
    answered = prediction.choices.get(head.name)
    return head.labels.index(answered.label) if answered and answered.label in head.labels else -1


def _probability(head: Head, prediction: FacePrediction) -> float:
    answered = prediction.choices.get(head.name)
    return answered.probability if answered else 0.0


def measure(faces: ScoredSamples, config: EvaluateConfig) -> dict[str, Any]:
    """All metrics: overall, by each attribute and by their crossings; calibration errors; confusion matrices."""
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
        # Children aside, whose gender a face shows least: where a group is worse off, it shows here.
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
    """The metrics of the release in `folder`.

    Raises:
        StepError: there are none, or they were measured on another model file.
    """
    path = folder / METRICS_FILE
    if not path.is_file():
        raise StepError(f"{path} does not exist; run `python -m training evaluate` first")
    measured: dict[str, Any] = manifest_v3.rename(json.loads(path.read_text()))
    if measured["sha256"] != parse_manifest((folder / MANIFEST).read_text())["model"]["sha256"]:
        raise StepError(f"{path} belongs to another model; run `python -m training evaluate` again")
    return measured


def worst_subgroup(measured: dict[str, Any]) -> dict[str, Any] | None:
    """The gender and ethnicity, 13 and older, whose gender is read worst, of those with enough faces; None for none."""
    cells = [row for row in measured["by_gender_and_ethnicity_from_13_years"] if row["n"] >= MIN_SUBGROUP_SIZE]
    return min(cells, key=lambda row: float(row["gender_accuracy"]["value"]), default=None)


def reliability(probabilities: Array, right: npt.NDArray[np.bool_]) -> list[tuple[int, float, float]]:
    """For each of RELIABILITY_BINS equal bins that holds faces: their number, mean probability and share right."""
    bins = np.minimum((probabilities * RELIABILITY_BINS).astype(np.int64), RELIABILITY_BINS - 1)
    return [
        (int(mask.sum()), float(probabilities[mask].mean()), float(right[mask].mean()))
        for number in range(RELIABILITY_BINS)
        if (mask := bins == number).any()
    ]


def _calibration_error(probabilities: Array, right: npt.NDArray[np.bool_]) -> float:
    """Expected calibration error of the answered label (Guo et al. 2017, arXiv:1706.04599), a share."""
    rows = reliability(probabilities, right)
    return round(sum(n * abs(stated - found) for n, stated, found in rows) / len(probabilities), 4)


def _metrics(metrics: Array, config: EvaluateConfig, random: np.random.Generator) -> dict[str, dict[str, float]]:
    """The mean of each column with its percentile bootstrap interval (Efron 1979)."""
    faces = len(metrics)
    if not faces:
        return {}
    # How often each face is drawn is multinomial; one product then gives all resampled means.
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
    for head, answered in zip(CHOICES, faces.choices.T, strict=True):
        found[head.name] = _confusion(labelled[head.name], answered, len(head.labels))
    return found


def _confusion(labelled: npt.NDArray[Any], answered: npt.NDArray[Any], classes: int) -> list[list[int]]:
    """Rows are labels, columns are answers, both in the order of their names."""
    table = np.zeros((classes, classes), np.int64)
    np.add.at(table, (labelled, answered), 1)
    rows: list[list[int]] = table.tolist()
    return rows
