"""Teachers: releases whose answers to the training faces are learnt beside the labels."""

from __future__ import annotations

import os
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from serving.predictor import Outputs, Predictor
from serving.release import ReleaseError
from training.data import shards
from training.data.shards import Shard
from training.errors import StepError
from training.labels import AGE_CLASSES, CHOICES, COLUMNS, LABELS
from training.registry import releases
from training.registry.signing import Trust

# Columns of an answers file, float32 probabilities: years, and what each choice answers.
PREDICTION_WIDTHS = (AGE_CLASSES, *(head.width for head in CHOICES))
PREDICTION_COLUMNS = sum(PREDICTION_WIDTHS)

Predictions = npt.NDArray[np.float32]


def write_predictions(uris: tuple[str, ...], data: Path, folder: Path, trust: Trust | None = None) -> None:
    """Write into `folder` what the releases at `uris` answer to each training face, a file for each shard.

    The answers of several teachers, and those to a face and to its mirror image, are averaged: a quieter teacher at no
    cost to the pupil.

    Raises:
        StepError: a release cannot be used, or answers other classes.
    """
    predictors = [_predictor(uri, trust) for uri in uris]
    folder.mkdir(parents=True, exist_ok=True)
    found = shards.shards(data, "train")

    def write(shard: Shard) -> None:
        np.save(
            predictions_file(folder, shard),
            np.mean([_predictions(predictor, shard) for predictor in predictors], axis=0),
        )

    progress = tqdm(total=len(found), desc="teacher", unit="shard", disable=not sys.stderr.isatty())
    with progress, ThreadPoolExecutor(os.cpu_count()) as pool:
        for _ in pool.map(write, found):
            progress.update()


def predictions_file(folder: Path, shard: Shard) -> Path:
    """Where the answers to the faces of `shard` are kept."""
    return folder / shard.labels.name.replace(".labels.", ".predictions.")


def _predictor(uri: str, trust: Trust | None) -> Predictor:
    try:
        found = Predictor(releases.read(uri, trust).served())
    except (ReleaseError, StepError) as error:
        raise StepError(f"the teacher cannot be used: {error}") from error
    if other := [head for head, names in LABELS.items() if found.release.labels.get(head) != names]:
        raise StepError(
            f"the teacher {found.release.version} lacks the heads that are trained, or their labels: "
            f"{', '.join(other)}; choose a release that was trained on them"
        )
    return found


def _predictions(predictor: Predictor, shard: Shard) -> Predictions:
    """(n, PREDICTION_COLUMNS) for the faces of one shard."""
    pixels, _ = shard.load()
    rows = []
    for faces in shards.pieces(pixels, predictor.release.size):
        sides = [_row(predictor.run(faces))]
        # A release that averages both sides itself needs no second look.
        if not predictor.release.manifest["model"].get("mirror"):
            sides.append(_row(predictor.run(np.ascontiguousarray(faces[:, :, ::-1]))))
        rows.append(np.mean(sides, axis=0))
    predictions: Predictions = np.concatenate(rows).astype(np.float32)
    return predictions


def _row(outputs: Outputs) -> Predictions:
    """(N, PREDICTION_COLUMNS). What an int8 file answers adds up to 1 only nearly."""
    each = (outputs[head] for head in COLUMNS)
    return np.concatenate(
        [values if values.shape[1] == 1 else values / values.sum(axis=1, keepdims=True) for values in each], axis=1
    )
