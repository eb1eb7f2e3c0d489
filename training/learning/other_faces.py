"""Other faces in a fine-tuning: a sample of them, and how far the weights may move without forgetting them."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from training.data import shards
from training.files import write_text
from training.labels import MISSING, age_range
from training.learning.weights import between

if TYPE_CHECKING:
    import keras

# In a run's folder: the sampled faces, and the chosen interpolation.
FOLDER = "other"
INTERPOLATION = "interpolation.json"
# Faces sampled from each split.
_SAMPLED = {"train": 4000, "validation": 1500}
_SHARD_FACES = 500
# Halvings of the interval in which the interpolation lies. The last one is 1/16.
_HALVINGS = 4


def sample(other: Path, folder: Path) -> Path:
    """Write evenly spaced faces of the training and validation splits of `other` into a run's folder, as shards.

    Returns:
        The folder of the sample, which the steps read like the output of `prepare`.
    """
    sampled = folder / FOLDER
    sampled.mkdir(exist_ok=True)
    counts = {}
    for split, most in _SAMPLED.items():
        face = shards.finder(other, split)
        labels = shards.labels(other, split)
        chosen = np.unique(np.linspace(0, len(labels) - 1, most).astype(int))
        for number, start in enumerate(range(0, len(chosen), _SHARD_FACES)):
            part = chosen[start : start + _SHARD_FACES]
            shards.write(sampled, split, number, np.stack([face(place) for place in part]), labels[part])
        counts[split] = len(chosen)
    replace(shards.fingerprint(other), faces=counts).save(sampled)
    return sampled


def usual_ages(data: Path) -> tuple[float, float]:
    """Return the ages between which nine tenths of the own training faces lie, in years. A range counts as its middle.

    Raises:
        StepError: as `shards.shards`.
    """
    youngest, oldest = (ages[ages != MISSING].astype(np.float64) for ages in age_range(shards.labels(data, "train")))
    low, high = np.quantile((youngest + oldest) / 2, (0.05, 0.95)).tolist()
    return low, high


def of(trained: Path) -> list[Path]:
    """Return the folder of the sample in a run's folder, as a list with nothing or one path."""
    return [trained / FOLDER] if (trained / FOLDER).is_dir() else []


def interpolate(
    model: keras.Model, start: list[Any], error: Callable[[], float], limit: float, folder: Path
) -> dict[str, float]:
    """Move the weights of `model` back towards `start` until the error on the other faces is small enough.

    Args:
        model: the fine-tuned network. It gets the chosen weights.
        start: weights of the initial network.
        error: returns the age error of `model` on the other faces in years.
        limit: years by which that error may exceed the initial network's.
        folder: the run's folder, in which the choice is recorded.

    Returns:
        The record: share of the fine-tuned weights, and the errors in years.
    """
    end = model.get_weights()

    def at(share: float) -> float:
        model.set_weights(between(start, end, share))
        return error()

    first = at(0.0)
    low, high = 0.0, 1.0
    found = {0.0: first, 1.0: at(1.0)}
    if found[1.0] <= first + limit:
        low = 1.0
    for _ in range(_HALVINGS if low < 1 else 0):
        middle = (low + high) / 2
        found[middle] = at(middle)
        low, high = (middle, high) if found[middle] <= first + limit else (low, middle)
    model.set_weights(between(start, end, low))
    record = {"share": low, "error_before": first, "error_fine_tuned": found[1.0], "error": found[low]}
    write_text(folder / INTERPOLATION, json.dumps(record) + "\n")
    return record


def stated(trained: Path) -> dict[str, Any]:
    """Return what a manifest states about the other faces of a training, empty if it had none.

    Its members: `data`, the fingerprint of the sample with the digest of the whole set; and those of `interpolate`.
    """
    if not (trained / INTERPOLATION).is_file():
        return {}
    found = json.loads((trained / INTERPOLATION).read_text(encoding="utf-8"))
    return {"other": {"data": shards.fingerprint(trained / FOLDER).stated(), **found}}
