"""Step `convert`: a trained Keras model -> the smallest TFLite file of the same accuracy, with its manifest."""

from __future__ import annotations

import hashlib
import json
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import keras
import numpy as np

from serving import release, self_test
from serving.detection import files
from serving.heads import AGE
from serving.images import Pixels
from serving.predictor import Outputs
from serving.release import Calibration
from training.calibration import input_check, precisions, temperature
from training.calibration.precisions import Score, Variant
from training.config import ConvertConfig
from training.data import shards
from training.data.shards import LabelArray
from training.errors import StepError
from training.evaluation.card import INTENDED_USE
from training.files import OwnFolder, write_text
from training.labels import COLUMNS, MISSING, by_head
from training.learning import checkpoints, weights
from training.learning.provenance import provenance
from training.registry.registry import RELEASE_FILES

MODEL_FILE = "model.tflite"
_BATCH = 64
_FOLDER = OwnFolder(
    "convert",
    re.compile("|".join(map(re.escape, RELEASE_FILES)) + r"|\..+\.partial"),
    {release.MANIFEST: ("format", "name", "version", "model")},
)


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
        StepError: the float32 file and the Keras model disagree, the checkpoint is missing, or no training or no
            validation face has an age.
    """
    unfinished = folder.with_name(folder.name + ".partial")
    # Before the work, so that an obstacle costs no time.
    _FOLDER.require(folder)
    _FOLDER.clear(unfinished)
    learnt = checkpoints.model_after(trained, config.epoch) if config.epoch else checkpoints.best_model(trained)
    learnt = _with_heads(learnt, shards.learned(data))
    model = _both_sides(learnt) if config.mirror else learnt
    pixels, labels = _validation(data, config)
    wanted: Outputs = {name: np.asarray(values) for name, values in model.predict(pixels, _BATCH, verbose=0).items()}
    variants: list[Variant] = []
    for precision in precisions.CONVERTERS:
        variants.append(precisions.variant(model, data, precision, pixels, labels, config))
        print(variants[-1], flush=True)
    precisions.check_parity(variants[0].outputs, wanted, config)
    reference = precisions.score(wanted, labels, config)
    chosen = precisions.choose(variants, reference, config)
    manifest = _manifest(chosen, variants, reference, data, trained, config)
    trainable = weights.dump(learnt)
    manifest["weights"] = {
        "file": weights.FILE,
        "sha256": hashlib.sha256(trainable).hexdigest(),
        "bytes": len(trainable),
    }
    manifest["calibration"] = _calibration(
        temperature.fit(chosen.outputs, labels, config.interval_coverage, precisions.decision(config)), labels, config
    )
    manifest[release.DETECTOR] = files.section()
    manifest["input_check"] = input_check.fit(data, config.input_check)
    size = pixels.shape[1]
    predictor = precisions.predictor(chosen.model, size, wanted, config)
    manifest[self_test.MEMBER] = self_test.record(predictor.run(self_test.image(size)))
    # The manifest comes first because it marks the folder as this step's.
    unfinished.mkdir(parents=True)
    write_text(unfinished / release.MANIFEST, json.dumps(manifest, indent=2) + "\n")
    (unfinished / MODEL_FILE).write_bytes(chosen.model)
    (unfinished / weights.FILE).write_bytes(trainable)
    _FOLDER.clear(folder)
    unfinished.rename(folder)
    return manifest


def _with_heads(model: keras.Model, learned: tuple[str, ...]) -> keras.Model:
    """Return the model without the branches that no training face had a label for: what they predict is noise."""
    if learned == COLUMNS:
        return model
    return keras.Model(model.inputs[0], {head: model.output[head] for head in learned}, name=model.name)


def _validation(data: Path, config: ConvertConfig) -> tuple[Pixels, LabelArray]:
    pixels, labels = shards.first(data, "validation", config.validation_faces)
    if (by_head(labels)[AGE] == MISSING).all():
        raise StepError(f"no validation face in {data} has an age, so the age cannot be calibrated; label more faces")
    return pixels, labels


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


def _calibration(fitted: Calibration, labels: LabelArray, config: ConvertConfig) -> dict[str, dict[str, Any]]:
    faces = {head: int((values != MISSING).sum()) for head, values in by_head(labels).items()}
    return {
        AGE: {
            "at": fitted.age_at,
            "low": fitted.age_low,
            "high": fitted.age_high,
            "coverage": config.interval_coverage,
            "faces": faces[AGE],
        },
        "age_decision": fitted.decision._asdict(),
        **{
            head: {"temperature": temperature, "faces": faces[head]}
            for head, temperature in fitted.temperatures.items()
        },
    }


def _manifest(
    chosen: Variant,
    variants: list[Variant],
    reference: Score,
    data: Path,
    trained: Path,
    config: ConvertConfig,
) -> dict[str, Any]:
    now = datetime.now(UTC)
    sha256 = hashlib.sha256(chosen.model).hexdigest()
    fingerprint = shards.fingerprint(data)
    return {
        "format": release.FORMAT,
        "name": precisions.NAME,
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
            **{head: {"labels": names} for head, names in precisions.head_labels(chosen.outputs).items()},
        },
        "conversion": {
            "keras": reference.as_json(),
            **{variant.precision: {"bytes": len(variant.model), **variant.score.as_json()} for variant in variants},
        },
        "intended_use": INTENDED_USE,
        "provenance": provenance(data, trained, config),
    }
