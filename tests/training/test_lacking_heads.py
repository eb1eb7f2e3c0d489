"""Releases and faces from before a head was added say what they lack; nothing of them is scored 0."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from serving import release
from serving.release import MANIFEST, Release
from training.config import EvaluateConfig
from training.data import shards
from training.errors import StepError
from training.evaluate import compare, evaluate, score
from training.evaluation import champion
from training.learning.teacher import write_predictions

CONFIG = EvaluateConfig(bootstrap=100, paired_bootstrap=200)


@pytest.fixture
def older(challenger: Path, tmp_path: Path) -> Path:
    """A release that knows no ethnicity."""
    folder = Path(shutil.copytree(challenger, tmp_path / "older"))
    manifest = json.loads((folder / MANIFEST).read_text())
    for part in ("heads", "calibration"):
        del manifest[part]["ethnicity"]
    (folder / MANIFEST).write_text(json.dumps(manifest))
    return folder


def test_it_is_not_evaluated(data: Path, older: Path) -> None:
    with pytest.raises(StepError, match=r"has no head ethnicity, which training/labels.py defines; train and convert"):
        evaluate(data, older.parent, older, CONFIG)


def test_it_teaches_nobody(data: Path, older: Path, tmp_path: Path) -> None:
    with pytest.raises(StepError, match=r"has no head ethnicity with the labels of training/labels\.py; choose"):
        write_predictions((str(older),), data, tmp_path / "answers")


def test_a_teacher_of_other_labels_is_refused(data: Path, challenger: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(challenger, tmp_path / "other"))
    manifest = json.loads((folder / MANIFEST).read_text())
    manifest["heads"]["gender"]["labels"].reverse()
    (folder / MANIFEST).write_text(json.dumps(manifest))
    with pytest.raises(StepError, match=r"has no head gender with the labels of training/labels\.py; choose"):
        write_predictions((str(folder),), data, tmp_path / "answers")


def test_as_a_champion_it_is_compared_by_the_heads_that_it_has(data: Path, older: Path, challenger: Path) -> None:
    converted: Release = release.load(str(challenger))
    predictor = champion.named(str(challenger)).predictor
    assert predictor
    found = compare(champion.named(str(older)), converted, score(predictor, data), data, CONFIG)
    assert found.notes[0] == ("Ethnicity is not compared: the champion has no such head. Only the thresholds apply.")
    assert {row.metric for row in found.differences} == {"age_mae", "age_within_5", "gender_accuracy"}


def test_faces_with_fewer_labels_are_to_be_prepared_again(tmp_path: Path) -> None:
    shards.write(tmp_path, "train", 0, np.zeros((2, 8, 8, 3), np.uint8), np.zeros((2, 2), np.uint8))
    with pytest.raises(
        StepError,
        match=r"have 2 label columns, .* names 4 \(age, gender, ethnicity, age_high\); prepare them again, from files",
    ):
        shards.shards(tmp_path, "train")
