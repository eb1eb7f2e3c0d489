"""Outputs on validation faces -> the calibration that the manifest carries."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from serving.predictor import Outputs, sharpen
from serving.release import Calibration
from training.data.shards import LabelArray
from training.fitting import intervals

# Changes nothing: what the outputs say before anything is fitted.
NEUTRAL = Calibration(age_at=(0.0,), age_low=(0.1,), age_high=(0.9,), gender_temperature=1.0, ethnicity_temperature=1.0)

_TEMPERATURES = np.geomspace(0.25, 4.0, 161)


def fit(outputs: Outputs, labels: LabelArray, coverage: float) -> Calibration:
    """Fit on faces that were not trained on.

    Args:
        outputs: of N faces, by head.
        labels: (N, 3) uint8: age, gender, ethnicity.
        coverage: share of the faces whose age the answered interval shall hold.
    """
    levels = intervals.fit(outputs["age"], labels[:, 0], coverage)
    female = outputs["gender"]
    return Calibration(
        age_at=levels.at,
        age_low=levels.low,
        age_high=levels.high,
        gender_temperature=_temperature(np.concatenate([1 - female, female], axis=1), labels[:, 1]),
        ethnicity_temperature=_temperature(outputs["ethnicity"], labels[:, 2]),
    )


def _temperature(probabilities: npt.NDArray[Any], classes: npt.NDArray[Any]) -> float:
    """The temperature with the lowest negative log-likelihood."""
    rows = np.arange(len(classes))
    losses = [
        -np.log(np.maximum(sharpen(probabilities, temperature)[rows, classes], 1e-12)).mean()
        for temperature in _TEMPERATURES
    ]
    return round(float(_TEMPERATURES[int(np.argmin(losses))]), 4)
