"""`make recipe` trains a teacher and a release, skips what is done and continues what was interrupted."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
from pathlib import Path

import pytest

from tests.conftest import ROOT
from training import runs
from training.__main__ import main, parser
from training.commands.model import train_config
from training.faces import write_faces
from training.learning import checkpoints
from training.presets import PRESETS

SHORT = "--preset smoke --set epochs=2 --set max_steps=3"
INTERRUPTED = 130
STEPS = ["prepare", "train", "convert", "evaluate", "gate"] * 2


def recipe(*variables: str) -> list[list[str]]:
    """Return the arguments of each step that `make recipe` runs."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))}
    command = ["make", "-n", "recipe", *variables]
    told = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=True).stdout
    return [shlex.split(line) for line in re.findall(r"-m training (.+)", told)]


def test_the_student_learns_from_the_bundled_release_and_from_the_teacher() -> None:
    steps = recipe("DATA=tests", "SEED=6")
    assert [step[0] for step in steps] == STEPS
    options = [parser().parse_args(step) for step in steps]
    assert {each.work for each in options[:5]} == {Path("build/recipe/teacher")}
    assert {each.work for each in options[5:]} == {Path("build/recipe/student-6")}
    assert all(each.resume for each in (options[1], options[6]))
    teacher, student = (train_config(each) for each in (options[1], options[6]))
    assert (teacher.architecture, teacher.epochs) == ("mobilenet_13", 10)
    assert student.augmentation == PRESETS["default"].train.augmentation
    assert (student.init_from, student.teachers) == ("bundled", ("bundled", "build/recipe/teacher/release"))
    assert (student.epochs, student.learning_rate, student.teacher_share, student.seed) == (14, 4e-4, 0.7, 6)


def test_the_student_can_start_from_another_release() -> None:
    student = recipe("DATA=tests", "FROM=gs://releases/1", "WORK=here")[6]
    assert student.count("gs://releases/1") == 2
    assert "bundled" not in student
    assert student[2] == "here/student-5"


@pytest.mark.slow
def test_a_second_run_skips_what_is_done_and_continues_what_was_interrupted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write_faces(tmp_path / "faces", 120)
    steps = recipe(
        f"DATA={tmp_path}/faces",
        f"WORK={tmp_path}",
        f"RECIPE_FACES=--preset smoke --size 48 --data {tmp_path}/faces",
        f"TEACHER={SHORT}",
        f"STUDENT={SHORT}",
    )
    assert [step[0] for step in steps] == STEPS

    # The gate always judges: it takes no time.
    skipped = [True, True, True, True, False]

    def run(step: list[str]) -> str:
        # A network of a few steps need not pass the gate.
        assert main(step) == 0 or step[0] == "gate"
        return "".join(capsys.readouterr())

    for step in steps[:6]:
        assert "nothing to do" not in run(step)
    with monkeypatch.context() as patch:
        write = checkpoints.write

        def stop(*arguments: object, **named: object) -> None:
            write(*arguments, **named)  # type: ignore[arg-type]
            raise KeyboardInterrupt

        patch.setattr(checkpoints, "write", stop)
        assert main(steps[6]) == INTERRUPTED
    assert not (tmp_path / "student-5" / "model" / "key.json").exists()

    said = [run(step) for step in steps]
    assert ["nothing to do" in each for each in said] == [*skipped, True, False, False, False, False]
    assert "resuming after epoch 1" in said[6]
    found = runs.load(tmp_path / "student-5" / "model").config
    assert (found.teachers, found.seed) == ((f"{tmp_path}/teacher/release",), 5)

    assert ["nothing to do" in run(step) for step in steps] == skipped * 2
