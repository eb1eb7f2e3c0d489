"""Predictions beside labels, and what each face contributes to each metric."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from serving.prediction import FacePrediction
from training.calibration.intervals import covered
from training.data.shards import LabelArray
from training.evaluation.metric_table import MEASURED, RANGED
from training.labels import (
    CHOICES,
    LABELS,
    MISSING,
    NO_BAND,
    Head,
    age_bands,
    age_distance,
    age_range,
    band,
    by_head,
    exact_ages,
    ranged_ages,
)

Array = npt.NDArray[np.float64]

# In the order of the columns of `ScoredSamples.metrics`.
METRICS = (*MEASURED, *RANGED)


@dataclass(frozen=True)
class ScoredSamples:
    """Predictions and labels of N faces."""

    labels: LabelArray
    """(N, len(ROW))."""
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
        """Return (N, len(METRICS)) contributions of each face: a metric is the mean of its column.

        NaN where the label is missing, or does not tell: a range of ages has no error, only a distance.
        """
        low, high = (ages.astype(np.int64) for ages in age_range(self.labels))
        exact, ranged, bands = exact_ages(self.labels), ranged_ages(self.labels), age_bands(self.labels)
        error = np.abs(self.years - low)
        distance = age_distance(self.years, self.labels)
        columns = (
            (error, exact),
            (error <= 5, exact),
            (band(self.years) == bands, bands != NO_BAND),
            (covered(self.low, self.high, low), exact),
            *zip(self.right().T, self.labelled().T, strict=True),
            (distance, ranged),
            (distance == 0, ranged),
            ((self.low <= high) & (self.high >= low), ranged),
        )
        return np.stack([np.where(counts, values, np.nan) for values, counts in columns], axis=1).astype(np.float64)

    def labelled(self) -> npt.NDArray[np.bool_]:
        """Return (N, len(CHOICES)): whether each label is known."""
        labelled = by_head(self.labels)
        return np.stack([labelled[head] != MISSING for head in LABELS], axis=1)

    def right(self) -> npt.NDArray[np.bool_]:
        """Return (N, len(CHOICES)): whether each predicted label is correct; False where the label is missing."""
        labelled = by_head(self.labels)
        result: npt.NDArray[np.bool_] = self.choices == np.stack([labelled[head] for head in LABELS], axis=1)
        return result


def collect(predictions: list[FacePrediction], labels: LabelArray) -> ScoredSamples:
    """Return predictions as arrays, in the order of `labels`. The labels of a head without predictions are left out."""
    kept = labels.copy()
    for head, values in by_head(kept).items():
        if head in LABELS and not any(head in prediction.choices for prediction in predictions):
            values[:] = MISSING
    return ScoredSamples(
        labels=kept,
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
