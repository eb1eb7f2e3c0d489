"""Folders of faces as people really have them: few, of one kind, with a class missing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from tests.training.conftest import SHORT
from training.config import ConvertConfig, EvaluateConfig, PrepareConfig
from training.convert import convert
from training.data import coverage
from training.errors import StepError
from training.evaluate import evaluate
from training.evaluation.card import render_card
from training.faces import draw
from training.gate import gate
from training.labels import ETHNICITIES, GENDERS
from training.prepare import prepare
from training.presets import PRESETS
from training.train import train

Kind = Callable[[int], tuple[int, int, int]]
# number of a face -> age, gender, ethnicity
KINDS: dict[str, Kind] = {
    "all male": lambda n: (n * 37 % 101, 0, n % 5),
    "no asian face": lambda n: (n * 37 % 101, n % 2, (0, 1, 3, 4)[n % 4]),
    "only twenty to thirty": lambda n: (20 + n % 11, n % 2, n % 5),
    "only children": lambda n: (n % 13, n % 2, n % 5),
}
MISSING = {
    "all male": {GENDERS[1]},
    "no asian face": {ETHNICITIES[2]},
    "only twenty to thirty": {"0-12", "13-19", "40-59", "60+"},
    "only children": {"13-19", "20-39", "40-59", "60+"},
}


def write_faces(folder: Path, kind: Kind, count: int) -> Path:
    folder.mkdir()
    for number in range(count):
        age, gender, ethnicity = kind(number)
        (folder / f"{age}_{gender}_{ethnicity}_{20170101000000000 + number}.jpg").write_bytes(
            draw(age, gender, ethnicity, seed=number)
        )
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_the_whole_way_with_300_faces_of_one_kind(kind: str, tmp_path: Path) -> None:
    data, model, release = tmp_path / "data", tmp_path / "model", tmp_path / "release"
    fingerprint = prepare(write_faces(tmp_path / "faces", KINDS[kind], 300), data, PrepareConfig(size=48))
    assert min(fingerprint.faces.values()) >= 15
    train(data, model, replace(SHORT, epochs=1, max_steps=8), "smoke", resume=False)
    manifest = convert(data, model, release, ConvertConfig())
    measured = evaluate(data, model, release, EvaluateConfig(bootstrap=100))
    assert measured["faces"] == fingerprint.faces["test"]
    assert {"age_mae", "gender_accuracy", "bytes"} <= {
        check.name for check in gate(release, PRESETS["smoke"].gate).checks
    }
    assert "Model card" in render_card(manifest, measured)


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_missing_is_named(kind: str, tmp_path: Path) -> None:
    data = tmp_path / "data"
    prepare(write_faces(tmp_path / "faces", KINDS[kind], 120), data, PrepareConfig(size=48))
    named = {gap.split(":")[0].split()[-1] for gap in coverage.find(data) if gap.startswith("no training images")}
    assert named == MISSING[kind]


def test_a_good_mixture_has_no_gaps_but_its_size(data: Path) -> None:
    assert not any(gap.startswith("no training images") for gap in coverage.find(data))


def test_small_splits_are_named(data: Path) -> None:
    assert sum("will be rough" in gap for gap in coverage.find(data)) == 2


def test_a_handful_of_faces_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StepError, match="too few faces for three splits"):
        prepare(write_faces(tmp_path / "faces", KINDS["all male"], 3), tmp_path / "data", PrepareConfig(size=48))
