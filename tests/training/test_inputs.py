"""Wrong options and missing inputs are refused before TensorFlow is imported."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT
from training import config
from training.errors import StepError
from training.learning import architectures, inputs
from training.presets import PRESETS

# Runs a command and then says whether TensorFlow or Keras was imported.
PROGRAM = """
import sys
from training.__main__ import main
code = main(sys.argv[1:])
print(code, *sorted({"tensorflow", "keras"} & set(sys.modules)))
"""


def refusal(*arguments: str | Path) -> str:
    """The one line of a command that is refused without TensorFlow."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, *map(str, arguments)],
        env={**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'function'}"},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.stdout == "1\n", done
    (line,) = done.stderr.splitlines()
    return line


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("train", "--set", "epoch=3"), "train: cannot set 'epoch'; choose one of architecture, epochs"),
        (("train", "--set", "epochs=abc"), "train: epochs must be an integer, got 'abc'"),
        (("train", "--set", "architecture=resnet"), "train: no architecture 'resnet'; choose one of efficientnet"),
        (("train", "--set", "learning_rate=nan"), "train: learning_rate must be above 0, got nan"),
        (("train", "--work", "{tmp}"), "fingerprint.json does not exist; run `python -m training prepare` first"),
        (("convert", "--work", "{tmp}"), "config.json does not exist; run `python -m training train` first"),
    ],
)
def test_a_wrong_option_or_a_missing_step_is_named(tmp_path: Path, arguments: tuple[str, ...], said: str) -> None:
    assert said in refusal(*(argument.replace("{tmp}", str(tmp_path)) for argument in arguments))


@pytest.mark.parametrize(
    ("option", "said"),
    [("--teacher", "the teacher cannot be used: "), ("--init-from", "no initial weights '")],
)
def test_an_unknown_release_is_named(data: Path, tmp_path: Path, option: str, said: str) -> None:
    shutil.copytree(data, tmp_path / "data")
    line = refusal("train", "--preset", "smoke", "--work", tmp_path, option, tmp_path / "nowhere")
    assert said in line
    assert "nowhere" in line


def test_missing_shards_are_named(data: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(data, tmp_path / "data"))
    for path in copy.glob("train-*"):
        path.unlink()
    with pytest.raises(StepError, match="has no train shards"):
        inputs.require(copy, PRESETS["smoke"].train)


def test_the_named_architectures_are_those_that_can_be_built() -> None:
    assert tuple(architectures.ARCHITECTURES) == config.ARCHITECTURES
