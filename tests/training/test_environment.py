"""What a user's environment holds changes neither a model nor a plot, and ends no command with a traceback."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT
from training.errors import StepError
from training.faces import draw, write_faces
from training.learning import devices


def run(program: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'function'}", **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


KERAS = """
import training, keras
print(keras.config.floatx(), keras.config.image_data_format(), keras.config.epsilon(), keras.backend.backend())
print(keras.config.max_epochs(), keras.config.max_steps_per_epoch())
"""


@pytest.mark.parametrize(
    ("stated", "environment"),
    [
        ({"floatx": "float16", "epsilon": 1e-3, "backend": "tensorflow", "image_data_format": "channels_first"}, {}),
        ({"backend": "theano"}, {}),
        ({}, {"KERAS_BACKEND": "jax"}),
        ({}, {"KERAS_MAX_EPOCHS": "1", "KERAS_MAX_STEPS_PER_EPOCH": "1"}),
    ],
    ids=["numbers and layout", "backend", "KERAS_BACKEND", "limits"],
)
def test_keras_is_the_same_in_every_home(
    stated: dict[str, object], environment: dict[str, str], tmp_path: Path
) -> None:
    (tmp_path / ".keras").mkdir()
    (tmp_path / ".keras" / "keras.json").write_text(json.dumps(stated), encoding="utf-8")
    done = run(KERAS, HOME=str(tmp_path), **environment)
    assert done.stdout.splitlines() == ["float32 channels_last 1e-07 tensorflow", "None None"], done.stderr


@pytest.mark.parametrize("backend", ["module://matplotlib_inline.backend_inline", "tkagg", "nonsense"])
def test_plots_need_no_backend_of_a_notebook(backend: str, data: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(data, tmp_path / "data", ignore=shutil.ignore_patterns("exploration"))
    program = f"""
from pathlib import Path
from training.data import exploration
exploration.write(Path({str(copy)!r}), "a summary")
"""
    (tmp_path / "matplotlibrc").write_text("figure.dpi: wrong\n", encoding="utf-8")
    done = run(program, MPLBACKEND=backend, MATPLOTLIBRC=str(tmp_path / "matplotlibrc"))
    assert (done.returncode, done.stderr) == (0, "")
    assert (copy / "exploration" / "age.png").is_file()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{}",
        '{"cluster": {}}',
        '{"cluster": {"chief": ["127.0.0.1:29333"]}, "environment": "cloud", "task": {"type": "chief", "index": 0}}',
        '{"cluster": {"worker": ["127.0.0.1:29333"]}, "task": {"type": "worker", "index": 0}}',
    ],
)
def test_a_cluster_of_one_machine_is_one_machine(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setenv("TF_CONFIG", text)
    assert devices.strategy().num_replicas_in_sync == 1
    assert devices.is_chief()


@pytest.mark.parametrize(
    "text",
    [
        "nonsense",
        "[]",
        '{"cluster": "worker"}',
        '{"cluster": {"worker": "a:1"}}',
        '{"cluster": {"worker": ["a:1", "b:1"], "ps": ["c:1"]}, "task": {"type": "worker", "index": 0}}',
        '{"cluster": {"worker": ["a:1", "b:1"]}}',
        '{"cluster": {"worker": ["a:1", "b:1"]}, "task": {"type": "worker", "index": 2}}',
        '{"cluster": {"chief": ["a:1"], "worker": ["b:1"]}, "task": {"type": "evaluator", "index": 0}}',
    ],
)
def test_a_cluster_that_cannot_be_used_is_refused(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setenv("TF_CONFIG", text)
    with pytest.raises(StepError, match=r"TF_CONFIG is .* expected"):
        devices.strategy()


@pytest.mark.parametrize(("encoding", "shown"), [("ascii", r"f\xe4ces"), ("cp1252", "fäces"), ("utf-8", "fäces")])
def test_no_encoding_of_a_terminal_ends_a_command(encoding: str, shown: str) -> None:
    command = [sys.executable, "-m", "training", "prepare", "--data", "/nowhere/fäces\udce4"]
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'function'}", "PYTHONIOENCODING": f"{encoding}:strict"}
    done = subprocess.run(command, env=environment, capture_output=True, check=False, timeout=60)
    assert done.returncode == 1
    (line,) = done.stderr.decode(encoding).splitlines()
    assert f"/nowhere/{shown}\\udce4 does not exist" in line


def test_names_are_the_same_in_every_locale(tmp_path: Path) -> None:
    faces = tmp_path / "faces"
    write_faces(faces, 64)
    (faces / "20_1_1_20170101000000999-ä.jpg").write_bytes(draw(20, 1, 1, seed=7))
    (faces / "notes ö.txt").write_bytes(b"")
    (faces / "20_1_1_20170101000000998-\udce4.jpg").write_bytes(draw(20, 1, 1, seed=8))
    found = []
    # The second is a locale whose encoding is ASCII: Python would otherwise take UTF-8 there.
    for locale in ({"LC_ALL": "C.UTF-8"}, {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}):
        program = f"""
from training.__main__ import main
assert main(["prepare", "--preset", "smoke", "--data", {str(faces)!r}, "--work", {str(tmp_path)!r}]) == 0
"""
        done = run(program, **locale, HOME="/proc")
        assert done.returncode == 0, done.stderr
        assert "Matplotlib" not in done.stderr
        found.append([(tmp_path / "data" / name).read_bytes() for name in ("index.csv", "rejected.csv")])
    assert found[0] == found[1]
    assert "20170101000000999-ä.jpg".encode() in found[0][0]
    assert rb"20170101000000998-\udce4.jpg" in found[0][0]
    assert "notes ö.txt".encode() in found[0][1]


def test_a_folder_that_cannot_be_written_is_named_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "faces").mkdir()
    command = [sys.executable, "-m", "training", "prepare", "--data", str(tmp_path / "faces"), "--work", "/proc/work"]
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'function'}"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert line.startswith("prepare: /proc/work")
