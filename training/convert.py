"""Step `convert`: a trained Keras model -> the smallest TFLite file of the same accuracy, with its manifest."""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
import tensorflow as tf

from serving import release, self_test
from serving.detection import files
from serving.heads import AGE
from serving.images import RESIZE_RULE, Pixels
from serving.predictor import Outputs, Predictor, age_levels, decide_ages, each_label
from serving.release import AgeDecision, Calibration, Release
from training.calibration import input_check, temperature
from training.config import ConvertConfig
from training.data import shards
from training.data.shards import LabelArray
from training.errors import StepError
from training.evaluation.card import INTENDED_USE
from training.files import OwnFolder, write_text
from training.labels import LABELS, by_head
from training.learning import checkpoints, dataset, other_faces, weights
from training.learning.provenance import provenance
from training.registry.registry import RELEASE_FILES

MODEL_FILE = "model.tflite"
NAME = "age-gender-detection"
_BATCH = 64
_FOLDER = OwnFolder(
    "convert",
    re.compile("|".join(map(re.escape, RELEASE_FILES)) + r"|\..+\.partial"),
    {release.MANIFEST: ("format", "name", "version", "model")},
)


@dataclass(frozen=True)
class Score:
    """Metrics of a model on the validation faces."""

    age_mae: float
    """Mean absolute error of the age in years."""
    accuracies: dict[str, float]
    """Accuracy of each choice."""

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


def convert(data: Path, trained: Path, folder: Path, config: ConvertConfig) -> dict[str, Any]:
    """Write model.tflite, its trainable weights and manifest.json into `folder`.

    Args:
        data: output of `prepare`.
        trained: folder of the run.
        folder: folder of the release. It is replaced.
        config: configuration of the conversion.

    Returns:
        The manifest.

    Raises:
        StepError: the float32 file and the Keras model disagree, or the checkpoint is missing.
    """
    unfinished = folder.with_name(folder.name + ".partial")
    # Before the work, so that an obstacle costs no time.
    _FOLDER.require(folder)
    _FOLDER.clear(unfinished)
    learnt = checkpoints.model_after(trained, config.epoch) if config.epoch else checkpoints.best_model(trained)
    model = _both_sides(learnt) if config.mirror else learnt
    # A fine-tuned network is calibrated for all faces, not only for a few of one kind.
    places = [data, *other_faces.of(trained)]
    parts = [shards.first(place, "validation", config.validation_faces) for place in places]
    pixels, labels = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
    wanted: Outputs = {name: np.asarray(values) for name, values in model.predict(pixels, _BATCH, verbose=0).items()}
    variants: list[Variant] = []
    for precision in _CONVERTERS:
        variants.append(_variant(model, places, precision, pixels, labels, config))
        print(variants[-1], flush=True)
    _check_parity(variants[0].outputs, wanted, config)
    reference = _score(wanted, labels, config)
    chosen = _choose(variants, reference, config)
    manifest = _manifest(chosen, variants, reference, data, trained, config)
    trainable = weights.dump(learnt)
    manifest["weights"] = {
        "file": weights.FILE,
        "sha256": hashlib.sha256(trainable).hexdigest(),
        "bytes": len(trainable),
    }
    manifest["calibration"] = _calibration(
        temperature.fit(chosen.outputs, labels, config.interval_coverage, _decision(config)), config
    )
    manifest[release.DETECTOR] = files.section()
    manifest["input_check"] = input_check.fit(places, config.input_check)
    size = pixels.shape[1]
    predictor = Predictor(_unpublished(chosen.model, size, _decision(config)))
    manifest[self_test.MEMBER] = self_test.record(predictor.run(self_test.image(size)))
    # The manifest comes first because it marks the folder as this step's.
    unfinished.mkdir(parents=True)
    write_text(unfinished / release.MANIFEST, json.dumps(manifest, indent=2) + "\n")
    (unfinished / MODEL_FILE).write_bytes(chosen.model)
    (unfinished / weights.FILE).write_bytes(trainable)
    _FOLDER.clear(folder)
    unfinished.rename(folder)
    return manifest


def _both_sides(model: keras.Model) -> keras.Model:
    """Build a model that predicts the mean over a face and its mirror image, in one pass over a doubled batch."""
    pixels = keras.Input(model.input_shape[1:], name="pixels")
    predictions = model(keras.ops.concatenate([pixels, keras.ops.flip(pixels, axis=2)], axis=0))
    return keras.Model(
        pixels,
        {
            head: keras.ops.mean(keras.ops.reshape(values, (2, -1, values.shape[-1])), axis=0)
            for head, values in predictions.items()
        },
    )


def _float32(converter: Any, _: list[Path], __: int) -> None:
    """Keep the converter's defaults."""


