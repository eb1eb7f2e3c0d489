"""A release teaches: its answers are written beside the faces, and are learnt."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from serving import release
from serving.predictor import Predictor
from tests.training.conftest import SHORT
from training import runs
from training.data import shards
from training.errors import StepError
from training.learning.teacher import PREDICTION_COLUMNS, predictions_file, write_predictions
from training.train import train


def test_the_answers_are_those_of_the_release_averaged_over_a_face_and_its_mirror_image(
    data: Path, challenger: Path, tmp_path: Path
) -> None:
    write_predictions((str(challenger),), data, tmp_path)
    predictor = Predictor(release.load(str(challenger)))
    for shard in shards.shards(data, "train"):
        pixels, _ = shard.load()
        predictions = np.load(predictions_file(tmp_path, shard))
        assert (predictions.shape, predictions.dtype) == ((len(pixels), PREDICTION_COLUMNS), np.float32)
        sides = [predictor.run(faces)["gender"][:, 0] for faces in (pixels, np.ascontiguousarray(pixels[:, :, ::-1]))]
        assert predictions[:, 117] == pytest.approx(np.mean(sides, axis=0), abs=1e-5)


def test_a_teacher_for_faces_of_another_size_sees_them_resized(data: Path, tmp_path: Path) -> None:
    bundled = Path(__file__).parents[2] / "function" / "model"
    write_predictions((str(bundled),), data, tmp_path)
    first = np.load(predictions_file(tmp_path, shards.shards(data, "train")[0]))
    assert first[:, :117].sum(axis=1) == pytest.approx(1, abs=1e-4)


def test_a_taught_network_is_trained_like_any_other(data: Path, challenger: Path, tmp_path: Path) -> None:
    config = replace(SHORT, epochs=1, max_steps=10, teachers=(str(challenger),))
    train(data, tmp_path / "model", config, "smoke", resume=False)
    assert runs.load(tmp_path / "model").config.teachers == (str(challenger),)
    (row,) = runs.history(tmp_path / "model")
    assert 0 < row["age_error"] < 60


def test_a_missing_teacher_is_named(data: Path, tmp_path: Path) -> None:
    config = replace(SHORT, teachers=(str(tmp_path / "nowhere"),))
    with pytest.raises(StepError, match="nowhere"):
        train(data, tmp_path / "model", config, "smoke", resume=False)


def test_a_teacher_of_another_contract_is_refused(data: Path, challenger: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    shutil.copytree(challenger, other)
    manifest = json.loads((other / release.MANIFEST).read_text())
    (other / release.MANIFEST).write_text(json.dumps(manifest | {"format": 99}))
    with pytest.raises(StepError, match="format 99"):
        write_predictions((str(other),), data, tmp_path / "answers")
