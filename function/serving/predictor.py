"""A release and faces in, predictions out: interpreters, the median age, calibration."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from serving.images import RESIZE_RULE, Pixels
from serving.release import Calibration, Release, ReleaseError

try:
    from ai_edge_litert.interpreter import Interpreter
except ImportError:
    from tflite_runtime.interpreter import Interpreter

Array = npt.NDArray[np.float64]
# Outputs of the network by head: age (N, years), gender (N, 1), ethnicity (N, classes); probabilities.
Outputs = dict[str, npt.NDArray[np.float32]]

_TINY = 1e-7


@dataclass(frozen=True)
class Age:
    """Years; the stated share of people of such a face lies between `low` and `high`."""

    years: float
    low: float
    high: float


@dataclass(frozen=True)
class Choice:
    """The most likely label, and how likely it is."""

    label: str
    probability: float


@dataclass(frozen=True)
class Prediction:
    """What the model says of one face."""

    age: Age
    gender: Choice
    ethnicity: Choice


class Predictor:
    """Predictions of one release, from any number of threads."""

    def __init__(self, release: Release) -> None:
        """Build the first interpreter, so that a release that does not run is known at once.

        Raises:
            ReleaseError: the model cannot be run here, or wants pixels made in another way.
        """
        if release.resize != RESIZE_RULE:
            raise ReleaseError(
                f"release {release.version} wants its pixels by {release.resize!r}, this function resizes by "
                f"{RESIZE_RULE!r}; deploy the function that belongs to the release"
            )
        self.release = release
        self._local = threading.local()
        try:
            self._runner()
        except (RuntimeError, ValueError, KeyError) as error:
            raise ReleaseError(
                f"the model of release {release.version} does not run on {Interpreter.__module__}; convert it again"
            ) from error

    def predict(self, faces: Pixels) -> list[Prediction]:
        """(N, size, size, 3) uint8 -> N predictions."""
        outputs = self.run(faces)
        calibration, release = self.release.calibration, self.release
        years, low, high = age_intervals(outputs["age"], calibration)
        female = sharpen(_two(outputs["gender"]), calibration.gender_temperature)
        ethnicity = sharpen(outputs["ethnicity"], calibration.ethnicity_temperature)
        return [
            Prediction(
                Age(*(round(float(value), 1) for value in (years[row], low[row], high[row]))),
                _choice(female[row], release.genders),
                _choice(ethnicity[row], release.ethnicities),
            )
            for row in range(len(faces))
        ]

    def run(self, faces: Pixels) -> Outputs:
        """(N, size, size, 3) uint8 -> the network's own outputs, uncalibrated."""
        outputs: Outputs = self._runner()(pixels=faces.astype(np.float32))
        return outputs

    def _runner(self) -> Any:
        """This thread's runner: one interpreter shared by threads answers wrongly."""
        if not hasattr(self._local, "runner"):
            interpreter = Interpreter(model_content=self.release.model, num_threads=1)
            self._local.runner = interpreter.get_signature_runner("serving_default")
        return self._local.runner


def age_levels(distribution: npt.NDArray[Any], levels: npt.ArrayLike) -> Array:
    """(N, years) probabilities -> (levels, N) ages below which each level of the distribution lies.

    Year k covers k - 0.5 to k + 0.5, so that a distribution sure of one year has that year as its median. `levels` are
    the same for all, or (levels, N).
    """
    cumulative = np.cumsum(distribution, axis=1, dtype=np.float64)
    cumulative /= cumulative[:, -1:]
    edges = np.arange(distribution.shape[1]) + 0.5
    wanted = np.asarray(levels, dtype=np.float64)
    each = np.broadcast_to(wanted if wanted.ndim == 2 else wanted[:, None], (len(wanted), len(cumulative)))
    ages = [np.interp(mine, row, edges, left=0.0) for mine, row in zip(each.T, cumulative, strict=True)]
    result: Array = np.clip(np.array(ages).T, 0.0, None)
    return result


def age_intervals(distribution: npt.NDArray[Any], calibration: Calibration) -> Array:
    """(N, years) probabilities -> (3, N) years: the median, and the ends of the interval."""
    (years,) = age_levels(distribution, (0.5,))
    ends = [np.interp(years, calibration.age_at, levels) for levels in (calibration.age_low, calibration.age_high)]
    return np.concatenate([years[None], age_levels(distribution, np.stack(ends))])


def sharpen(probabilities: npt.NDArray[Any], temperature: float) -> Array:
    """(N, classes) probabilities, their logits divided by `temperature` (Guo et al. 2017, arXiv:1706.04599)."""
    powers = np.power(np.clip(probabilities.astype(np.float64), _TINY, 1.0), 1.0 / temperature)
    result: Array = powers / powers.sum(axis=1, keepdims=True)
    return result


def _two(second: npt.NDArray[Any]) -> Array:
    """(N, 1) probability of the second of two classes -> (N, 2)."""
    values = second.astype(np.float64)
    return np.concatenate([1 - values, values], axis=1)


def _choice(probabilities: Array, labels: tuple[str, ...]) -> Choice:
    best = int(np.argmax(probabilities))
    return Choice(labels[best], round(float(probabilities[best]), 4))
