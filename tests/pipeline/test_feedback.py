"""From requests with true labels to a verdict: real faces, the real function's log and answers, the real command."""

from __future__ import annotations

import csv
import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.conftest import FUNCTION
from tests.emulator import Emulator
from tests.loglines import BUNDLED, RELEASE
from tests.server import serve
from training.__main__ import main
from training.labels import parse

FACES = 150
BOUNDARY = "faces"


@dataclass(frozen=True)
class Asked:
    """Requests with one face each, and one with three images."""

    log: Path
    saved: Path
    """The responses, one a line."""
    labels: list[dict[str, str]]
    """Rows of a table of true labels."""
    answers: list[dict[str, Any]]
    """The answers, in the order of the rows."""


@pytest.fixture(scope="module")
def asked(utkface: Path, tmp_path_factory: pytest.TempPathFactory) -> Asked:
    folder = tmp_path_factory.mktemp("feedback")
    known = sorted(utkface.glob("*_*_*_*.jpg"))
    paths = [known[place] for place in np.random.default_rng(7).permutation(len(known))[:FACES]]
    labels, answers, saved = [], [], []
    with (
        (folder / "function.log").open("wb") as log,
        serve(FUNCTION, stderr=log.fileno(), LOG_LEVEL="INFO", LOG_FACES="true") as server,
    ):
        for number, path in enumerate(paths):
            response = server.post(path.read_bytes(), **{"X-Request-Id": f"request-{number}"})
            saved.append({"request_id": response.headers["X-Request-Id"], **response.json()})
            answers += response.json()["predictions"]
            labels.append({"request_id": f"request-{number}", "image": "", **row(path)})
        body = b"".join(
            b"--%s\r\nContent-Disposition: form-data; name=image; filename=a\r\n\r\n%s\r\n" % (BOUNDARY.encode(), each)
            for each in (paths[0].read_bytes(), b"no image", paths[1].read_bytes())
        )
        form = f"multipart/form-data; boundary={BOUNDARY}"
        response = server.post(body + f"--{BOUNDARY}--\r\n".encode(), form, **{"X-Request-Id": "three"})
        assert "error" in response.json()["predictions"][1]
        saved.append({"request_id": "three", **response.json()})
        for number, path in ((1, paths[0]), (3, paths[1])):
            answers.append(response.json()["predictions"][number - 1])
            labels.append({"request_id": "three", "image": str(number), **row(path)})
    (folder / "saved.jsonl").write_text("".join(f"{json.dumps(each)}\n" for each in saved))
    return Asked(folder / "function.log", folder / "saved.jsonl", labels, answers)


def row(path: Path) -> dict[str, str]:
    found = parse(path.name)
    return {"age": str(found.age), "gender": ("male", "female")[found.choices[0]]}


def table(folder: Path, rows: list[dict[str, str]]) -> str:
    path = folder / "labels.csv"
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0].keys())
        writer.writeheader()
        writer.writerows(rows)
    return str(path)


def feedback(labels: str, *options: str) -> int:
    return main(["feedback", "--labels", labels, "--release", str(BUNDLED), *options])


