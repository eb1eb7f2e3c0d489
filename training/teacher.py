"""A teacher: a release whose answers to the training faces are learnt beside the labels."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from serving import release
from serving.images import Pixels
from serving.predictor import HEADS, Outputs, Predictor
from training import shards
from training.errors import StepError
from training.labels import AGE_CLASSES, ETHNICITIES
from training.shards import Shard

# Columns of an answers file, float32 probabilities: years, female, ethnicities.
ANSWER_WIDTHS = (AGE_CLASSES, 1, len(ETHNICITIES))
ANSWER_COLUMNS = sum(ANSWER_WIDTHS)
_BATCH = 64

Answers = npt.NDArray[np.float32]


def write_answers(uri: str, data: Path, folder: Path) -> None:
    """Write into `folder` what the release at `uri` answers to each training face, a file for each shard.

    Its answers to the face and to its mirror image are averaged: a quieter teacher at no cost to the pupil.

    Raises:
        StepError: the release cannot be used, or answers other classes.
    """
    try:
        predictor = Predictor(release.load(uri))
    except release.ReleaseError as error:
        raise StepError(f"the teacher cannot be used: {error}") from error
    folder.mkdir(parents=True, exist_ok=True)
    found = shards.shards(data, "train")
    for shard in tqdm(found, desc="teacher", unit="shard", disable=not sys.stderr.isatty()):
        pixels, _ = shard.load()
        rows = [_answers(predictor, pixels[start : start + _BATCH]) for start in range(0, len(pixels), _BATCH)]
        np.save(answers_file(folder, shard), np.concatenate(rows))


def answers_file(folder: Path, shard: Shard) -> Path:
    """Where the answers to the faces of `shard` are kept."""
    return folder / shard.labels.name.replace(".labels.", ".answers.")


def _answers(predictor: Predictor, faces: Pixels) -> Answers:
    resized = shards.resized(faces, predictor.release.size)
    both = [_row(predictor.run(side)) for side in (resized, np.ascontiguousarray(resized[:, :, ::-1]))]
    if both[0].shape[1] != ANSWER_COLUMNS:
        raise StepError(
            f"the teacher {predictor.release.version} answers {both[0].shape[1]} classes, {ANSWER_COLUMNS} are wanted; "
            "choose a release with the same labels"
        )
    return ((both[0] + both[1]) / 2).astype(np.float32)


def _row(outputs: Outputs) -> Answers:
    """(N, ANSWER_COLUMNS). What an int8 file answers adds up to 1 only nearly."""
    sums = {head: outputs[head].sum(axis=1, keepdims=True) for head in HEADS}
    return np.concatenate([outputs[head] / (1 if head == "gender" else sums[head]) for head in HEADS], axis=1)
