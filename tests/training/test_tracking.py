"""What an MLflow server learns of a training, and that a training needs none."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import ROOT
from tests.fake_mlflow import tracking_server
from tests.ports import free_port
from tests.training.conftest import SHORT
from tests.training.test_devices import finish, start_cluster
from training import runs, tracking
from training.__main__ import main
from training.data import shards
from training.errors import StepError
from training.evaluation import metrics
from training.evaluation.report import local_report
from training.gate import gate
from training.learning.loop import Loop
from training.presets import PRESETS
from training.tracking import Tracker
from training.train import train

BRIEF = replace(SHORT, epochs=2, max_steps=3)
PLOTS = {"age", "gender", "ethnicity", "age-by-gender", "age-by-ethnicity", "gender-by-ethnicity"}


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A real server."""
    with tracking_server(tmp_path_factory.mktemp("mlflow")) as running:
        yield running


@pytest.fixture
def client(address: str, monkeypatch: pytest.MonkeyPatch) -> Any:
    """What looks at the server, which MLFLOW_TRACKING_URI names meanwhile."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
    return Tracker(Path()).client


def remembered(folder: Path) -> str:
    run_id: str = json.loads((folder / "tracking.json").read_text())["run_id"]
    return run_id


def steps(client: Any, run_id: str, name: str) -> dict[int, float]:
    logged = client.get_metric_history(run_id, name)
    found = {metric.step: metric.value for metric in logged}
    assert len(found) == len(logged), "an epoch was logged twice"
    return found


def files(client: Any, run_id: str) -> set[str]:
    return {file.path for file in client.list_artifacts(run_id)}


@pytest.mark.slow
def test_a_training_logs_parameters_fingerprint_epochs_and_plots(client: Any, data: Path, tmp_path: Path) -> None:
    train(data, tmp_path / "model", BRIEF, "smoke", resume=False)
    logged = client.get_run(remembered(tmp_path / "model"))
    fingerprint = shards.fingerprint(data)
    expected = {
        "preset": "smoke",
        "devices": "1",
        "config.learning_rate": "0.002",
        "config.augmentation.rotation": "15.0",
        "data.sha256": fingerprint.sha256,
        "data.faces.train": str(fingerprint.faces["train"]),
    }
    assert expected.items() <= logged.data.params.items()
    assert logged.info.run_name == f"smoke {fingerprint.sha256[:8]}"
    assert logged.info.status == "FINISHED"
    rows = runs.history(tmp_path / "model")
    assert {"loss", "val_age_error"} < rows[0].keys() == logged.data.metrics.keys()
    for name in rows[0]:
        assert steps(client, logged.info.run_id, name) == {1: rows[0][name], 2: rows[1][name]}
    assert files(client, logged.info.run_id) == {"index.html", *(f"{plot}.png" for plot in PLOTS)}


@pytest.mark.slow
def test_resume_goes_on_with_the_same_run(
    client: Any, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken_off(loop: Loop, batches: Any, count: int, title: str) -> dict[str, float]:
        if title.startswith("epoch 2"):
            raise KeyboardInterrupt
        return epoch(loop, batches, count, title)

    epoch = Loop.epoch
    with monkeypatch.context() as patch:
        patch.setattr(Loop, "epoch", broken_off)
        with pytest.raises(KeyboardInterrupt):
            train(data, tmp_path / "model", BRIEF, "smoke", resume=False)
    first = client.get_run(remembered(tmp_path / "model"))
    assert first.info.status == "FAILED"
    train(data, tmp_path / "model", BRIEF, "smoke", resume=True)
    second = client.get_run(remembered(tmp_path / "model"))
    assert (second.info.run_id, second.info.status) == (first.info.run_id, "FINISHED")
    assert steps(client, second.info.run_id, "loss").keys() == {1, 2}
    train(data, tmp_path / "model", BRIEF, "smoke", resume=False)
    assert remembered(tmp_path / "model") != first.info.run_id


@pytest.mark.slow
def test_a_server_that_begins_to_refuse_does_not_stop_a_training(
    client: Any, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def run_deleted(loop: Loop, batches: Any, count: int, title: str) -> dict[str, float]:
        if title.startswith("epoch 2"):
            client.delete_run(remembered(tmp_path / "model"))
        return epoch(loop, batches, count, title)

    epoch = Loop.epoch
    with monkeypatch.context() as patch:
        patch.setattr(Loop, "epoch", run_deleted)
        train(data, tmp_path / "model", replace(BRIEF, epochs=3), "smoke", resume=False)
    assert len(runs.history(tmp_path / "model")) == 3
    warned = [line for line in capsys.readouterr().err.splitlines() if line.startswith("warning: could not log")]
    assert len(warned) == 3  # two epochs and the end
    assert "epochs" in warned[0]
    assert steps(client, remembered(tmp_path / "model"), "loss").keys() == {1}


@pytest.mark.slow
def test_epochs_that_the_server_missed_follow_with_the_next(
    client: Any, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [{"epoch": 1.0, "loss": 5.0}, {"epoch": 2.0, "loss": 4.0}]
    tracker = tracking.begin(tmp_path, runs.TrainingRun("smoke", "0" * 64, BRIEF), data, resume=False)
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with tracker:
        there, tracker.client = tracker.client, type(client)(f"http://127.0.0.1:{free_port()}")
        tracker.epochs(rows[:1])
        assert "warning: could not log the epochs to MLflow" in capsys.readouterr().err
        tracker.client = there
        tracker.epochs(rows)
    assert steps(client, tracker.run_id, "loss") == {1: 5.0, 2: 4.0}


@pytest.mark.slow
def test_evaluate_and_publish_add_to_the_run_but_no_faces(
    client: Any, data: Path, trained: Path, challenger: Path, tmp_path: Path
) -> None:
    (tmp_path / "data").symlink_to(data)
    shutil.copytree(trained, tmp_path / "model")
    shutil.copytree(challenger, tmp_path / "release")
    # This training began without a server, and goes on with one.
    with tracking.begin(tmp_path / "model", runs.load(trained), data, resume=True) as tracker:
        tracker.epochs(runs.history(trained))
    plots = files(client, tracker.run_id)
    assert main(["evaluate", "--work", str(tmp_path)]) == 0
    overall = metrics.load(tmp_path / "release")["overall"]
    assert client.get_run(tracker.run_id).data.metrics["test_age_mae"] == overall["age_mae"]["value"]
    assert files(client, tracker.run_id) - plots == {"metrics.json", "report.html"}

    gate(tmp_path / "release", replace(PRESETS["smoke"].gate, age_mae=100.0, gender_accuracy=0.0))
    for _ in range(2):  # publishing again registers nothing anew
        assert main(["publish", "--work", str(tmp_path), "--registry", str(tmp_path / "registry")]) == 0
    (release,) = (path.parent for path in (tmp_path / "registry").glob("*/manifest.json"))
    (version,) = client.search_model_versions("name='age-gender-detection'")
    assert version.tags == {"version": release.name, "address": str(release), "run": tracker.run_id}
    assert client.get_model_version_by_alias(version.name, release.name).run_id == tracker.run_id
    assert files(client, tracker.run_id) - plots == {path.name for path in release.iterdir()}
    model = client.download_artifacts(tracker.run_id, "model.tflite", str(tmp_path))
    assert Path(model).read_bytes() == (release / "model.tflite").read_bytes()
    # The report with faces was written, and is none of the files above.
    assert local_report(tmp_path / "release").is_file()


@pytest.mark.slow
def test_gitlab_gets_a_semantic_version_and_flat_files(
    data: Path, challenger: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # MLflow at GitLab's path stands in for it: it takes the same calls, but does not read the tag.
    with tracking_server(tmp_path, "/api/v4/projects/7/ml/mlflow") as gitlab:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", gitlab)
        tracker = tracking.begin(tmp_path, runs.TrainingRun("smoke", "0" * 64, BRIEF), data, resume=False)
        tracker.release(challenger, "gs://registry/version")
        (version,) = tracker.client.search_model_versions("name='age-gender-detection'")
        assert version.tags["gitlab.version"] == tracking.semantic(version.tags["version"])
        assert "model.tflite" in files(tracker.client, tracker.run_id)
        assert not any(file.is_dir for file in tracker.client.list_artifacts(tracker.run_id))


@pytest.mark.slow
def test_without_a_server_mlflow_is_not_even_imported(data: Path, tmp_path: Path) -> None:
    program = """
