"""Outputs on validation faces -> the calibration that the manifest carries."""

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
    """Changes nothing: what the outputs say before anything is fitted."""
    return Calibration((0.0,), (0.1,), (0.9,), dict.fromkeys(LABELS, 1.0), decision)


_TEMPERATURES = np.geomspace(0.25, 4.0, 161)


def fit(outputs: Outputs, labels: LabelArray, coverage: float, decision: AgeDecision) -> Calibration:
    """Fit on faces that were not trained on.

    Args:
        outputs: of N faces, by head.
        labels: (N, LABEL_COLUMNS) uint8.
        coverage: share of the faces whose age the answered interval shall hold.
        decision: how an age is chosen; it is carried along.
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
    """The temperature with the lowest negative log-likelihood."""
    rows = np.arange(len(classes))
    losses = [
        -np.log(np.maximum(sharpen(probabilities, temperature)[rows, classes], 1e-12)).mean()
        for temperature in _TEMPERATURES
    ]
    return round(float(_TEMPERATURES[int(np.argmin(losses))]), 4)
