"""Checkpoints of a training that can be broken off at any moment: written aside and renamed, never half there."""

from __future__ import annotations

import re
from pathlib import Path

import keras

from training import runs
from training.config import TrainConfig
from training.errors import StepError
from training.learning.losses import selection_metric

# of all epochs, the one with the best validation metrics
BEST = "best.keras"

_EPOCH = re.compile(r"epoch-(\d{4})\.keras")
# The last state, and the one before: machines that were broken off between each other's writes share that one.
_KEPT = 2


def write(folder: Path, model: keras.Model, row: dict[str, float]) -> None:
    """Keep the state after an epoch, the best model so far and the history.

    Args:
        folder: of the run.
        model: with its optimizer.
        row: the epoch's number (from 1) and its metrics.
    """
    epoch = int(row["epoch"])
    # A run that is continued repeats the epoch it was broken off in.
    rows = [earlier for earlier in runs.history(folder) if earlier["epoch"] < epoch]
    if selection_metric(row) < min(map(selection_metric, rows), default=float("inf")):
        _save(model, folder / BEST)
    runs.write_history(folder, [*rows, row])
    _save(model, folder / f"epoch-{epoch:04d}.keras")
    for _, path in epochs(folder)[:-_KEPT]:
        path.unlink()


def epochs(folder: Path) -> list[tuple[int, Path]]:
    """Completed epochs (from 1) whose whole state is in `folder`, in order."""
    found = ((_EPOCH.fullmatch(path.name), path) for path in folder.glob("epoch-*.keras"))
    return sorted((int(match[1]), path) for match, path in found if match)


def best_model(folder: Path) -> keras.Model:
    """The model of the epoch with the best validation metrics.

    Raises:
        StepError: nothing was trained in `folder`.
    """
    path = folder / BEST
    if not path.is_file():
        raise StepError(f"{path} does not exist; run `python -m training train` first")
    return keras.models.load_model(path, compile=False)


def model_after(folder: Path, epoch: int) -> keras.Model:
    """The model as it was after an epoch (from 1) whose checkpoint is still there.

    Raises:
        StepError: it is not.
    """
    kept = dict(epochs(folder))
    if epoch not in kept:
        there = ", ".join(map(str, kept)) or "none"
        raise StepError(f"{folder} holds no checkpoint of epoch {epoch}; there are those of {there}")
    return keras.models.load_model(kept[epoch], compile=False)


def finished(folder: Path, config: TrainConfig) -> bool:
    """Whether the training in `folder` went through all its epochs, or stopped because nothing improved."""
    rows = runs.history(folder)
    return bool(rows) and (len(rows) >= config.epochs or _epochs_since_best(rows) >= config.patience)


def _epochs_since_best(rows: list[dict[str, float]]) -> int:
    merits = [selection_metric(row) for row in rows]
    return len(merits) - 1 - merits.index(min(merits))


def _save(model: keras.Model, path: Path) -> None:
    partial = path.with_name(f"partial-{path.name}")
    model.save(partial)
    partial.replace(path)
