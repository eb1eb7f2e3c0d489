"""A small trained run that several tests look at."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tests.faces import write_faces
from training.config import ConvertConfig, EvaluateConfig, PrepareConfig, TrainConfig
from training.convert import convert
from training.evaluate import evaluate
from training.prepare import prepare
from training.presets import PRESETS
from training.train import train

# Enough steps for the smallest network to see what the drawn faces show.
SHORT: TrainConfig = replace(PRESETS["smoke"].train, epochs=3, max_steps=40)


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Prepared drawn faces."""
    folder = tmp_path_factory.mktemp("faces")
    write_faces(folder, 600)
    prepare(folder, folder.parent / "data", PrepareConfig(size=48, shard_faces=100, validation=0.2, test=0.2))
    return folder.parent / "data"


@pytest.fixture(scope="session")
def trained(data: Path) -> Path:
    """A run of the real training."""
    folder = data.parent / "model"
    train(data, folder, SHORT, "smoke", resume=False)
    return folder


@pytest.fixture(scope="session")
def candidate(data: Path, trained: Path) -> Path:
    """The release made from it, evaluated."""
    folder = data.parent / "release"
    convert(data, trained, folder, ConvertConfig())
    evaluate(data, trained, folder, EvaluateConfig(bootstrap=200))
    return folder
