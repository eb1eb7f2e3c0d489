"""`age-gender predict`, run as people run it."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.command import age_gender
from tests.conftest import FUNCTION, ROOT
from tests.server import Server, serve
from training.faces import draw, write_faces


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three faces, one of them in a subfolder, and a file that is no image."""
    found = tmp_path_factory.mktemp("faces")
    (found / "more").mkdir()
    for number, name in enumerate(("a.jpg", "b.JPEG", "more/c.jpg")):
        (found / name).write_bytes(draw(age=20 + 20 * number, gender=number % 2, ethnicity=0, seed=number))
    (found / "notes.txt").write_text("no image")
    return found


def lines(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


def test_json_lines_are_what_the_function_says(folder: Path, server: Server) -> None:
    done = age_gender("predict", folder, "--json", "--heads", "age,gender,ethnicity")
    names = [str(folder / name) for name in ("a.jpg", "b.JPEG", "more/c.jpg")]
    said = [server.post(Path(name).read_bytes()).json()["predictions"][0] for name in names]
    assert lines(done.stdout) == [{"file": name, **each} for name, each in zip(names, said, strict=True)]
    assert done.returncode == 0
    assert age_gender("predict", folder, "--json", "--url", server.url).stdout == done.stdout


def test_the_table_is_aligned_and_shows_the_heads_that_are_on(folder: Path) -> None:
    heading, *rows = age_gender("predict", folder, "--heads", "gender").stdout.splitlines()
    assert heading.split() == ["file", "gender"]
    assert len(rows) == 3
    # Drawn faces are warned of, in a last column without a heading.
    assert {len(row.partition("  warning: ")[0]) for row in rows} == {len(heading)}
    with_age = age_gender("predict", folder / "a.jpg").stdout.splitlines()
    assert with_age[0].split() == ["file", "age", "between", "gender"]


@pytest.mark.parametrize(
    ("names", "found"),
    [
        (["."], ["a.jpg", "b.JPEG", "more/c.jpg"]),
        (["*.jpg"], ["a.jpg"]),
        (["**/*.jpg"], ["a.jpg", "more/c.jpg"]),
        (["more", "a.jpg", "*.jpg"], ["more/c.jpg", "a.jpg"]),
    ],
)
def test_files_folders_and_patterns_are_found_each_once(names: list[str], found: list[str], folder: Path) -> None:
    paths = [str(folder / name) for name in names]
    done = age_gender("predict", *paths, "--json")
    assert [each["file"] for each in lines(done.stdout)] == [str(folder / name) for name in found]


def test_standard_input_is_an_image(face: bytes) -> None:
    (prediction,) = lines(age_gender("predict", "-", "--json", given=face).stdout)
    assert (prediction["file"], list(prediction)) == ("-", ["file", "age", "gender", "warnings"])


def test_an_image_that_fails_is_named_and_the_others_are_answered(folder: Path) -> None:
    text = str(folder / "notes.txt")
    done = age_gender("predict", text, folder / "a.jpg", "--json")
    failed, answered = lines(done.stdout)
    assert done.returncode == 1
    assert (failed["file"], failed["error"]["status"]) == (text, 415)
    assert "age" in answered
    assert f"age-gender: {text}: the data is not an image of a known format" in done.stderr
    table = age_gender("predict", text, folder / "a.jpg")
    assert "notes.txt  not answered: the data is not an image" in table.stdout
    assert table.returncode == 1


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        ([], 2, "usage"),
        (["predict"], 2, "required: image"),
        (["predict", "nowhere.jpg"], 2, "nowhere.jpg: no image there"),
        (["predict", FUNCTION / "serving"], 2, "no image there"),
        (["predict", "-", "--mood", "good"], 2, "unknown: --mood good"),
        (["predict", "-", "--heads", "mood"], 2, "HEADS is 'mood'"),
        (["predict", "-", "--heads", "age", "--url", "http://127.0.0.1:1"], 2, "--heads and --model are for"),
        (["predict", "-", "--model", "nowhere"], 3, "nowhere/manifest.json"),
        (["predict", "-", "--url", "faces.example"], 3, "no address of a server"),
    ],
)
def test_exit_codes_tell_what_went_wrong(arguments: list[str], code: int, told: str) -> None:
    done = age_gender(*arguments)
    assert done.returncode == code
    assert told in done.stderr
    assert done.stdout == ""


def test_a_release_may_be_named(folder: Path) -> None:
    bundled = age_gender("predict", folder, "--json")
    named = age_gender("predict", folder, "--json", "--model", FUNCTION / "model", MODEL_URI="nowhere")
    assert named.stdout == bundled.stdout != ""


def test_the_key_comes_from_the_environment(folder: Path) -> None:
    key = "open-sesame-0123456789"
    with serve(FUNCTION, ready="/", API_KEY=key) as guarded:
        asked = ("predict", folder / "a.jpg", "--url", guarded.url)
        assert age_gender(*asked, AGE_GENDER_API_KEY=key).returncode == 0
        refused = age_gender(*asked)
    assert refused.returncode == 3
    assert f"{guarded.url} answers 401: " in refused.stderr


def test_a_bar_shows_the_progress_at_a_terminal_and_nowhere_else(tmp_path: Path) -> None:
    write_faces(tmp_path, 40)
    assert "█" not in age_gender("predict", tmp_path, "--json").stderr
    terminal, its_end = pty.openpty()
    command = [sys.executable, "-m", "age_gender", "predict", str(tmp_path), "--json"]
    environment = {**os.environ, "PYTHONPATH": str(FUNCTION)}
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=its_end, env=environment, check=True)
    os.close(its_end)
    shown = os.read(terminal, 100_000).decode(errors="replace")
    os.close(terminal)
    assert "░" in shown
    assert "/40 " in shown
    assert len(lines(done.stdout.decode())) == 40


def test_a_reader_that_stops_early_is_no_failure_of_python(tmp_path: Path) -> None:
    write_faces(tmp_path, 40)
    command = f"{sys.executable} -m age_gender predict {tmp_path} --json | head -n 1"
    environment = {**os.environ, "PYTHONPATH": str(FUNCTION)}
    done = subprocess.run(command, shell=True, capture_output=True, text=True, env=environment, check=True)  # noqa: S602
    assert len(lines(done.stdout)) == 1
    assert "BrokenPipe" not in done.stderr


def test_the_deployed_source_leaves_the_client_out(tmp_path: Path) -> None:
    # gcloud's rules are git's.
    subprocess.run(["git", "init", "--quiet", tmp_path], check=True)
    (tmp_path / ".gitignore").write_bytes((FUNCTION / ".gcloudignore").read_bytes())
    asked = ["age_gender/client.py", "requirements-batch.txt", "main.py", "serving/inference.py", "requirements.txt"]
    told = subprocess.run(["git", "check-ignore", *asked], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert told.stdout.split() == asked[:2]
    # The image is built from the same folder.
    assert {"function/age_gender/", "function/requirements-batch.*"} < set((ROOT / ".dockerignore").read_text().split())