def _float16(converter: Any, _: list[Path], __: int) -> None:
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.target_spec.supported_types = [tf.float16]


def _int8(converter: Any, places: list[Path], faces: int) -> None:
    """Quantize weights and activations. Input and outputs stay float32."""

    def representative() -> Iterator[dict[str, npt.NDArray[np.float32]]]:
        for place in places:
            for pixels, _ in dataset.batches(place, "train", 1).take(faces):
                yield {"pixels": pixels.numpy().astype(np.float32)}

    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = representative


# float32 comes first, because it must agree with the Keras model.
_CONVERTERS = {"float32": _float32, "float16": _float16, "int8": _int8}


def _variant(
    model: keras.Model, places: list[Path], precision: str, pixels: Pixels, labels: LabelArray, config: ConvertConfig
) -> Variant:
    converter = tf.lite.TFLiteConverter.from_keras_model(model)
    _CONVERTERS[precision](converter, places, config.calibration_faces)
    # The converter prints every variable of the model.
    with contextlib.redirect_stdout(io.StringIO()):
        file = converter.convert()
    predictor = Predictor(_unpublished(file, pixels.shape[1], _decision(config)))
    outputs = predictor.run(pixels)
    return Variant(precision, file, outputs, _score(outputs, labels, config))


def _decision(config: ConvertConfig) -> AgeDecision:
    return AgeDecision(config.near_years, config.miss_cost)


def _unpublished(file: bytes, size: int, decision: AgeDecision) -> Release:
    return Release(
        NAME,
        "",
        hashlib.sha256(file).hexdigest(),
        file,
        size,
        RESIZE_RULE,
        LABELS,
        temperature.neutral(decision),
        {},
    )


def _score(outputs: Outputs, labels: LabelArray, config: ConvertConfig) -> Score:
    labelled = by_head(labels)
    return Score(
        age_mae=float(np.abs(decide_ages(outputs[AGE], _decision(config)) - labelled[AGE]).mean()),
        accuracies={
            head: float((each_label(outputs[head]).argmax(axis=1) == labelled[head]).mean()) for head in LABELS
        },
    )


def _check_parity(found: Outputs, wanted: Outputs, config: ConvertConfig) -> None:
    years = [age_levels(outputs[AGE], (0.5,))[0] for outputs in (found, wanted)]
    apart = {
        AGE: (float(np.abs(years[0] - years[1]).max()), config.max_age_disagreement),
        **{
            head: (float(np.abs(found[head] - wanted[head]).max()), config.max_probability_disagreement)
            for head in LABELS
        },
    }
    for head, (distance, allowed) in apart.items():
        # A comparison with NaN is false, so NaN fails too.
        if not distance <= allowed:
            raise StepError(
                f"the float32 TFLite file and the Keras model disagree on {head} by {distance:.4g}, at most "
                f"{allowed:.4g} is allowed: the conversion is broken; try another TensorFlow version"
            )


def _choose(variants: list[Variant], reference: Score, config: ConvertConfig) -> Variant:
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


def _calibration(fitted: Calibration, config: ConvertConfig) -> dict[str, dict[str, Any]]:
    return {
        AGE: {
            "at": fitted.age_at,
            "low": fitted.age_low,
            "high": fitted.age_high,
            "coverage": config.interval_coverage,
        },
        "age_decision": fitted.decision._asdict(),
        **{head: {"temperature": temperature} for head, temperature in fitted.temperatures.items()},
    }


def _manifest(
    chosen: Variant, variants: list[Variant], reference: Score, data: Path, trained: Path, config: ConvertConfig
) -> dict[str, Any]:
    now = datetime.now(UTC)
    sha256 = hashlib.sha256(chosen.model).hexdigest()
    fingerprint = shards.fingerprint(data)
    return {
        "format": release.FORMAT,
        "name": NAME,
        "version": f"{now:%Y%m%d}-{sha256[:8]}",
        "created": now.isoformat(timespec="seconds"),
        "model": {
            "file": MODEL_FILE,
            "sha256": sha256,
            "bytes": len(chosen.model),
            "precision": chosen.precision,
            "mirror": config.mirror,
            # 0 means the best.
            "epoch": config.epoch,
        },
        "input": {"size": fingerprint.size, "resize": fingerprint.resize, "channels": "RGB", "range": [0, 255]},
        "heads": {
            AGE: {"unit": "years", "classes": int(chosen.outputs[AGE].shape[1])},
            **{head: {"labels": names} for head, names in LABELS.items()},
        },
        "conversion": {
            "keras": reference.as_json(),
            **{variant.precision: {"bytes": len(variant.model), **variant.score.as_json()} for variant in variants},
        },
        "intended_use": INTENDED_USE,
        "provenance": provenance(data, trained, config),
    }
