"""Checkpoints of a training, each written atomically, so that the training can be interrupted at any time."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from training import runs
from training.config import TrainConfig
from training.errors import StepError
from training.runs import selection_metric

if TYPE_CHECKING:
    import keras

# The epoch with the best validation metrics.
BEST = "best.keras"

_EPOCH = re.compile(r"epoch-(\d{4})\.keras")
# The last two epochs. Machines that stop between each other's writes have the earlier one in common.
_KEPT = 2


def write(folder: Path, model: keras.Model, row: dict[str, float], select: bool = True) -> None:
    """Write the state after an epoch, the best model so far and the history.

    Args:
        folder: folder of the run.
        model: the model with its optimizer.
        row: the epoch's number (from 1) and its metrics.
        select: whether the best model is chosen by the validation metrics. Otherwise `write_best` writes it.
    """
    epoch = int(row["epoch"])
    # A resumed run repeats the epoch in which it was interrupted.
    rows = [earlier for earlier in runs.history(folder) if earlier["epoch"] < epoch]
    if select and selection_metric(row) < min(map(selection_metric, rows), default=float("inf")):
        _save(model, folder / BEST)
    runs.write_history(folder, [*rows, row])
    _save(model, folder / f"epoch-{epoch:04d}.keras")
    for _, path in epochs(folder)[:-_KEPT]:
        path.unlink()


def write_best(folder: Path, model: keras.Model) -> None:
    """Write the best model of a training that is complete."""
    _save(model, folder / BEST)


def epochs(folder: Path) -> list[tuple[int, Path]]:
    """Return number (from 1) and path of each checkpoint in `folder`, in order."""
    found = ((_EPOCH.fullmatch(path.name), path) for path in folder.glob("epoch-*.keras"))
    return sorted((int(match[1]), path) for match, path in found if match)


def best_model(folder: Path) -> keras.Model:
    """Return the model of the epoch with the best validation metrics.

    Raises:
        StepError: as `find`.
    """
    return _load(find(folder))


def model_after(folder: Path, epoch: int) -> keras.Model:
    """Return the model after an epoch (from 1).

    Raises:
        StepError: as `find`.
    """
    return _load(find(folder, epoch))


def find(folder: Path, epoch: int = 0) -> Path:
    """Return the path of an epoch's checkpoint (from 1), or of the best one for 0.

    Raises:
        StepError: there is none.
    """
    if not epoch:
        path = folder / BEST
        if not path.is_file():
            raise StepError(f"{path} does not exist; run `python -m training train` first")
        return path
    kept = dict(epochs(folder))
    if epoch not in kept:
        raise StepError(
            f"{folder} has no checkpoint of epoch {epoch}; it has {', '.join(map(str, kept)) or 'none'}. Choose one of "
            "these, or leave --epoch out for the best"
        )
    return kept[epoch]


def finished(folder: Path, config: TrainConfig) -> bool:
    """Return whether the training in `folder` completed all epochs or stopped early."""
    rows = runs.history(folder)
    return (
        (folder / BEST).is_file()
        and bool(rows)
        and (len(rows) >= config.epochs or _epochs_since_best(rows) >= config.patience)
    )


def _epochs_since_best(rows: list[dict[str, float]]) -> int:
    merits = [selection_metric(row) for row in rows]
    return len(merits) - 1 - merits.index(min(merits))


def _load(path: Path) -> keras.Model:
    import keras

    # Registers the layers that Keras would not find by itself.
    import training.learning.layers  # noqa: F401

    return keras.models.load_model(path, compile=False)


def _save(model: keras.Model, path: Path) -> None:
    partial = path.with_name(f"partial-{path.name}")
    model.save(partial)
    partial.replace(path)