def test_the_log_and_saved_responses_give_the_same_figures(
    asked: Asked, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    labels = table(tmp_path, asked.labels)
    reports = []
    for source in (["--logs", str(asked.log)], ["--answers", str(asked.saved)]):
        assert feedback(labels, *source, "--output", str(tmp_path / "feedback.json")) == 0
        reports.append(json.loads((tmp_path / "feedback.json").read_text()))
    from_log, from_answers = reports
    assert from_log == from_answers
    assert f"{FACES + 2} of {FACES + 2} labelled faces in labels.csv have an answer" in capsys.readouterr().out

    errors = [
        abs(answer["age"]["years"] - int(label["age"]))
        for answer, label in zip(asked.answers, asked.labels, strict=True)
    ]
    right = [
        answer["gender"]["label"] == label["gender"] for answer, label in zip(asked.answers, asked.labels, strict=True)
    ]
    whole = from_log["groups"][0]
    assert whole["n"] == FACES + 2
    assert whole["age_mae"]["value"] == pytest.approx(np.mean(errors), abs=1e-4)
    assert whole["age_mae"]["requests"] == FACES + 1
    assert whole["gender_accuracy"]["value"] == pytest.approx(np.mean(right), abs=1e-4)
    assert "ethnicity_accuracy" not in whole
    assert {name for group in from_log["groups"] for name in group} >= {"age_band", "gender", "interval_coverage"}
    assert (from_log["release"], from_log["verdict"], from_log["worse"]) == (RELEASE, "too_few", [])


def test_labels_that_contradict_the_answers_are_a_worsening(
    asked: Asked, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    older = [{**label, "age": str(min(int(label["age"]) + 15, 116))} for label in asked.labels]
    metrics, output = tmp_path / "metrics.txt", tmp_path / "feedback.json"
    options = ["--logs", str(asked.log), "--metrics", str(metrics), "--output", str(output)]
    assert feedback(table(tmp_path, older), *options) == 1
    assert "worse than on the test faces: age MAE" in capsys.readouterr().out
    assert "feedback_worse 1\n" in metrics.read_text()
    assert "age MAE" in json.loads(output.read_text())["worse"]


def test_labels_without_answers_are_counted_by_reason(
    asked: Asked, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [
        *asked.labels[:5],
        {"request_id": "three", "image": "2", "age": "30", "gender": ""},
        {"request_id": "three", "image": "", "age": "30", "gender": ""},
        {"request_id": "nobody", "image": "", "age": "30", "gender": ""},
    ]
    assert feedback(table(tmp_path, rows), "--logs", str(asked.log)) == 0
    told = capsys.readouterr().out
    assert "5 of 8 labelled faces in labels.csv have an answer" in told
    for reason in ("the image has an error", "the answer has 3 images", "no answer has this name"):
        assert f"without an answer: 1: {reason}" in told
    assert "age MAE: 5 requests have a label and an answer, 50 are needed" in told
    assert told.splitlines()[-1].startswith("too few labels to judge: age MAE, ")


def test_a_log_without_estimates_names_the_setting(
    utkface: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    face = next(utkface.glob("30_*.jpg"))
    log = tmp_path / "function.log"
    with log.open("wb") as file, serve(FUNCTION, stderr=file.fileno(), LOG_LEVEL="INFO") as server:
        server.post(face.read_bytes(), **{"X-Request-Id": "quiet"})
    assert b"estimates" not in log.read_bytes()
    labels = table(tmp_path, [{"request_id": "quiet", "age": "30"}])
    assert feedback(labels, "--logs", str(log)) == 0
    assert (
        "without an answer: 1: logged without estimates: LOG_FACES was off, or it was a summary"
        in capsys.readouterr().out
    )


def test_a_table_in_a_bucket_is_read_and_a_missing_one_is_an_error(
    asked: Asked,
    emulator: Emulator,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", emulator.url)
    (folder := tmp_path / "labels").mkdir()
    table(folder, asked.labels)
    emulator.upload(folder, f"{tmp_path.name}/labels")
    place = f"gs://{emulator.bucket}/{tmp_path.name}/labels"
    assert feedback(f"{place}/labels.csv", "--answers", str(asked.saved)) == 0
    assert f"{FACES + 2} of {FACES + 2} labelled faces" in capsys.readouterr().out
    assert feedback(f"{place}/other.csv", "--answers", str(asked.saved)) == 3
    assert f"{place}/other.csv does not exist; upload a table of labels" in capsys.readouterr().err
    assert feedback(str(tmp_path / "none.csv"), "--answers", str(asked.saved)) == 3
    assert "none.csv does not exist; give a table of labels" in capsys.readouterr().err


def test_the_gate_refuses_a_release_that_is_worse_on_live_faces(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(BUNDLED, tmp_path / "release")
    file = tmp_path / "feedback.json"
    command = ["gate", "--work", str(tmp_path), "--preset", "default", "--feedback", str(file)]

    def judged(**found: Any) -> tuple[int, str]:
        file.write_text(json.dumps({"release": RELEASE, "verdict": "worse", "worse": ["age MAE, 60+"]} | found))
        return main(command), capsys.readouterr().out

    status, told = judged()
    assert status == 1
    assert "gate failed: metrics worse on live faces" in told
    assert "Worse on live faces: age MAE, 60+." in told
    status, told = judged(release="20200101-00000000")
    assert status == 0
    assert "The feedback is on release 20200101-00000000" in told
    status, told = judged(verdict="too_few", worse=[])
    assert status == 0
    assert "too few to show that no metric is worse" in told
    file.write_text("{}")
    assert main(command) != 0
    assert "is not what `python -m training feedback --output` writes" in capsys.readouterr().err
