"""A release and faces in, predictions out: interpreters, the age that is answered, calibration."""

from __future__ import annotations

from functools import cache
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from serving import self_test
from serving.heads import AGE
from serving.images import RESIZE_RULE, Pixels
from serving.release import AgeDecision, Calibration, Release, ReleaseError
from serving.runtime import Interpreter

Array = npt.NDArray[np.float64]
# Outputs of the network by head: age (N, years), a choice (N, `heads.width` of its labels); probabilities.
Outputs = dict[str, npt.NDArray[np.float32]]

Years = npt.NDArray[np.int64]

_TINY = 1e-7


class AgeEstimate(NamedTuple):
    """Whole years, as labels are; the stated share of people of such a face is from `low` to `high` years old."""

    years: int
    low: int
    high: int


class LabelEstimate(NamedTuple):
    """The most likely label, and how likely it is."""

    label: str
    probability: float


class FacePrediction(NamedTuple):
    """What the model says of one face."""

    age: AgeEstimate
    # by head
    choices: dict[str, LabelEstimate]


class Predictor:
    """Predictions of one release, from any number of threads."""

    def __init__(self, release: Release) -> None:
        """Build the first interpreter and run it once, so that a release that does not run is known at the start.

        Raises:
            ReleaseError: the model cannot be run here, fails the self-test, or needs another resize rule.
        """
        if release.resize != RESIZE_RULE:
            raise ReleaseError(
                f"release {release.version} wants its pixels by {release.resize!r}, this function resizes by "
                f"{RESIZE_RULE!r}; deploy the function that belongs to the release"
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
        """(N, size, size, 3) uint8 -> N predictions."""
        outputs = self.run(faces)
        calibration, labels = self.release.calibration, self.release.labels
        ages = age_intervals(outputs[AGE], calibration)
        chosen = {head: sharpen(each_label(outputs[head]), calibration.temperatures[head]) for head in labels}
        return [
            FacePrediction(
                AgeEstimate(*ages[:, row].tolist()),
                {head: _choice(chosen[head][row], names) for head, names in labels.items()},
            )
            for row in range(len(faces))
        ]

    def run(self, faces: Pixels) -> Outputs:
        """(N, size, size, 3) uint8 -> the network's own outputs, uncalibrated.

        One by one, which costs nothing with this runtime: a face gets the same answer in any company, bit for bit.
        """
        # One interpreter that two threads share answers wrongly; taking from a list and adding to it are atomic.
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
    """(N, years) probabilities -> (levels, N) ages below which each level of the distribution lies.

    Year k covers k - 0.5 to k + 0.5, so that a distribution sure of one year has that year as its median. `levels` are
    the same for all, or (levels, N).
    """
    return _ages_at(levels, _cumulative(distribution))


def _cumulative(distribution: npt.NDArray[Any]) -> Array:
    """(N, years) -> (N, years) shares of people up to the end of each year."""
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
    """(N, years) probabilities -> (N,) the whole years with the least expected loss.

    The loss of an error of e years is |e|, and `miss_cost` more beyond `near_years`: without that it would be the
    median.
    """
    predictions: Years = (distribution.astype(np.float64) @ _losses(distribution.shape[1], decision)).argmin(axis=1)
    return predictions


@cache
def _losses(years: int, decision: AgeDecision) -> Array:
    """(years, years): the loss of answering the second when the first is true."""
    errors = np.abs(np.arange(years)[:, None] - np.arange(years))
    result: Array = errors + decision.miss_cost * (errors > decision.near_years)
    return result


def age_intervals(distribution: npt.NDArray[Any], calibration: Calibration) -> Years:
    """(N, years) probabilities -> (3, N) whole years: the answer, and the ends of the interval."""
    years = decide_ages(distribution, calibration.decision)
    cumulative = _cumulative(distribution)
    (median,) = _ages_at((0.5,), cumulative)
    ends = [np.interp(median, calibration.age_at, levels) for levels in (calibration.age_low, calibration.age_high)]
    low, high = np.rint(_ages_at(np.stack(ends), cumulative)).astype(np.int64)
    return np.stack([years, np.minimum(low, years), np.maximum(high, years)])


def sharpen(probabilities: npt.NDArray[Any], temperature: float) -> Array:
    """(N, classes) probabilities, their logits divided by `temperature` (Guo et al. 2017, arXiv:1706.04599)."""
    powers = np.power(np.clip(probabilities.astype(np.float64), _TINY, 1.0), 1.0 / temperature)
    result: Array = powers / powers.sum(axis=1, keepdims=True)
    return result


def each_label(output: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """(N, `heads.width`) outputs of a choice -> (N, labels) probabilities: of two labels, the network tells one."""
    if output.shape[1] > 1:
        return output
    second = output.astype(np.float64)
    return np.concatenate([1 - second, second], axis=1)


def _choice(probabilities: Array, labels: tuple[str, ...]) -> LabelEstimate:
    best = int(np.argmax(probabilities))
    return LabelEstimate(labels[best], round(float(probabilities[best]), 4))
