"""Checkpoints of a training that can be broken off at any moment: written aside and renamed, never half there."""

from __future__ import annotations

import re
from pathlib import Path

import keras

from training import run
from training.config import TrainConfig
from training.losses import merit

_EPOCH = re.compile(r"epoch-(\d{4})\.keras")


class Checkpoint(keras.callbacks.Callback):
    """After each epoch keeps the whole state, the best model so far and the history; stops when nothing improves."""

    def __init__(self, folder: Path, patience: int) -> None:
        super().__init__()
        self.folder = folder
        self.patience = patience

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        """`epoch` counts from 0, as keras does."""
        logs = logs or {}
        # A run that is continued repeats the epoch it was broken off in.
        rows = [row for row in run.history(self.folder) if row["epoch"] <= epoch]
        if merit(logs) < min((merit(row) for row in rows), default=float("inf")):
            _save(self.model, self.folder / "best.keras")
        row = {"epoch": epoch + 1.0, **{name: float(value) for name, value in logs.items()}}
        run.write_history(self.folder, [*rows, row])
        _save(self.model, self.folder / f"epoch-{epoch + 1:04d}.keras")
        for earlier, path in epochs(self.folder):
            if earlier <= epoch:
                path.unlink()
        if _epochs_since_best([*rows, row]) >= self.patience:
            self.model.stop_training = True


def epochs(folder: Path) -> list[tuple[int, Path]]:
    """Completed epochs (from 1) whose whole state is in `folder`, in order."""
    found = ((_EPOCH.fullmatch(path.name), path) for path in folder.glob("epoch-*.keras"))
    return sorted((int(match[1]), path) for match, path in found if match)


def finished(folder: Path, config: TrainConfig) -> bool:
    """Whether the training in `folder` went through all its epochs, or stopped because nothing improved."""
    rows = run.history(folder)
    return bool(rows) and (len(rows) >= config.epochs or _epochs_since_best(rows) >= config.patience)


def _epochs_since_best(rows: list[dict[str, float]]) -> int:
    merits = [merit(row) for row in rows]
    return len(merits) - 1 - merits.index(min(merits))


def _save(model: keras.Model, path: Path) -> None:
    partial = path.with_name(f"partial-{path.name}")
    model.save(partial)
    partial.replace(path)
