"""TFLite files of a network in each precision, their metrics on validation faces, and the choice of the smallest."""

from __future__ import annotations

import contextlib
import hashlib
import io
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
import tensorflow as tf

from serving import heads
from serving.heads import AGE
from serving.images import RESIZE_RULE, Pixels
from serving.predictor import Outputs, Predictor, age_levels, decide_ages, each_label
from serving.release import AgeDecision, Release
from training.calibration import temperature
from training.config import ConvertConfig
from training.data.shards import LabelArray
from training.errors import StepError
from training.labels import LABELS, MISSING, age_distance, by_head
from training.learning import dataset

# Name of the releases.
NAME = "age-gender-detection"


@dataclass(frozen=True)
class Score:
    """Metrics of a model on the validation faces."""

    age_mae: float
    """Mean absolute error of the age in years, from the nearest age where the label is a range."""
    accuracies: dict[str, float]
    """Accuracy of each choice, without those that no face has a label for."""

    def as_json(self) -> dict[str, float]:
        """Return the metrics as in the manifest."""
        return {"age_mae": self.age_mae, **{f"{head}_accuracy": share for head, share in self.accuracies.items()}}


@dataclass(frozen=True)
class Variant:
    """A TFLite file with its outputs and metrics."""

    precision: str
    """float32, float16 or int8."""
    model: bytes
    """The file."""
    outputs: Outputs
    """Predictions for the validation faces."""
    score: Score
    """Metrics of these predictions."""

    def __str__(self) -> str:
        choices = ", ".join(f"{head} {share:.1%}" for head, share in self.score.accuracies.items())
        return f"{self.precision}: {len(self.model)} bytes, age error {self.score.age_mae:.2f} years, {choices}"


def _float32(converter: Any, _: Path, __: int) -> None:
    """Keep the converter's defaults."""


def _float16(converter: Any, _: Path, __: int) -> None:
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.target_spec.supported_types = [tf.float16]


def _int8(converter: Any, data: Path, faces: int) -> None:
    """Quantize weights and activations. Input and outputs stay float32."""

    def representative() -> Iterator[dict[str, npt.NDArray[np.float32]]]:
        for pixels, _ in dataset.batches(data, "train", 1).take(faces):
            yield {"pixels": pixels.numpy().astype(np.float32)}

    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = representative


# float32 comes first, because it must agree with the Keras model.
CONVERTERS = {"float32": _float32, "float16": _float16, "int8": _int8}


def variant(
    model: keras.Model, data: Path, precision: str, pixels: Pixels, labels: LabelArray, config: ConvertConfig
) -> Variant:
    """Convert a network to a precision, one of CONVERTERS, and score it.

    Args:
        model: the network.
        data: output of `prepare`, whose training faces give the ranges of int8 activations.
        precision: name of the precision.
        pixels: (N, size, size, 3) uint8 validation faces.
        labels: (N, LABEL_COLUMNS) uint8, their labels.
        config: configuration of the conversion.
    """
    converter = tf.lite.TFLiteConverter.from_keras_model(model)
    CONVERTERS[precision](converter, data, config.calibration_faces)
    # The converter prints every variable of the model.
    with contextlib.redirect_stdout(io.StringIO()):
        file = converter.convert()
    outputs = predictor(file, pixels.shape[1], model.output, config).run(pixels)
    return Variant(precision, file, outputs, score(outputs, labels, config))


def decision(config: ConvertConfig) -> AgeDecision:
    """Return the rule for the predicted age."""
    return AgeDecision(config.near_years, config.miss_cost)


def head_labels(outputs: Iterable[str]) -> heads.Labels:
    """Return the labels of the classification heads among the outputs."""
    found = set(outputs)
    return {head: names for head, names in LABELS.items() if head in found}


def predictor(file: bytes, size: int, outputs: Iterable[str], config: ConvertConfig) -> Predictor:
    """Return the predictor of a file that is not published yet, without calibration.

    Args:
        file: the TFLite file.
        size: its input size in pixels.
        outputs: names of its outputs.
        config: with the rule for the predicted age.
    """
    labels = head_labels(outputs)
    calibration = temperature.neutral(decision(config), labels)
    digest = hashlib.sha256(file).hexdigest()
    return Predictor(Release(NAME, "", digest, file, size, RESIZE_RULE, labels, calibration, {}))


def score(outputs: Outputs, labels: LabelArray, config: ConvertConfig) -> Score:
    """Return the metrics of N predictions. One of the (N, LABEL_COLUMNS) uint8 labels has an age."""
    known = {head: values != MISSING for head, values in by_head(labels).items()}
    return Score(
        age_mae=float(np.nanmean(age_distance(decide_ages(outputs[AGE], decision(config)), labels))),
        accuracies={
            head: float((each_label(outputs[head]).argmax(axis=1) == classes)[known[head]].mean())
            for head, classes in by_head(labels).items()
            if head in head_labels(outputs) and known[head].any()
        },
    )


def check_parity(found: Outputs, wanted: Outputs, config: ConvertConfig) -> None:
    """Check that the float32 file predicts what the Keras model does.

    Raises:
        StepError: they disagree.
    """
    years = [age_levels(outputs[AGE], (0.5,))[0] for outputs in (found, wanted)]
    apart = {
        AGE: (float(np.abs(years[0] - years[1]).max()), config.max_age_disagreement),
        **{
            head: (float(np.abs(found[head] - wanted[head]).max()), config.max_probability_disagreement)
            for head in head_labels(wanted)
        },
    }
    for head, (distance, allowed) in apart.items():
        # A comparison with NaN is false, so NaN fails too.
        if not distance <= allowed:
            raise StepError(
                f"the float32 TFLite file and the Keras model disagree on {head} by {distance:.4g}, at most "
                f"{allowed:.4g} is allowed: the conversion is broken; try another TensorFlow version"
            )


def choose(variants: list[Variant], reference: Score, config: ConvertConfig) -> Variant:
    """Return the smallest file that is as accurate as the reference, within the losses that `config` allows."""
    good = [
        variant
        for variant in variants
        if variant.score.age_mae <= reference.age_mae + config.max_age_loss
        and all(
            variant.score.accuracies[head] >= accuracy - config.max_accuracy_loss
            for head, accuracy in reference.accuracies.items()
        )
    ]
    return min(good, key=lambda variant: len(variant.model))
