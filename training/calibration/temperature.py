"""Temperature scaling, and the whole calibration section of the manifest."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from serving.heads import AGE
from serving.predictor import Outputs, each_label, sharpen
from serving.release import AgeDecision, Calibration
from training.calibration import intervals
from training.data.shards import LabelArray
from training.labels import LABELS, by_head


def neutral(decision: AgeDecision) -> Calibration:
    """Return a calibration that changes nothing."""
    return Calibration((0.0,), (0.1,), (0.9,), dict.fromkeys(LABELS, 1.0), decision)


_TEMPERATURES = np.geomspace(0.25, 4.0, 161)


def fit(outputs: Outputs, labels: LabelArray, coverage: float, decision: AgeDecision) -> Calibration:
    """Fit a calibration.

    Args:
        outputs: outputs by head for N faces that were not trained on.
        labels: (N, LABEL_COLUMNS) uint8.
        coverage: nominal coverage of the age intervals.
        decision: rule for the predicted age, stored with the calibration.
    """
    labelled = by_head(labels)
    levels = intervals.fit(outputs[AGE], labelled[AGE], coverage)
    return Calibration(
        age_at=levels.at,
        age_low=levels.low,
        age_high=levels.high,
        temperatures={head: _temperature(each_label(outputs[head]), labelled[head]) for head in LABELS},
        decision=decision,
    )


def _temperature(probabilities: npt.NDArray[Any], classes: npt.NDArray[Any]) -> float:
    """Return the temperature with the lowest negative log-likelihood (Guo et al. 2017, arXiv:1706.04599)."""
    rows = np.arange(len(classes))
    losses = [
        -np.log(np.maximum(sharpen(probabilities, temperature)[rows, classes], 1e-12)).mean()
        for temperature in _TEMPERATURES
    ]
    return round(float(_TEMPERATURES[int(np.argmin(losses))]), 4)
