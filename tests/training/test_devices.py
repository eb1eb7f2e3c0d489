"""One command for one device, for two, and for two machines; and for a training that is killed on the way."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
import pytest

from tests.ports import free_port
from tests.training.conftest import SHORT
from training import runs
from training.errors import StepError
from training.learning import checkpoints, devices

ROOT = Path(__file__).parents[2]
# What `python -m training train` does, on as many logical devices as asked for and with a short configuration.
PROGRAM = """
import sys
from dataclasses import replace
from pathlib import Path
import tensorflow as tf
from training.presets import PRESETS
from training.train import train
data, folder, logical, epochs, steps = sys.argv[1:]
if int(logical) > 1:
    parts = [tf.config.LogicalDeviceConfiguration()] * int(logical)
    tf.config.set_logical_device_configuration(tf.config.list_physical_devices("CPU")[0], parts)
config = replace(PRESETS["smoke"].train, epochs=int(epochs), max_steps=int(steps))
train(Path(data), Path(folder), config, "smoke", resume=True)
"""


def start(
    data: Path, folder: Path, logical: int = 1, epochs: int = 2, steps: int = 10, tf_config: object = None
) -> subprocess.Popen[str]:
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'function'}", "TF_CPP_MIN_LOG_LEVEL": "2"}
    if tf_config:
        environment["TF_CONFIG"] = json.dumps(tf_config)
    arguments = [str(data), str(folder), str(logical), str(epochs), str(steps)]
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM, *arguments],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def finish(process: subprocess.Popen[str]) -> str:
    output, _ = process.communicate(timeout=200)
    assert process.returncode == 0, output[-3000:]
    return output


def weights(folder: Path) -> list[np.ndarray]:
    return [np.asarray(weight) for weight in keras.models.load_model(checkpoints.epochs(folder)[-1][1]).weights]


def start_cluster(data: Path, folders: list[Path], epochs: int) -> list[subprocess.Popen[str]]:
    addresses = [f"127.0.0.1:{free_port()}" for _ in folders]
    return [
        start(
            data,
            folder,
            epochs=epochs,
            tf_config={"cluster": {"worker": addresses}, "task": {"type": "worker", "index": index}},
        )
        for index, folder in enumerate(folders)
    ]


def test_two_devices_share_each_batch_and_learn(data: Path, tmp_path: Path) -> None:
    output = finish(start(data, tmp_path / "model", logical=2, epochs=3, steps=20))
    assert "1 machine(s), 2 device(s)" in output
    assert runs.load(tmp_path / "model").devices == 2
    rows = runs.history(tmp_path / "model")
    assert len(rows) == 3
    assert rows[-1]["loss"] < rows[0]["loss"]


@pytest.mark.slow
def test_two_machines_end_with_the_same_weights_also_after_a_break(data: Path, tmp_path: Path) -> None:
    folders = [tmp_path / "first", tmp_path / "second"]
    for output in map(finish, start_cluster(data, folders, epochs=2)):
        assert "2 machine(s), 2 device(s)" in output
    for one, other in zip(*map(weights, folders), strict=True):
        assert np.array_equal(one, other)
    assert runs.history(folders[0]) == runs.history(folders[1])

    # The second machine was broken off before it could write its last state.
    for folder in folders:
        record = json.loads((folder / "config.json").read_text())
        record["config"]["epochs"] = 3
        (folder / "config.json").write_text(json.dumps(record))
    (folders[1] / "epoch-0002.keras").unlink()
    for output in map(finish, start_cluster(data, folders, epochs=3)):
        assert "resuming after epoch 1" in output
    for one, other in zip(*map(weights, folders), strict=True):
        assert np.array_equal(one, other)


@pytest.mark.slow
def test_a_training_that_is_terminated_continues_and_ends_as_well(data: Path, trained: Path, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    breaks = 0
    while True:
        process = start(data, folder, epochs=SHORT.epochs, steps=SHORT.max_steps)
        completed = len(checkpoints.epochs(folder)) and checkpoints.epochs(folder)[-1][0]
        if breaks == 2:
            break
        wait_for(folder / f"epoch-{completed + 1:04d}.keras", process)
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=60) != 0
        breaks += 1
        for _, path in checkpoints.epochs(folder):
            keras.models.load_model(path)
    finish(process)
    rows, whole = runs.history(folder), runs.history(trained)
    assert [row["epoch"] for row in rows] == [1, 2, 3]
    assert rows[-1]["val_age_error"] == pytest.approx(whole[-1]["val_age_error"], abs=6)
    assert rows[-1]["val_gender_accuracy"] == pytest.approx(whole[-1]["val_gender_accuracy"], abs=0.2)


def wait_for(path: Path, process: subprocess.Popen[str]) -> None:
    """The moment it begins to be written will do as well: breaking off there is the harder case."""
    partial = path.with_name(f"partial-{path.name}")
    while not path.exists() and not partial.exists():
        assert process.poll() is None, process.communicate()[0][-3000:]
        time.sleep(0.01)


@pytest.mark.parametrize(("count", "batch", "rate"), [(1, 64, 1e-3), (4, 256, 2e-3)])
def test_batch_and_learning_rate_grow_with_the_devices(count: int, batch: int, rate: float) -> None:
    scaled = devices.scaled(replace(SHORT, batch=64, learning_rate=1e-3), count)
    assert scaled.batch == batch
    assert scaled.learning_rate == pytest.approx(rate)


@pytest.mark.parametrize("text", ["nonsense", "[]", '{"cluster": {"ps": ["a:1"]}}'])
def test_a_cluster_that_is_not_understood_is_refused(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setenv("TF_CONFIG", text)
    with pytest.raises(StepError, match="TF_CONFIG"):
        devices.strategy()


@pytest.mark.parametrize(
    ("described", "chief"),
    [
        ("", True),
        ('{"cluster": {"worker": ["a:1", "b:1"]}, "task": {"type": "worker", "index": 0}}', True),
        ('{"cluster": {"worker": ["a:1", "b:1"]}, "task": {"type": "worker", "index": 1}}', False),
        ('{"cluster": {"chief": ["a:1"], "worker": ["b:1"]}, "task": {"type": "chief", "index": 0}}', True),
        ('{"cluster": {"chief": ["a:1"], "worker": ["b:1"]}, "task": {"type": "worker", "index": 0}}', False),
    ],
)
def test_one_machine_speaks_for_all(monkeypatch: pytest.MonkeyPatch, described: str, chief: bool) -> None:
    monkeypatch.setenv("TF_CONFIG", described)
    assert devices.is_chief() is chief


def test_a_training_that_is_to_have_a_gpu_stops_without_one(data: Path, tmp_path: Path) -> None:
    work = tmp_path / "work"
    work.mkdir()
    (work / "data").symlink_to(data)
    command = [sys.executable, "-m", "training", "train", "--preset", "smoke", "--work", str(work), "--device", "gpu"]
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'function'}", "CUDA_VISIBLE_DEVICES": "-1"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "TensorFlow finds no GPU on this machine" in done.stderr
    assert not (work / "model").exists()
