"""The recipe of CONTRIBUTING.md, followed: four files are edited, and the function answers one more head."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from serving import heads
from tests.conftest import ROOT
from tests.server import Server, serve
from training import labels
from training.faces import draw

RECIPE = (ROOT / "CONTRIBUTING.md").read_text()
# ```diff blocks, each of one file: its name, and then its hunks
EDITS = re.findall(r"```diff\n--- (\S+)\n(.+?)```", RECIPE, re.DOTALL)
# enough for so few faces
TAUGHT = ("--set", "epochs=10", "--set", "glasses_weight=4", "--set", "learning_rate=4e-3")


def follow(folder: Path) -> None:
    """Make every edit of the recipe in `folder`."""
    for name, lines in EDITS:
        path = folder / name
        text = path.read_text()
        for hunk in lines.split("@@\n"):
            before = "".join(line[1:] + "\n" for line in hunk.splitlines() if line[:1] in " -")
            after = "".join(line[1:] + "\n" for line in hunk.splitlines() if line[:1] in " +")
            assert text.count(before) == 1, f"{name} does not hold once, as CONTRIBUTING.md says:\n{before}"
            text = text.replace(before, after)
        path.write_text(text)


def run(folder: Path, *arguments: object) -> str:
    """A Python command in `folder`, which finds that folder's code."""
    done = subprocess.run(
        [sys.executable, *map(str, arguments)],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(folder / "function")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def predict(server: Server, image: bytes) -> dict[str, Any]:
    answered = server.post(image)
    assert answered.is_success, answered.text
    found: dict[str, Any] = answered.json()["predictions"][0]
    return found


def test_the_recipe_touches_four_files() -> None:
    assert len({name for name, _ in EDITS}) == len(EDITS) == 4


def test_the_function_knows_the_heads_that_are_trained_in_their_order() -> None:
    assert tuple(head.name for head in labels.CHOICES) == heads.CHOICES


@pytest.mark.slow
def test_a_further_head_is_trained_and_answered(tmp_path: Path) -> None:
    code, work, faces = tmp_path / "code", tmp_path / "work", tmp_path / "faces"
    for part in ("function", "training"):
        shutil.copytree(ROOT / part, code / part, ignore=shutil.ignore_patterns("__pycache__"))
    follow(code)
    run(
        code,
        "-c",
        f"from training.faces import write_faces; from pathlib import Path; write_faces(Path({str(faces)!r}), 800)",
    )
    for step in (
        ("prepare", "--data", faces, "--preset", "smoke"),
        ("train", "--preset", "smoke", *TAUGHT),
        ("convert",),
        ("evaluate",),
    ):
        run(code, "-m", "training", *step, "--work", work)
    said = run(code, "-m", "training", "gate", "--preset", "smoke", "--work", work)
    assert "pass  glasses calibration error" in said
    assert "glasses_accuracy has no threshold" in said
    images = {
        worn: run(code, "-c", f"from training.faces import draw; print(draw(30, 1, 2, {worn}, seed=7).hex())")
        for worn in (0, 1)
    }
    with serve(code / "function", MODEL_URI=str(work / "release"), HEADS="age,gender,glasses") as server:
        predictions = [predict(server, bytes.fromhex(images[worn])) for worn in (0, 1)]
        described = server.get("/openapi.json").json()["components"]["schemas"]["Prediction"]["properties"]
    assert [list(each)[:3] for each in predictions] == [["age", "gender", "glasses"]] * 2
    assert [each["glasses"]["label"] for each in predictions] == ["bare", "glasses"]
    assert described["glasses"]["properties"]["label"]["enum"] == ["bare", "glasses"]
    # The bundled release knows nothing of them.
    with (
        pytest.raises(AssertionError, match="HEADS names glasses, but release"),
        serve(code / "function", HEADS="age,glasses"),
    ):
        pass
    assert draw(30, 1, 2, seed=7).hex() == images[0].strip()
