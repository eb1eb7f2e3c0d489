"""Temperature scaling, and the whole calibration section of the manifest."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import numpy.typing as npt

from serving.heads import AGE
from serving.predictor import Outputs, each_label, sharpen
from serving.release import AgeDecision, Calibration
from training.calibration import intervals
from training.data.shards import LabelArray
from training.labels import LABELS, MISSING, age_range, by_head


def neutral(decision: AgeDecision, heads: Iterable[str] = LABELS) -> Calibration:
    """Return a calibration of these classification heads that changes nothing."""
    return Calibration((0.0,), (0.1,), (0.9,), dict.fromkeys(heads, 1.0), decision)


_TEMPERATURES = np.geomspace(0.25, 4.0, 161)


def fit(outputs: Outputs, labels: LabelArray, coverage: float, decision: AgeDecision) -> Calibration:
    """Fit a calibration. A head without a label in `labels` keeps a temperature of 1.

    Args:
        outputs: outputs by head for N faces that were not trained on. One of them has an age or a range.
        labels: (N, LABEL_COLUMNS) uint8.
        coverage: nominal coverage of the age intervals.
        decision: rule for the predicted age, stored with the calibration.
    """
    known = {head: values != MISSING for head, values in by_head(labels).items()}
    low, high = age_range(labels[known[AGE]])
    levels = intervals.fit(outputs[AGE][known[AGE]], low, high, coverage)
    return Calibration(
        age_at=levels.at,
        age_low=levels.low,
        age_high=levels.high,
        temperatures={
            head: _temperature(each_label(outputs[head][known[head]]), classes[known[head]])
            for head, classes in by_head(labels).items()
            if head in LABELS and head in outputs
        },
        decision=decision,
    )


def _temperature(probabilities: npt.NDArray[Any], classes: npt.NDArray[Any]) -> float:
    """Return the temperature with the lowest negative log-likelihood (Guo et al. 2017, arXiv:1706.04599)."""
    if not len(classes):
        return 1.0
    rows = np.arange(len(classes))
    losses = [
        -np.log(np.maximum(sharpen(probabilities, temperature)[rows, classes], 1e-12)).mean()
        for temperature in _TEMPERATURES
    ]
    return round(float(_TEMPERATURES[int(np.argmin(losses))]), 4)
