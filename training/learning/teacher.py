"""Distillation: predictions of teacher releases for the training faces."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import numpy.typing as npt

from serving.predictor import Outputs, Predictor
from serving.release import ReleaseError
from training.data import shards
from training.data.shards import Shard
from training.errors import StepError
from training.labels import AGE_CLASSES, CHOICES, COLUMNS, LABELS
from training.progress import progress
from training.registry import releases
from training.registry.signing import Trust

# Widths of the heads in a predictions file of float32 probabilities.
PREDICTION_WIDTHS = (AGE_CLASSES, *(head.width for head in CHOICES))
PREDICTION_COLUMNS = sum(PREDICTION_WIDTHS)

Predictions = npt.NDArray[np.float32]


def write_predictions(uris: tuple[str, ...], data: Path, folder: Path, trust: Trust | None = None) -> None:
    """Write the predictions of the releases at `uris` for each training face into `folder`, one file a shard.

    Predictions are averaged over the teachers, and over a face and its mirror image. This reduces their noise, and the
    student costs the same.

    Raises:
        StepError: as `load`.
    """
    predictors = load(uris, trust)
    folder.mkdir(parents=True, exist_ok=True)
    found = shards.shards(data, "train")

    def write(shard: Shard) -> None:
        np.save(
            predictions_file(folder, shard),
            np.mean([_predictions(predictor, shard) for predictor in predictors], axis=0),
        )

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for _ in progress(pool.map(write, found), "teacher", "shard", total=len(found)):
            pass


def predictions_file(folder: Path, shard: Shard) -> Path:
    """Return the path of the predictions for the faces of `shard`."""
    return folder / shard.labels.name.replace(".labels.", ".predictions.")


def load(uris: tuple[str, ...], trust: Trust | None = None) -> list[Predictor]:
    """Return the predictors of the releases at `uris`.

    Raises:
        StepError: a release cannot be loaded, or lacks a head or labels that are trained.
    """
    return [_load(uri, trust) for uri in uris]


def _load(uri: str, trust: Trust | None) -> Predictor:
    try:
        found = Predictor(releases.read(uri, trust).served())
    except (ReleaseError, StepError) as error:
        raise StepError(f"the teacher cannot be used: {error}") from error
    if other := [head for head, names in LABELS.items() if found.release.labels.get(head) != names]:
        raise StepError(
            f"the teacher {found.release.version} has no head {', '.join(other)} with the labels of "
            "training/labels.py; choose a release that was trained on them"
        )
    return found


def _predictions(predictor: Predictor, shard: Shard) -> Predictions:
    """Return (n, PREDICTION_COLUMNS) for the faces of one shard."""
    pixels, _ = shard.load()
    rows = []
    for faces in shards.pieces(pixels, predictor.release.size):
        sides = [_row(predictor.run(faces))]
        # A release with `mirror` averages both sides itself.
        if not predictor.release.manifest["model"].get("mirror"):
            sides.append(_row(predictor.run(np.ascontiguousarray(faces[:, :, ::-1]))))
        rows.append(np.mean(sides, axis=0))
    predictions: Predictions = np.concatenate(rows).astype(np.float32)
    return predictions


def _row(outputs: Outputs) -> Predictions:
    """Return (N, PREDICTION_COLUMNS), normalized because the outputs of an int8 file only nearly add up to 1."""
    each = (outputs[head] for head in COLUMNS)
    return np.concatenate(
        [values if values.shape[1] == 1 else values / values.sum(axis=1, keepdims=True) for values in each], axis=1
    )
