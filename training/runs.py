"""A training run's folder: its configuration and its history."""

from __future__ import annotations

import csv
import io
import json
import math
import re
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from training.config import Augmentation, TrainConfig
from training.errors import StepError
from training.files import OwnFolder, write_text
from training.labels import CHOICES
from training.presets import RENAMED

_CONFIG = "config.json"
_HISTORY = "history.csv"
# Everything that `train` writes into its folder.
FOLDER = OwnFolder(
    "train",
    re.compile(
        # The trainings on parts of the faces have folders of the same content.
        r"curve(/[a-z]+)?|(curve/([a-z]+/)?)?("
        r"(config|interpolation|key|making|part|tracking)\.json|history\.csv|(partial-)?(best|epoch-\d{4})\.keras"
        r"|(teacher|other|initial|faces)/[a-z]+-\d+\.(answers|predictions|pixels|labels)\.npy"
        r"|(other|faces)/fingerprint\.json|tensorboard/(.+/)?events\.out\.tfevents\..+|\..+\.partial)"
    ),
    {"config.json": ("preset", "data", "config")},
)


@dataclass(frozen=True)
class TrainingRun:
    """The configuration and the data of a training."""

    preset: str
    """Name of the preset."""
    data: str
    """SHA-256 of the data's fingerprint."""
    config: TrainConfig
    """The preset's configuration with the changes of the command line."""
    devices: int = 1
    """Number of devices that shared each batch."""
    key: str = ""
    """Key of data, code and configuration (training/skipping.py), "" if it is unknown."""

    def same(self, other: TrainingRun) -> bool:
        """Return whether two runs learn the same on the same devices. An unknown key says nothing."""
        return replace(self, key="") == replace(other, key="") and (
            self.key == other.key or not self.key or not other.key
        )


def load(folder: Path) -> TrainingRun:
    """Return the run in `folder`.

    Raises:
        StepError: there is none.
    """
    path = folder / _CONFIG
    if not path.is_file():
        raise StepError(f"{path} does not exist; run `python -m training train` first")
    record = json.loads(path.read_text(encoding="utf-8"))
    values = record["config"]
    augmentation = values.pop("augmentation")
    values["augmentation"] = Augmentation(**augmentation) if augmentation else None
    values["teachers"] = tuple(values["teachers"])
    config = TrainConfig(**values)
    preset = RENAMED.get(record["preset"], record["preset"])
    return TrainingRun(preset, record["data"], config, record["devices"], record.get("key", ""))


def save(folder: Path, run: TrainingRun) -> None:
    """Write the run's configuration."""
    write_text(folder / _CONFIG, json.dumps(asdict(run), indent=2) + "\n")


def exists(folder: Path) -> bool:
    """Return whether a run was started in `folder`."""
    return (folder / _CONFIG).is_file()


def history(folder: Path) -> list[dict[str, float]]:
    """Return a row for each epoch: its number (from 1) and its metrics."""
    path = folder / _HISTORY
    if not path.is_file():
        return []
    with path.open(newline="", encoding="utf-8") as stream:
        return [{name: float(value) for name, value in row.items()} for row in csv.DictReader(stream)]


def write_history(folder: Path, rows: list[dict[str, float]]) -> None:
    """Replace the history. `rows` must not be empty."""
    stream = io.StringIO()
    table = csv.DictWriter(stream, fieldnames=list(rows[0]))
    table.writeheader()
    table.writerows(rows)
    write_text(folder / _HISTORY, stream.getvalue())


def selection_metric(row: dict[str, float]) -> float:
    """Return the metric that selects the best epoch, in years. Lower is better.

    It is the validation age error plus the weighted error rate of each choice, without the heads that no validation
    face has a label for. The validation loss is not used: late in training it mostly punishes confidence, which
    calibration corrects.
    """
    terms = [
        row["val_age_error"],
        *(head.selection_weight * (1 - row[f"val_{head.name}_accuracy"]) for head in CHOICES),
    ]
    return sum(term for term in terms if not math.isnan(term))
