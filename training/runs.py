"""What a training run leaves for later steps to read: its configuration and its history."""

from __future__ import annotations

import csv
import io
import json
import re
from dataclasses import asdict, dataclass
from pathlib import Path

from training.config import Augmentation, TrainConfig
from training.errors import StepError
from training.files import OwnFolder, write_text
from training.presets import RENAMED

_CONFIG = "config.json"
_HISTORY = "history.csv"
# what a training writes into its folder
FOLDER = OwnFolder(
    "train",
    re.compile(
        r"config\.json|history\.csv|making\.json|tracking\.json|(partial-)?(best|epoch-\d{4})\.keras"
        r"|teacher/[a-z]+-\d+\.answers\.npy|tensorboard/(.+/)?events\.out\.tfevents\..+|\..+\.partial"
    ),
    {"config.json": ("preset", "data", "config")},
)


@dataclass(frozen=True)
class TrainingRun:
    """How a model was trained, and on what."""

    preset: str
    # hex digest of the data's fingerprint
    data: str
    config: TrainConfig
    # over which each batch was split
    devices: int = 1


def load(folder: Path) -> TrainingRun:
    """The run that `folder` holds.

    Raises:
        StepError: nothing was trained there.
    """
    path = folder / _CONFIG
    if not path.is_file():
        raise StepError(f"{path} does not exist; run `python -m training train` first")
    record = json.loads(path.read_text())
    values = record["config"]
    augmentation = values.pop("augmentation")
    values["augmentation"] = Augmentation(**augmentation) if augmentation else None
    values["teachers"] = tuple(values["teachers"])
    config = TrainConfig(**values)
    return TrainingRun(RENAMED.get(record["preset"], record["preset"]), record["data"], config, record["devices"])


def save(folder: Path, run: TrainingRun) -> None:
    """Write the run's configuration."""
    write_text(folder / _CONFIG, json.dumps(asdict(run), indent=2) + "\n")


def exists(folder: Path) -> bool:
    """Whether a run was begun in `folder`."""
    return (folder / _CONFIG).is_file()


def history(folder: Path) -> list[dict[str, float]]:
    """A row for each epoch: its number (from 1) and keras's logs."""
    path = folder / _HISTORY
    if not path.is_file():
        return []
    with path.open(newline="") as stream:
        return [{name: float(value) for name, value in row.items()} for row in csv.DictReader(stream)]


def write_history(folder: Path, rows: list[dict[str, float]]) -> None:
    """Replace the history by `rows`, of which there is at least one."""
    stream = io.StringIO()
    table = csv.DictWriter(stream, fieldnames=list(rows[0]))
    table.writeheader()
    table.writerows(rows)
    write_text(folder / _HISTORY, stream.getvalue())
