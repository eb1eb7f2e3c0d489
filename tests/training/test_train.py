"""Training learns, and goes on where it was broken off."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
import pytest

from tests.emulator import Emulator
from tests.training.conftest import SHORT
from training import runs
from training.data import shards
from training.errors import StepError
from training.learning import checkpoints
from training.learning.schedules import optimizer, steps_per_epoch
from training.registry.folders import restore, store
from training.runs import selection_metric
from training.train import Record, train

BRIEF = replace(SHORT, epochs=2, max_steps=3)


def test_training_beats_chance_on_drawn_faces(data: Path, trained: Path) -> None:
    loaded = [shard.load() for shard in shards.shards(data, "test")]
    pixels, labels = (np.concatenate(parts) for parts in zip(*loaded, strict=True))
    predictions = checkpoints.best_model(trained).predict(pixels, verbose=0)
    gender = ((predictions["gender"][:, 0] > 0.5) == labels[:, 1]).mean()
    ethnicity = (predictions["ethnicity"].argmax(axis=1) == labels[:, 2]).mean()
    assert gender > 0.75
    assert ethnicity > 0.4


def test_a_run_leaves_its_configuration_history_logs_and_two_checkpoints(data: Path, trained: Path) -> None:
    left = runs.load(trained)
    assert (left.preset, left.config, left.data) == ("smoke", SHORT, shards.fingerprint(data).sha256)
    assert [row["epoch"] for row in runs.history(trained)] == [1, 2, 3]
    assert [epoch for epoch, _ in checkpoints.epochs(trained)] == [2, 3]
    assert list(trained.glob("tensorboard/events*"))


def test_resume_continues_after_the_last_completed_epoch(data: Path, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    longer = replace(BRIEF, epochs=3)
    train(data, folder, longer, "smoke", resume=False)
    # What a run looks like that was broken off in its third epoch.
    first = tmp_path / "first"
    train(data, first, longer, "smoke", resume=False)
    rows = runs.history(first)
    runs.write_history(first, rows[:2])
    (first / "epoch-0003.keras").unlink()
    train(data, first, longer, "smoke", resume=True)
    assert [row["epoch"] for row in runs.history(first)] == [1, 2, 3]
    assert runs.history(first)[:2] == rows[:2]


def test_a_machine_that_is_taken_away_leaves_its_checkpoints(
    data: Path, tmp_path: Path, emulator: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", emulator.url)
    uri = f"gs://{emulator.bucket}/{tmp_path.name}/model"
    longer = replace(BRIEF, epochs=3)

    def taken_away() -> None:
        store(tmp_path / "lost", uri)
        if len(runs.history(tmp_path / "lost")) == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(data, tmp_path / "lost", longer, "smoke", resume=False, record=Record(backup=taken_away))
    other = tmp_path / "other"
    restore(uri, other)
    train(data, other, longer, "smoke", resume=True)
    assert runs.history(other)[:2] == runs.history(tmp_path / "lost")
    assert [row["epoch"] for row in runs.history(other)] == [1, 2, 3]


def test_a_checkpoint_holds_the_optimizer_too(trained: Path) -> None:
    _, (_, path) = checkpoints.epochs(trained)
    restored = keras.models.load_model(path)
    assert int(restored.optimizer.iterations) == SHORT.epochs * steps_per_epoch(SHORT, 360)


def test_resume_leaves_a_finished_training_as_it_is(data: Path, trained: Path) -> None:
    before = (trained / "best.keras").read_bytes()
    train(data, trained, SHORT, "smoke", resume=True)
    assert (trained / "best.keras").read_bytes() == before
    assert len(runs.history(trained)) == SHORT.epochs


def test_resume_refuses_another_configuration(data: Path, trained: Path) -> None:
    with pytest.raises(StepError, match="another configuration"):
        train(data, trained, BRIEF, "smoke", resume=True)


def test_training_without_data_says_what_to_run(tmp_path: Path) -> None:
    with pytest.raises(StepError, match="training prepare"):
        train(tmp_path / "data", tmp_path / "model", BRIEF, "smoke", resume=False)


def metrics(years: float, gender: float = 0.9, ethnicity: float = 0.8) -> dict[str, float]:
    names = ("val_age_error", "val_gender_accuracy", "val_ethnicity_accuracy")
    return dict(zip(names, (years, gender, ethnicity), strict=True))


def test_an_epoch_is_worth_more_the_better_each_head_does() -> None:
    assert selection_metric(metrics(5.0)) < selection_metric(metrics(5.1))
    assert selection_metric(metrics(5.0, gender=0.92)) < selection_metric(metrics(5.0))
    assert selection_metric(metrics(5.0, ethnicity=0.83)) < selection_metric(metrics(5.0))


def test_training_stops_when_validation_no_longer_improves(tmp_path: Path) -> None:
    class Model:
        def save(self, path: Path) -> None:
            path.write_text("model")

    config = replace(BRIEF, epochs=9, patience=2)
    for epoch, years in enumerate((7.0, 5.0, 5.5, 5.4), 1):
        assert not checkpoints.finished(tmp_path, config)
        checkpoints.write(tmp_path, Model(), {"epoch": float(epoch), **metrics(years)})
    assert checkpoints.finished(tmp_path, config)
    assert [epoch for epoch, _ in checkpoints.epochs(tmp_path)] == [3, 4]


def test_the_original_optimizer_decays_by_the_number_of_epochs() -> None:
    config = replace(BRIEF, optimizer="adam", learning_rate=1e-4, epochs=10)
    rate = optimizer(config, steps=100).learning_rate
    assert float(rate) == pytest.approx(1e-4)
    schedule = optimizer(config, steps=100)._learning_rate
    assert float(schedule(10_000)) == pytest.approx(1e-4 / (1 + 1e-5 * 10_000))


def test_the_cosine_ends_at_zero_after_a_warm_up() -> None:
    schedule = optimizer(replace(BRIEF, learning_rate=1e-3, epochs=10, warmup=1.0), steps=100)._learning_rate
    assert float(schedule(100)) == pytest.approx(1e-3, rel=0.02)
    assert float(schedule(0)) < 1e-4
    assert float(schedule(1000)) == pytest.approx(0, abs=1e-7)
