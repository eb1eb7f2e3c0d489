"""`age-gender predict` on whole images, as a process."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest

from tests import group_photos
from tests.command import age_gender
from tests.conftest import FUNCTION
from tests.scripted_server import DETECTED, DETECTION, FACE, Scripted, scripted
from tests.server import Server, serve

COLUMNS = [
    *("file", "width", "height", "faces", "face", "box_left", "box_top", "box_width", "box_height", "score"),
    *("age", "age_low", "age_high", "gender", "gender_probability", "warnings", "error"),
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    found = tmp_path_factory.mktemp("photos")
    group_photos.write(found)
    return found


@pytest.fixture(scope="module")
def counts(tmp_path_factory: pytest.TempPathFactory) -> dict[str, int]:
    return group_photos.write(tmp_path_factory.mktemp("counted"))


def lines(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


def test_json_lines_hold_the_faces_that_the_function_finds(
    folder: Path, counts: dict[str, int], server: Server
) -> None:
    done = age_gender("predict", folder, "--json", "--heads", "age,gender,ethnicity")
    assert done.returncode == 0, done.stderr
    said = [server.post((folder / name).read_bytes(), path="/detect").json()["predictions"][0] for name in counts]
    assert lines(done.stdout) == [{"file": str(folder / name), **each} for name, each in zip(counts, said, strict=True)]
    assert [len(each["faces"]) for each in said] == list(counts.values())
    assert age_gender("predict", folder, "--json", "--url", server.url).stdout == done.stdout


def test_the_table_has_a_row_a_face_and_tells_how_many_there_are(folder: Path) -> None:
    done = age_gender("predict", folder)
    heading, *rows, summary = done.stdout.splitlines()
    assert heading.split() == ["file", "face", "box", "score", "age", "between", "gender"]
    group, (one,), (sky,), (turned,) = rows[:4], rows[4:5], rows[5:6], rows[6:]
    assert [row.split()[1] for row in group] == ["1/4", "2/4", "3/4", "4/4"]
    assert one.split()[1] == turned.split()[1] == "1/1"
    # The box is in pixels of the upright image, so the turned one has the same.
    left, top = map(int, turned.split()[2].split(","))
    assert abs(left - 300) < 40
    assert abs(top - 150) < 60
    assert sky.endswith("/sky.png  no face found")
    assert summary == "6 faces in 4 images, none in 1 of them"
    assert {len(row) for row in (*group, one, turned)} == {len(heading)}
    assert (done.returncode, done.stderr) == (0, "")
    assert age_gender("predict", folder / "sky.png").stdout.splitlines()[-1] == "0 faces in 1 image"
    assert age_gender("predict", folder / "turned.jpg").stdout.splitlines()[-1] == "1 face in 1 image"


def test_csv_has_a_row_a_face_and_one_for_an_image_without(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "=notes.jpg").write_text("no image")
    done = age_gender("predict", folder / "sky.png", tmp_path, folder / "group.jpg", "--csv")
    rows = list(csv.DictReader(done.stdout.splitlines()))
    assert done.returncode == 1
    assert list(rows[0]) == COLUMNS
    assert [(Path(row["file"]).name, row["faces"], row["face"]) for row in rows] == [
        ("sky.png", "0", ""),
        ("=notes.jpg", "", ""),
        *[("group.jpg", "4", str(number)) for number in range(1, 5)],
    ]
    assert rows[1]["error"].startswith("the data is not an image")
    (expected,) = lines(age_gender("predict", folder / "group.jpg", "--json").stdout)
    for row, face in zip(rows[2:], expected["faces"], strict=True):
        assert {side: float(row[f"box_{side}"]) for side in face["box"]} == face["box"]
        assert (row["width"], row["height"], float(row["score"])) == ("1280", "960", face["score"])
        assert (row["age"], row["gender"], row["error"]) == (str(face["age"]["years"]), face["gender"]["label"], "")
    nothing = age_gender("predict", folder / "sky.png", "--csv").stdout.splitlines()
    assert nothing[0] == ",".join([*COLUMNS[:10], "warnings", "error"])
    assert len(nothing) == 2


def test_more_faces_than_the_limit_are_said(folder: Path) -> None:
    group = folder / "group.jpg"
    table = age_gender("predict", group, MAX_FACES="2").stdout.splitlines()
    assert "  warning: 4 faces were found, and the 2 largest are listed; " in table[-2]
    rows = list(csv.DictReader(age_gender("predict", group, "--csv", MAX_FACES="2").stdout.splitlines()))
    assert [row["warnings"] for row in rows] == ["too_many_faces"] * 2


def test_a_bad_image_is_named_and_the_others_are_searched(folder: Path, tmp_path: Path, server: Server) -> None:
    bad = tmp_path / "bad.jpg"
    bad.write_bytes((folder / "group.jpg").read_bytes()[:20_000])
    for where in ((), ("--url", server.url)):
        done = age_gender("predict", folder / "group.jpg", bad, folder / "turned.jpg", "--json", *where)
        assert done.returncode == 1
        group, failed, one = lines(done.stdout)
        assert (len(group["faces"]), failed["error"]["status"], len(one["faces"])) == (4, 422, 1)
        assert f"age-gender: {bad}: the JPEG image is damaged" in done.stderr


def test_standard_input_may_be_a_photo(folder: Path) -> None:
    (found,) = lines(age_gender("predict", "-", "--json", given=(folder / "group.jpg").read_bytes()).stdout)
    assert (found["file"], len(found["faces"])) == ("-", 4)


def test_aligned_faces_are_predicted_as_they_are_also_by_a_server_that_detects(face: bytes, tmp_path: Path) -> None:
    (tmp_path / "face.jpg").write_bytes(face)
    asked = ("predict", "--aligned", tmp_path / "face.jpg", "--json")
    here = lines(age_gender(*asked).stdout)
    assert "faces" not in here[0]
    with serve(FUNCTION, DETECT="true") as detecting:
        assert lines(age_gender(*asked, "--url", detecting.url).stdout) == here


def test_a_function_that_cannot_detect_is_named(tmp_path: Path, face: bytes) -> None:
    (tmp_path / "face.jpg").write_bytes(face)
    missing: Scripted = (404, {"status": 404, "detail": "there is nothing at this path"}, {})
    with scripted(missing) as running:
        done = age_gender("predict", tmp_path, "--url", running.url)
    assert done.returncode == 3
    assert "nothing at this path; an older function has no POST /detect: update it, or send aligned" in done.stderr


def test_no_name_or_text_reaches_a_terminal_or_a_spreadsheet_raw(face: bytes, tmp_path: Path) -> None:
    (tmp_path / "a\x1b[2J.jpg").write_bytes(face)
    hostile = {**FACE, "gender": {"label": "=1+1\x1b[2J", "probability": 1.0}}
    found: Scripted = (200, {"predictions": [{**DETECTION, "faces": [hostile, FACE]}]}, {})
    with scripted(found, found) as running:
        for option in ((), ("--csv",)):
            done = age_gender("predict", tmp_path, "--url", running.url, *option)
            assert done.returncode == 0, done.stderr
            assert "\x1b" not in done.stdout
            assert "a\\x1b[2J.jpg" in done.stdout
            assert ("99.9 %" in done.stdout) == (not option)
    assert ",'=1+1\\x1b[2J,0.9999," in done.stdout


@pytest.mark.parametrize(
    "changed",
    [
        {"box": {"left": float("nan"), "top": 0, "width": 1, "height": 1}},
        {"box": {"left": 0}},
        {"landmarks": {"nose": [1]}},
        {"score": None},
        {"age": 3},
    ],
)
def test_a_server_with_other_faces_cannot_be_used(changed: dict[str, Any], face: bytes, tmp_path: Path) -> None:
    (tmp_path / "face.jpg").write_bytes(face)
    with scripted((200, {"predictions": [{**DETECTION, "faces": [{**FACE, **changed}]}]}, {})) as running:
        done = age_gender("predict", tmp_path, "--url", running.url)
    assert done.returncode == 3
    assert "200 and no response of this function" in done.stderr


def test_both_ways_ask_the_paths_of_their_own(face: bytes, tmp_path: Path) -> None:
    (tmp_path / "face.jpg").write_bytes(face)
    with scripted(DETECTED) as running:
        assert age_gender("predict", tmp_path, "--url", f"{running.url}/detect").returncode == 0
        assert running.targets == ["POST /detect"]
