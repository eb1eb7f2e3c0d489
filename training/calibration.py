"""Outputs on validation faces -> the calibration that the manifest carries."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from serving.predictor import Outputs, age_levels, sharpen
from serving.release import Calibration
from training.shards import LabelArray

# Changes nothing: what the outputs say before anything is fitted.
NEUTRAL = Calibration(age_low=0.1, age_high=0.9, gender_temperature=1.0, ethnicity_temperature=1.0)

_TEMPERATURES = np.geomspace(0.25, 4.0, 161)
_TAILS = np.linspace(0.005, 0.45, 179)


def fit(outputs: Outputs, labels: LabelArray, coverage: float) -> Calibration:
    """Fit on faces that were not trained on.

    Args:
        outputs: of N faces, by head.
        labels: (N, 3) uint8: age, gender, ethnicity.
        coverage: share of the faces whose age the answered interval shall hold.
    """
    tail = _age_tail(outputs["age"], labels[:, 0], coverage)
    female = outputs["gender"]
    return Calibration(
        age_low=tail,
        age_high=1 - tail,
        gender_temperature=_temperature(np.concatenate([1 - female, female], axis=1), labels[:, 1]),
        ethnicity_temperature=_temperature(outputs["ethnicity"], labels[:, 2]),
    )


def covered(low: npt.NDArray[Any], high: npt.NDArray[Any], ages: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
    """Whether each labelled age lies in its answered interval; a label of k years stands for k - 0.5 to k + 0.5."""
    result: npt.NDArray[np.bool_] = (ages >= low - 0.5) & (ages <= high + 0.5)
    return result


def _age_tail(distribution: npt.NDArray[Any], ages: npt.NDArray[Any], coverage: float) -> float:
    """The largest tail to cut off on both sides that still leaves the wanted coverage."""
    levels = age_levels(distribution, tuple(_TAILS) + tuple(1 - _TAILS))
    low, high = levels[: len(_TAILS)], levels[len(_TAILS) :]
    enough = covered(low, high, ages.astype(np.float64)).mean(axis=1) >= coverage
    return round(float(_TAILS[enough].max(initial=_TAILS[0])), 4)


def _temperature(probabilities: npt.NDArray[Any], classes: npt.NDArray[Any]) -> float:
    """The temperature with the lowest negative log-likelihood."""
    rows = np.arange(len(classes))
    losses = [
        -np.log(np.maximum(sharpen(probabilities, temperature)[rows, classes], 1e-12)).mean()
        for temperature in _TEMPERATURES
    ]
    return round(float(_TEMPERATURES[int(np.argmin(losses))]), 4)