import sys
from pathlib import Path
from training import tracking
from training.presets import PRESETS
from training.evaluation.report import local_report
from training.train import train
from dataclasses import replace
data, folder = map(Path, sys.argv[1:])
train(data, folder, replace(PRESETS["smoke"].train, epochs=1, max_steps=1), "smoke", resume=False)
tracking.of(folder).release(folder, "")
sys.exit("mlflow" in sys.modules)
"""
    environment = {name: value for name, value in os.environ.items() if name != "MLFLOW_TRACKING_URI"}
    environment["PYTHONPATH"] = f"{ROOT}:{ROOT / 'function'}"
    command = [sys.executable, "-c", program, str(data), str(tmp_path / "model")]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert list((tmp_path / "model").glob("tensorboard/events*"))
    assert not (tmp_path / "model" / "tracking.json").exists()


def test_a_server_that_is_not_there_stops_a_training_before_anything_is_lost(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "best.keras").write_text("hours of work")
    host = f"127.0.0.1:{free_port()}"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://me:secret@{host}")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with pytest.raises(StepError, match=f"MLFLOW_TRACKING_URI is http://{host}, .*unset") as refused:
        train(data, tmp_path, BRIEF, "smoke", resume=False)
    assert "secret" not in str(refused.value)
    assert (tmp_path / "best.keras").read_text() == "hours of work"


@pytest.mark.slow
def test_of_two_machines_the_first_logs_alone(client: Any, data: Path, tmp_path: Path) -> None:
    folders = [tmp_path / "first", tmp_path / "second"]
    for output in map(finish, start_cluster(data, folders, epochs=1)):
        assert "2 machine(s)" in output
    assert steps(client, remembered(folders[0]), "loss").keys() == {1}
    assert not (folders[1] / "tracking.json").exists()


def test_a_version_is_semantic_for_gitlab() -> None:
    # An identifier of digits alone must not begin with a zero.
    assert tracking.semantic("20261124-01234567") == "20261124.0.0-sha-01234567"
