"""Run the TFLite model and calibrate its outputs."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt

from serving import self_test
from serving.demographics import answers
from serving.heads import AGE
from serving.images import RESIZE_RULE, Pixels
from serving.prediction import AgeEstimate, FacePrediction, LabelEstimate
from serving.release import AgeDecision, Calibration, Release, ReleaseError
from serving.runtime import Interpreter

Array = npt.NDArray[np.float64]
Outputs = dict[str, npt.NDArray[np.float32]]
"""Probabilities by head: age (N, years), a classification head (N, `heads.width` of its labels)."""

Years = npt.NDArray[np.int64]

_TINY = 1e-7


class Predictor:
    """Predictions of one release, from any number of threads."""

    def __init__(self, release: Release) -> None:
        """Create the first interpreter and run it once, to find out now whether the model runs.

        Raises:
            ReleaseError: the model does not run here, fails the self-test, or needs another resize.
        """
        if release.resize != RESIZE_RULE:
            raise ReleaseError(
                f"release {release.version} needs the resize {release.resize!r}, this function has {RESIZE_RULE!r}; "
                "deploy the function of the release's version"
            )
        self.release = release
        self._heads = (AGE, *release.labels)
        self._idle: list[Any] = []
        try:
            self._idle.append(self._runner())
            self._require_size()
            outputs = self.run(self_test.image(release.size))
        except (RuntimeError, ValueError, KeyError) as error:
            raise ReleaseError(
                f"the model of release {release.version} does not run on {Interpreter.__module__}; convert it again"
            ) from error
        self_test.check(outputs, release)

    def predict(self, faces: Pixels) -> list[FacePrediction]:
        """Return N predictions for faces of (N, size, size, 3) uint8."""
        outputs = self.run(faces)
        calibration, labels = self.release.calibration, self.release.labels
        ages = age_intervals(outputs[AGE], calibration)
        chosen = {head: sharpen(each_label(outputs[head]), calibration.temperatures[head]) for head in labels}
        return [
            FacePrediction(
                AgeEstimate(*ages[:, row].tolist()),
                {head: _choice(chosen[head][row], names) for head, names in labels.items()},
                {
                    AGE: answers.write_age(outputs[AGE][row]),
                    **{head: answers.write(chosen[head][row]) for head in labels},
                },
            )
            for row in range(len(faces))
        ]

    def run(self, faces: Pixels) -> Outputs:
        """Return the network's uncalibrated outputs for faces of (N, size, size, 3) uint8.

        Faces run one by one, which is as fast with this runtime. A face gets the same outputs in any batch, bit for
        bit.
        """
        # Two threads must not share an interpreter. pop and append of a list are atomic.
        try:
            runner = self._idle.pop()
        except IndexError:
            runner = self._runner()
        try:
            rows = [runner(pixels=face[None].astype(np.float32)) for face in faces]
        finally:
            self._idle.append(runner)
        return {head: np.concatenate([row[head] for row in rows]) for head in self._heads}

    def _require_size(self) -> None:
        """Raise ReleaseError if the model's input has another size than the manifest states."""
        # The runtime would resize the input, and the model would predict something else.
        height, width = self._idle[0].get_input_details()["pixels"]["shape_signature"][1:3]
        if (height, width) != (self.release.size, self.release.size):
            raise ReleaseError(
                f"the model of release {self.release.version} takes {height}x{width} pixels, its manifest states "
                f"{self.release.size}; publish the release again"
            )

    def _runner(self) -> Any:
        interpreter = Interpreter(model_content=self.release.model, num_threads=1)
        return interpreter.get_signature_runner("serving_default")


def age_levels(distribution: npt.NDArray[Any], levels: npt.ArrayLike) -> Array:
    """Return the quantiles of age distributions: (N, years) probabilities -> (levels, N) ages.

    Year k covers k - 0.5 to k + 0.5, so the median of a distribution with a single year is that year. `levels` has the
    shape (levels,), or (levels, N) for levels by face.
    """
    return _ages_at(levels, _cumulative(distribution))


def _cumulative(distribution: npt.NDArray[Any]) -> Array:
    """Return cumulative probabilities up to the end of each year: (N, years) -> (N, years)."""
    cumulative = np.cumsum(distribution, axis=1, dtype=np.float64)
    cumulative /= cumulative[:, -1:]
    return cumulative


def _ages_at(levels: npt.ArrayLike, cumulative: Array) -> Array:
    edges = np.arange(cumulative.shape[1]) + 0.5
    wanted = np.asarray(levels, dtype=np.float64)
    each = wanted.T if wanted.ndim == 2 else [wanted] * len(cumulative)
    ages = [np.interp(mine, row, edges, left=0.0) for mine, row in zip(each, cumulative, strict=True)]
    result: Array = np.maximum(np.array(ages).T, 0.0)
    return result


def decide_ages(distribution: npt.NDArray[Any], decision: AgeDecision) -> Years:
    """Return the whole years with the least expected loss: (N, years) probabilities -> (N,).

    The loss of an error of e years is |e|, plus `miss_cost` if |e| exceeds `near_years`. Without `miss_cost` the
    result is the median.
    """
    predictions: Years = (distribution.astype(np.float64) @ _losses(distribution.shape[1], decision)).argmin(axis=1)
    return predictions


@cache
def _losses(years: int, decision: AgeDecision) -> Array:
    """Return the loss matrix (true years, predicted years)."""
    errors = np.abs(np.arange(years)[:, None] - np.arange(years))
    result: Array = errors + decision.miss_cost * (errors > decision.near_years)
    return result


def age_intervals(distribution: npt.NDArray[Any], calibration: Calibration) -> Years:
    """Return estimate, low and high in whole years: (N, years) probabilities -> (3, N)."""
    years = decide_ages(distribution, calibration.decision)
    cumulative = _cumulative(distribution)
    (median,) = _ages_at((0.5,), cumulative)
    ends = [np.interp(median, calibration.age_at, levels) for levels in (calibration.age_low, calibration.age_high)]
    low, high = np.rint(_ages_at(np.stack(ends), cumulative)).astype(np.int64)
    return np.stack([years, np.minimum(low, years), np.maximum(high, years)])


def sharpen(probabilities: npt.NDArray[Any], temperature: float) -> Array:
    """Divide the logits of (N, classes) probabilities by `temperature` (Guo et al. 2017, arXiv:1706.04599)."""
    powers = np.power(np.clip(probabilities.astype(np.float64), _TINY, 1.0), 1.0 / temperature)
    result: Array = powers / powers.sum(axis=1, keepdims=True)
    return result


def each_label(output: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return (N, labels) probabilities from a classification head's (N, `heads.width`) outputs."""
    if output.shape[1] > 1:
        return output
    second = output.astype(np.float64)
    return np.concatenate([1 - second, second], axis=1)


def _choice(probabilities: Array, labels: tuple[str, ...]) -> LabelEstimate:
    best = int(np.argmax(probabilities))
    return LabelEstimate(labels[best], round(float(probabilities[best]), 4))
