"""Other faces in a fine-tuning: the sample, the mixture, and the way back towards the initial weights."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
import pytest

from tests.partial import copy
from tests.training.conftest import SHORT
from training import runs
from training.__main__ import main
from training.config import ConvertConfig, TrainConfig, require_usable
from training.convert import convert
from training.data import shards
from training.errors import StepError
from training.learning import checkpoints, dataset, inputs, other_faces, teacher
from training.train import train


@pytest.fixture(scope="module")
def config(data: Path, challenger: Path) -> TrainConfig:
    return replace(SHORT, epochs=1, max_steps=3, batch=20, other_share=0.9, init_from=str(challenger), other=str(data))


def test_the_sample_is_spread_over_the_splits(data: Path, tmp_path: Path) -> None:
    sample = other_faces.sample(data, tmp_path)
    faces = shards.fingerprint(data).faces
    counts = {
        split: sum(len(shard.load()[1]) for shard in shards.shards(sample, split)) for split in ("train", "validation")
    }
    assert counts == {split: faces[split] for split in counts} == shards.fingerprint(sample).faces
    for split in counts:
        for found, wanted in zip(shards.first(sample, split, 9999), shards.first(data, split, 9999), strict=True):
            assert np.array_equal(found, wanted)


def test_each_batch_has_its_share_of_other_faces(
    data: Path, challenger: Path, config: TrainConfig, tmp_path: Path
) -> None:
    sample = other_faces.sample(data, tmp_path)
    teacher.write_predictions((str(challenger),), sample, tmp_path / "initial")
    plain = replace(config, augmentation=None, other_teacher_share=1.0)
    batches = dataset.mixed_batches(data, sample, plain, 1, None, tmp_path / "initial")
    pixels, targets = next(iter(batches))
    assert pixels.shape[0] == config.batch
    assert config.own_batch == 2
    # Labels of the own faces are certain, most of the initial release's predictions are not.
    certain = targets["ethnicity"].numpy().max(axis=1) == 1
    assert certain[:2].all()
    assert certain[2:].mean() < 0.2


def test_the_best_model_lies_on_the_way_from_the_initial_weights(
    data: Path, config: TrainConfig, tmp_path: Path
) -> None:
    folder = tmp_path / "model"
    train(data, folder, replace(config, max_forgetting=0.0, learning_rate=0.3), "smoke", resume=False)
    found = json.loads((folder / other_faces.INTERPOLATION).read_text())
    assert found["error"] <= found["error_before"] < found["error_fine_tuned"]
    assert found["share"] < 1
    last, best = (
        model.get_layer("age_logits").get_weights()[0]
        for model in (checkpoints.model_after(folder, 1), checkpoints.best_model(folder))
    )
    assert np.abs(last - best).max() > 0.01
    manifest = convert(data, folder, tmp_path / "release", ConvertConfig())
    stated = manifest["provenance"]["other"]
    assert stated == {"data": shards.fingerprint(folder / other_faces.FOLDER).stated(), **found}
    assert stated["data"]["sha256"] == shards.fingerprint(data).sha256


def test_a_training_that_ended_before_the_way_back_is_resumed(data: Path, config: TrainConfig, tmp_path: Path) -> None:
    train(data, tmp_path / "model", config, "smoke", resume=False)
    wanted = (tmp_path / "model" / other_faces.INTERPOLATION).read_text()
    (tmp_path / "model" / checkpoints.BEST).unlink()
    (tmp_path / "model" / other_faces.INTERPOLATION).unlink()
    train(data, tmp_path / "model", config, "smoke", resume=True)
    assert (tmp_path / "model" / checkpoints.BEST).is_file()
    assert json.loads((tmp_path / "model" / other_faces.INTERPOLATION).read_text()) == pytest.approx(json.loads(wanted))
    assert len(runs.history(tmp_path / "model")) == 1


def test_ranges_lie_outside_of_the_usual_ages_if_all_of_them_does_and_missing_ages_do_not(
    data: Path, config: TrainConfig, tmp_path: Path
) -> None:
    ages = {"below": (3, 9), "touching": (10, 30), "inside": (40, 40), "above": (70, 116), "missing": (255, 255)}

    def mixed(labels: shards.LabelArray) -> shards.LabelArray:
        found = np.array(labels)
        cycle = np.array(list(ages.values()))[np.arange(len(found)) % len(ages)]
        found[:, 0], found[:, -1] = cycle.T
        return found

    folder = copy(data, tmp_path / "mixed", mixed)
    outside = dataset.outside(folder, config, 20.0, 60.0)
    assert {int(np.argmax(row)) for _, targets in outside for row in targets[dataset.RANGE]} == {3, 70}
    faces = shards.fingerprint(folder).faces["validation"]
    assert sum(len(pixels) for pixels, _ in dataset.outside(folder, config, 0.0, 116.0)) == faces
    assert other_faces.usual_ages(folder) == (6.0, 93.0)


def line(start: float, end: float) -> tuple[keras.Model, list[np.ndarray]]:
    """Return a network with one weight, and the initial weights."""
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1, use_bias=False)])
    model.set_weights([np.full((1, 1), end)])
    return model, [np.full((1, 1), start)]


@pytest.mark.parametrize(("limit", "share"), [(2.0, 1.0), (1.0, 1.0), (0.5, 0.5), (0.3, 0.25), (0.01, 0.0)])
def test_the_share_is_the_largest_sixteenth_within_the_limit(tmp_path: Path, limit: float, share: float) -> None:
    model, start = line(3.0, 4.0)
    found = other_faces.interpolate(model, start, lambda: float(model.get_weights()[0][0, 0]), limit, tmp_path)
    assert found["share"] == share
    assert model.get_weights()[0][0, 0] == 3 + share
    assert found == json.loads((tmp_path / other_faces.INTERPOLATION).read_text())


def test_other_faces_need_a_release_to_start_from(config: TrainConfig) -> None:
    with pytest.raises(StepError, match="--other keeps what a release knows, so it needs --init-from"):
        require_usable(replace(config, init_from="faceres"))


@pytest.mark.parametrize("other", [False, True])
def test_a_fine_tuning_without_other_faces_is_warned_of(
    data: Path, challenger: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], other: bool
) -> None:
    (tmp_path / "data").symlink_to(data)
    more = ["--other", str(data)] if other else []
    steps = ["--set", "epochs=1", "--set", "max_steps=1", "--init-from", str(challenger), *more]
    assert main(["train", "--preset", "smoke", "--work", str(tmp_path), *steps]) == 0
    assert ("is forgotten without --other" in capsys.readouterr().err) is not other


def test_other_faces_of_another_size_are_refused(data: Path, config: TrainConfig, tmp_path: Path) -> None:
    replace(shards.fingerprint(data), size=96).save(tmp_path)
    shards.write(
        tmp_path, "validation", 0, np.zeros((1, 96, 96, 3), np.uint8), np.zeros((1, shards.LABEL_COLUMNS), np.uint8)
    )
    with pytest.raises(StepError, match="prepared at 96 pixels, the faces at 48"):
        inputs.require(data, replace(config, other=str(tmp_path)))
