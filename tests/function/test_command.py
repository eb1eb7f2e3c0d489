"""`age-gender predict` as a process."""

from __future__ import annotations

import csv
import json
import os
import pty
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.command import age_gender
from tests.conftest import FUNCTION, ROOT
from tests.scripted_server import ANSWERED, PREDICTION, Scripted, scripted
from tests.server import Server, serve
from training.faces import draw, write_faces


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three faces, one in a subfolder, and a text file."""
    found = tmp_path_factory.mktemp("faces")
    (found / "more").mkdir()
    for number, name in enumerate(("a.jpg", "b.JPEG", "more/c.jpg")):
        (found / name).write_bytes(draw(age=20 + 20 * number, gender=number % 2, ethnicity=0, seed=number))
    (found / "notes.txt").write_text("no image")
    return found


def lines(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


def test_json_lines_hold_what_the_function_returns(folder: Path, server: Server) -> None:
    done = age_gender("predict", "--aligned", folder, "--json", "--heads", "age,gender,ethnicity")
    names = [str(folder / name) for name in ("a.jpg", "b.JPEG", "more/c.jpg")]
    said = [server.post(Path(name).read_bytes()).json()["predictions"][0] for name in names]
    assert lines(done.stdout) == [{"file": name, **each} for name, each in zip(names, said, strict=True)]
    assert done.returncode == 0
    assert age_gender("predict", "--aligned", folder, "--json", "--url", server.url).stdout == done.stdout


def test_the_table_is_aligned_and_shows_the_enabled_heads(folder: Path) -> None:
    heading, *rows = age_gender("predict", "--aligned", folder, "--heads", "gender").stdout.splitlines()
    assert heading.split() == ["file", "gender"]
    assert len(rows) == 3
    # Drawn faces have a warning, in a last column without a heading.
    assert {len(row.partition("  warning: ")[0]) for row in rows} == {len(heading)}
    with_age = age_gender("predict", "--aligned", folder / "a.jpg").stdout.splitlines()
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
    (prediction,) = lines(age_gender("predict", "--aligned", "-", "--json", given=face).stdout)
    assert (prediction["file"], list(prediction)) == ("-", ["file", "age", "gender", "warnings"])


def test_a_bad_image_is_named_and_the_others_are_predicted(folder: Path) -> None:
    text = str(folder / "notes.txt")
    done = age_gender("predict", "--aligned", text, folder / "a.jpg", "--json")
    failed, answered = lines(done.stdout)
    assert done.returncode == 1
    assert (failed["file"], failed["error"]["status"]) == (text, 415)
    assert "age" in answered
    assert f"age-gender: {text}: the data is not an image of a known format" in done.stderr
    table = age_gender("predict", "--aligned", text, folder / "a.jpg")
    assert "notes.txt  no prediction: the data is not an image" in table.stdout
    assert table.returncode == 1


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        ([], 2, "usage"),
        (["predict"], 2, "required: image"),
        (["predict", "nowhere.jpg"], 2, "nowhere.jpg: no image there"),
        (["predict", FUNCTION / "serving" / "openapi"], 2, "no image there"),
        (["predict", "-", "--mood", "good"], 2, "unknown arguments: --mood good"),
        (["predict", "-", "--heads", "mood"], 2, "HEADS is 'mood'"),
        (
            ["predict", "-", "--heads", "age", "--url", "http://127.0.0.1:1"],
            2,
            "--heads and --model work without --url only",
        ),
        (["predict", "-", "--model", "nowhere"], 3, "nowhere/manifest.json"),
        (["predict", "-", "--url", "faces.example"], 3, "invalid URL"),
        (["predict", "-", "--url", ""], 3, "invalid URL ''"),
        (["predict", "x" * 300], 2, "no image there"),
        (["predict", "-", "--json", "--csv"], 2, "not allowed with argument"),
        (["predict", "-", "--header", "X-Team=faces"], 2, "--header and --identity-token are for a server"),
        (["predict", "-", "--url", "http://127.0.0.1:1", "--header", "X Team=faces"], 2, "invalid header name"),
        (["predict", "-", "--url", "http://127.0.0.1:1"], 3, "connection refused; check the URL"),
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


def test_the_key_comes_from_the_environment(folder: Path, tmp_path: Path) -> None:
    key = "open-sesame-0123456789"
    with serve(FUNCTION, ready="/", API_KEY=key) as guarded:
        asked = ("predict", folder / "a.jpg", "--url", guarded.url)
        assert age_gender(*asked, AGE_GENDER_API_KEY=key).returncode == 0
        refused = age_gender(*asked)
        # The server refuses these before it has read them.
        for number in range(4):
            (tmp_path / f"{number}.jpg").write_bytes(bytes(2**21))
        assert age_gender("predict", tmp_path, "--url", guarded.url).stderr == refused.stderr
    assert refused.returncode == 3
    assert f"{guarded.url} returned 401: " in refused.stderr


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


def test_the_deployed_source_excludes_the_client(tmp_path: Path) -> None:
    # gcloud's rules are git's.
    subprocess.run(["git", "init", "--quiet", tmp_path], check=True)
    (tmp_path / ".gitignore").write_bytes((FUNCTION / ".gcloudignore").read_bytes())
    paths = ["age_gender/client.py", "requirements-batch.txt", "main.py", "serving/inference.py", "requirements.txt"]
    told = subprocess.run(["git", "check-ignore", *paths], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert told.stdout.split() == paths[:2]
    # The image copies what it needs by name. The training image has the client's package, for `prepare-beam`.
    stage = (ROOT / "Dockerfile").read_text().partition(" AS function\n")[2]
    copied = [line.split()[1] for line in stage.splitlines() if line.startswith("COPY ")]
    assert copied == ["function/requirements.txt", "function/main.py", "function/model/", "function/serving/"]
    assert "function/requirements-batch.*" in (ROOT / ".dockerignore").read_text().split()


def terminal(*arguments: str | Path) -> str:
    """What a terminal shows that is standard output and standard error of the command."""
    ours, its_end = pty.openpty()
    command = [sys.executable, "-m", "age_gender", *map(str, arguments)]
    environment = {**os.environ, "PYTHONPATH": str(FUNCTION)}
    subprocess.run(command, stdout=its_end, stderr=its_end, env=environment, check=False)
    os.close(its_end)
    shown = os.read(ours, 100_000).decode(errors="replace")
    os.close(ours)
    return shown


def test_version_is_printed_without_a_command() -> None:
    done = age_gender("--version")
    assert done.returncode == 0
    assert re.fullmatch(r"age-gender (\d+\.\d+\.\d+|\(not installed.*\))\n", done.stdout)


def test_the_runtime_adds_no_notes_of_its_own(folder: Path) -> None:
    assert age_gender("predict", folder / "a.jpg").stderr == ""


def test_a_terminal_shows_a_bad_image_once(folder: Path) -> None:
    assert terminal("predict", folder / "notes.txt").count("notes.txt") == 1
    assert age_gender("predict", folder / "notes.txt").stderr.count("notes.txt") == 1


def test_csv_has_the_columns_of_a_batch_and_the_error(folder: Path) -> None:
    text = age_gender("predict", "--aligned", folder / "notes.txt", folder, "--csv", "--heads", "age,gender").stdout
    rows = list(csv.DictReader(text.splitlines()))
    columns = ["file", "age", "age_low", "age_high", "gender", "gender_probability", "warnings", "error"]
    assert list(rows[0]) == columns
    assert [Path(row["file"]).name for row in rows] == ["notes.txt", "a.jpg", "b.JPEG", "c.jpg"]
    assert rows[0]["error"].startswith("the data is not an image")
    (expected,) = lines(age_gender("predict", "--aligned", folder / "a.jpg", "--json").stdout)
    assert (rows[1]["age"], rows[1]["error"]) == (str(expected["age"]["years"]), "")
    only_errors = age_gender("predict", "--aligned", folder / "notes.txt", "--csv").stdout.splitlines()
    assert only_errors[0] == "file,warnings,error"


def test_no_name_ends_the_command_or_reaches_a_terminal_raw(folder: Path, tmp_path: Path) -> None:
    face = (folder / "a.jpg").read_bytes()
    names = ("b-\udce4.jpg", "c-\x1b]0;title\x07.jpg", "d-é\u202e.jpg", "e\nf.jpg", "=HYPERLINK(1).jpg")
    for name in names:
        (tmp_path / name).write_bytes(face)
    (tmp_path / "g-\udce4\x1b[2J.jpg").write_text("no image")
    for encoding in ("utf-8:strict", "cp1252", "ascii"):
        done = age_gender("predict", "--aligned", tmp_path, PYTHONIOENCODING=encoding)
        assert done.returncode == 1
        assert len(done.stdout.splitlines()) == 1 + len(names) + 1
        assert not set(done.stdout + done.stderr) & {"\x1b", "\x07", "\u202e"}
        for shown in ("b-\\udce4.jpg", "c-\\x1b]0;title\\x07.jpg", "\\u202e.jpg", "e\\nf.jpg"):
            assert shown in done.stdout
        assert "g-\\udce4\\x1b[2J.jpg: the data is not an image" in done.stderr
    exact = lines(age_gender("predict", "--aligned", tmp_path, "--json").stdout)
    assert "c-\x1b]0;title\x07.jpg" in {Path(row["file"]).name for row in exact}
    assert "b-\\udce4.jpg" in {Path(row["file"]).name for row in exact}


@pytest.mark.parametrize("start", list("=+-@"))
def test_a_spreadsheet_runs_no_cell_of_the_csv(start: str, face: bytes, tmp_path: Path) -> None:
    name = f"{start}1+cmd|x.jpg"
    (tmp_path / name).write_bytes(face)
    # The name alone, as from a shell's pattern in the folder.
    command = [sys.executable, "-m", "age_gender", "predict", "--csv", "--", name]
    environment = {**os.environ, "PYTHONPATH": str(FUNCTION)}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=True)
    (row,) = csv.DictReader(done.stdout.splitlines())
    assert row["file"] == f"'{name}"


def test_text_of_a_server_reaches_no_terminal_raw(folder: Path) -> None:
    hostile = {"error": {"status": 422, "detail": "\x1b[2J"}}
    with scripted((200, {"predictions": [hostile]}, {}), (401, {"detail": "\x1b[2J"}, {})) as running:
        for code in (1, 3):
            done = age_gender("predict", folder / "a.jpg", "--url", running.url)
            assert done.returncode == code
            assert "\\x1b[2J" in done.stderr
            assert "\x1b" not in done.stdout + done.stderr


def test_no_probability_is_shown_as_certain(folder: Path) -> None:
    certain = {**PREDICTION, "gender": {"label": "male", "probability": 1.0}}
    answered: Scripted = (200, {"predictions": [certain]}, {})
    with scripted(*[answered] * 3) as running:
        asked = ("predict", "--aligned", folder / "a.jpg", "--url", running.url)
        assert "male  99.9 %" in age_gender(*asked).stdout
        assert ",male,0.9999," in age_gender(*asked, "--csv").stdout
        assert lines(age_gender(*asked, "--json").stdout)[0]["gender"]["probability"] == 1.0


def test_a_closed_standard_input_is_an_error_of_its_image() -> None:
    command = f"{sys.executable} -m age_gender predict - --json <&-"
    environment = {**os.environ, "PYTHONPATH": str(FUNCTION)}
    done = subprocess.run(command, shell=True, env=environment, capture_output=True, text=True, check=False)  # noqa: S602
    assert done.returncode == 1
    assert done.stderr == "age-gender: -: cannot be read: standard input is closed\n"


def test_pipes_and_devices_are_read_like_files(face: bytes) -> None:
    (prediction,) = lines(age_gender("predict", "--aligned", "/dev/stdin", "--json", given=face).stdout)
    assert "age" in prediction
    command = f"{sys.executable} -m age_gender predict --aligned <(cat /dev/stdin) --json"
    environment = {**os.environ, "PYTHONPATH": str(FUNCTION)}
    done = subprocess.run(["bash", "-c", command], input=face, env=environment, capture_output=True, check=True)
    assert "age" in json.loads(done.stdout)


def test_files_that_are_passed_over_are_counted(folder: Path, face: bytes, tmp_path: Path) -> None:
    phone = tmp_path / "phone"
    phone.mkdir()
    for name in ("IMG_1.HEIC", "IMG_2.heic", "clip.mov", "README"):
        (phone / name).write_bytes(b"x")
    (phone / "._saved.jpg").write_bytes(b"metadata of macOS")
    (phone / "more").symlink_to(folder, target_is_directory=True)
    (phone / "gone.jpg").symlink_to("nowhere")
    counts = (
        "passed over: 1 ._* of macOS, 2 .heic, 1 .mov, 1 broken link or special file, 1 link to a folder, "
        "1 without a suffix; convert HEIC to JPEG first; to follow a link, name it as an image argument"
    )
    alone = age_gender("predict", phone)
    assert (alone.returncode, alone.stderr) == (2, f"age-gender: {phone}: no image there ({counts})\n")
    (phone / "saved.jfif").write_bytes(face)
    done = age_gender("predict", phone, "--json")
    assert [Path(row["file"]).name for row in lines(done.stdout)] == ["saved.jfif"]
    assert (done.returncode, done.stderr) == (0, f"age-gender: {counts}\n")
    assert len(lines(age_gender("predict", phone / "more", "--json").stdout)) == 3


def test_a_retry_is_visible(folder: Path) -> None:
    busy: Scripted = (503, {"status": 503, "detail": "busy"}, {})
    with scripted(busy, ANSWERED) as running:
        done = age_gender("predict", "--aligned", folder / "a.jpg", "--url", running.url)
    assert done.returncode == 0
    assert re.fullmatch(rf"age-gender: {running.url}: it returned 503; retrying 2/5 in 0\.\d s\n", done.stderr)


def test_a_private_service_gets_the_identity_token(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "gcloud").write_text("#!/bin/sh\necho of.gcloud.own\n")
    (tmp_path / "gcloud").chmod(0o755)
    path = f"{tmp_path}:{os.environ['PATH']}"
    face = folder / "a.jpg"
    with scripted(*[ANSWERED] * 3) as running:
        for option in ("--identity-token=a.b.c", "--identity-token", "--header=Authorization=Basic Zm9v=="):
            done = age_gender(
                *("predict", "--aligned", face, "--url", running.url, option),
                PATH=path,
                GCE_METADATA_HOST="127.0.0.1:1",
                GOOGLE_APPLICATION_CREDENTIALS="",
            )
            assert done.returncode == 0, done.stderr
        sent = [request["Authorization"] for request in running.requests]
        assert sent == ["Bearer a.b.c", "Bearer of.gcloud.own", "Basic Zm9v=="]
        swallowed = age_gender("predict", "--aligned", "--url", running.url, face, "--identity-token", face)
        assert swallowed.returncode == 2
        assert f"--identity-token took the file {face} as its value" in swallowed.stderr
