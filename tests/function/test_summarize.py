"""`age-gender summarize`, and the option that carries what it needs."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow
import pytest
from pyarrow import parquet

from age_gender.__main__ import main
from age_gender.client import Client
from age_gender.prediction import Prediction, probability_columns
from serving.demographics import answers
from serving.release import MANIFEST
from tests.conftest import FUNCTION
from tests.server import Server
from training.faces import draw

VERSION = json.loads((FUNCTION / "model" / MANIFEST).read_text())["version"]
Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    """The command in this process: its exit code, output and errors."""

    def call(*arguments: str | Path) -> tuple[int, str, str]:
        code = main(["summarize", *map(str, arguments)])
        return (code, *capsys.readouterr())

    return call


def answer(women: float, years: int, **columns: Any) -> dict[str, Any]:
    """The answer for one aligned face, as `predict --json --probabilities` prints it."""
    ages = np.exp(-0.5 * ((np.arange(117) - years) / 3) ** 2)
    label, probability = ("female", women) if women > 0.5 else ("male", 1 - women)
    return {
        "file": f"{years}.jpg",
        "age": {"years": years, "low": years - 4, "high": years + 4},
        "gender": {"label": label, "probability": round(probability, 4)},
        "probabilities": {
            "age": answers.write_age(ages / ages.sum()),
            "gender": answers.write(np.array([1 - women, women])),
        },
        "release": VERSION,
        **columns,
    }


def people(number: int = 60) -> Iterator[dict[str, Any]]:
    for face in range(number):
        yield answer(
            0.99 if face % 3 == 0 else 0.01, 20 + face % 30, store="north" if face % 2 else "south", day=face % 2
        )


def written(path: Path, rows: Any) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_a_table_shows_corrected_beside_counted(tmp_path: Path, run: Run) -> None:
    code, shown, _ = run(written(tmp_path / "a.jsonl", people()))
    assert code == 0
    heading, columns, *rows = shown.splitlines()
    assert heading == f"60 faces, release {VERSION}"
    assert columns.split() == ["estimated", "between", "counted"]
    assert {"male", "female", "0-12", "60+", "mean", "median"} <= {row.split()[0] for row in rows if row}
    (women,) = (row for row in rows if row.startswith("female  "))
    assert women.split()[-2:] == ["33.3", "%"]
    assert rows[-1].endswith("A person who is in two images is counted twice.")


def test_json_and_csv_state_the_same(tmp_path: Path, run: Run) -> None:
    file = written(tmp_path / "a.jsonl", people())
    _, said, _ = run(file, "--json", "--bands", "0-17,18-34,35+")
    found = json.loads(said)
    assert list(found["age"]["bands"]) == ["0-17", "18-34", "35+"]
    assert (found["release"], found["faces"]) == (VERSION, 60)
    assert found["gender"]["female"]["counted"] == pytest.approx(1 / 3)
    _, said, _ = run(file, "--csv", "--bands", "0-17,18-34,35+")
    rows = {row["figure"]: row for row in csv.DictReader(io.StringIO(said))}
    assert float(rows["18-34"]["estimated"]) == pytest.approx(found["age"]["bands"]["18-34"]["value"], abs=1e-4)
    assert float(rows["female 35+"]["high"]) == pytest.approx(
        found["age"]["pyramid"]["female"]["35+"]["high"], abs=1e-4
    )


def test_groups_are_summarized_and_compared(tmp_path: Path, run: Run) -> None:
    rows = [answer(0.99, 25, store="=north") for _ in range(80)] + [answer(0.01, 60, store="south") for _ in range(80)]
    file = written(tmp_path / "a.jsonl", rows)
    found = json.loads(run(file, "--by", "store", "--json")[1])
    assert [(group["store"], group["faces"]) for group in found["groups"]] == [("=north", 80), ("south", 80)]
    women = next(each for each in found["differences"] if each["figure"] == "female")
    assert women["group"] == {"store": "=north"}
    assert women["difference"] > 0.8
    assert women["p_value"] < 0.05
    shown = run(file, "--by", "store")[1]
    assert "store =north, female: +" in shown
    # A spreadsheet would run the name as a formula.
    assert "'=north,female," in run(file, "--by", "store", "--csv")[1]
    assert "no group differs" in run(written(tmp_path / "b.jsonl", people()), "--by", "store,day")[1]


def test_all_shapes_of_answers_count_the_same(tmp_path: Path, run: Run) -> None:
    """Aligned faces, whole images, rows of a batch as JSON lines and as Parquet, and saved responses."""
    rows = list(people(30))
    bare = [{name: row[name] for name in ("age", "gender", "probabilities", "release")} for row in rows]
    image = {"file": "group.jpg", "width": 100, "height": 100}
    batch = [{**image, "faces": 30, "face": number, **face} for number, face in enumerate(bare, 1)]
    heads = ("age", "gender")
    columns = {**Prediction.columns(heads), **probability_columns(heads)}
    cells = [Prediction.parse(row).as_rows(row["file"], heads)[0] for row in rows]
    assert set(cells[0]) == set(columns)
    parquet.write_table(pyarrow.Table.from_pylist(cells), tmp_path / "a.parquet")
    files = [
        written(tmp_path / "aligned.jsonl", rows),
        written(tmp_path / "whole.jsonl", [{**image, "faces": bare}]),
        written(tmp_path / "batch.jsonl", batch),
        tmp_path / "a.parquet",
        written(tmp_path / "responses.jsonl", [{"predictions": bare[:20]}, {"predictions": [{"faces": bare[20:]}]}]),
    ]
    first, *others = (run(file, "--json")[1] for file in files)
    assert json.loads(first)["faces"] == 30
    assert others == [first] * 4


def test_what_is_not_counted_is_stated(tmp_path: Path, run: Run) -> None:
    rows = [
        *people(40),
        {"file": "broken.jpg", "error": {"status": 422, "title": "", "detail": "no image"}},
        {"file": "wall.jpg", "width": 5, "height": 5, "faces": []},
        {"file": "wall.jpg", "width": 5, "height": 5, "faces": 0, "face": None},
        answer(0.5, 30, warnings=[{"code": "not_a_face", "detail": ""}]),
        answer(0.01, 30, warnings=[{"code": "too_many_faces", "detail": ""}]),
    ]
    file = written(tmp_path / "a.jsonl", rows)
    expected = "1 images with an error, 2 images without a face, 1 faces with the warning not_a_face"
    assert f"not counted: {expected}" in run(file)[1]
    found = json.loads(run(file, "--json")[1])
    assert found["not_counted"] == {"errors": 1, "without_face": 2, "warnings": {"not_a_face": 1}}
    assert found["faces"] == 41


def without(row: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: value for name, value in row.items() if name not in names}


@pytest.mark.parametrize(
    ("rows", "options", "complaint"),
    [
        ([], [], "the files are empty"),
        ([{"file": "a", "error": {}}], [], "there is no face to count: 1 images with an error"),
        ([without(answer(0.1, 30), "probabilities", "release")], [], "line 1 of {} has no probabilities: it was made"),
        (
            [*people(3), answer(0.1, 30, release="other")],
            [],
            "line 4 of {} is of release other, and the",
        ),
        ([{"file": "a"}], [], "line 1 of {} has no estimate"),
        ([1], [], "line 1 of {} is no JSON object"),
        ([answer(0.1, 30, probabilities={"age": [1]})], [], "garbles"),
        ([answer(0.1, 30, probabilities={"gender": [1, 2]})], [], "line 1 of {} has no age"),
        ([*people(2)], ["--by", "shop"], "line 1 of {} has no column 'shop' for --by; it has release, store, day"),
        ([*people(2)], ["--bands", "0-17,30+"], "no band has the ages 18 to 29"),
        ([answer(0.1, 30, who=str(name)) for name in range(201)], ["--by", "who"], "more than 200 groups"),
    ],
)
def test_bad_answers_each_have_a_sentence(
    tmp_path: Path, run: Run, rows: list[Any], options: list[str], complaint: str
) -> None:
    file = written(tmp_path / "a.jsonl", rows)
    code, shown, said = run(file, *options)
    assert (code, shown) == (2, "")
    assert complaint.format(file) in said
    assert len(said.splitlines()) == 1


def test_unreadable_files_each_have_a_sentence(tmp_path: Path, run: Run) -> None:
    (tmp_path / "a.jsonl").write_bytes(b'{"file": "a"}\n\xff{')
    (tmp_path / "a.parquet").write_bytes(b"PAR1")
    (tmp_path / "b.jsonl").write_text("{}\nfile,age\n")
    for name, complaint in {
        "none.jsonl": "cannot be read: No such file",
        "none.parquet": "cannot be read: No such file",
        "a.parquet": "is no Parquet file",
        "b.jsonl": "line 1 of",
    }.items():
        code, _, said = run(tmp_path / name)
        assert code == 2
        assert complaint in said


def test_a_release_without_statistics_is_refused(tmp_path: Path, run: Run) -> None:
    manifest = json.loads((FUNCTION / "model" / MANIFEST).read_text())
    del manifest["demographics"]
    (tmp_path / MANIFEST).write_text(json.dumps(manifest))
    (tmp_path / "model.tflite").write_bytes((FUNCTION / "model" / "model.tflite").read_bytes())
    code, _, said = run(written(tmp_path / "a.jsonl", people(2)), "--model", tmp_path)
    assert code == 3
    assert "has no statistics to correct counts with" in said


def test_a_poor_fit_is_said(tmp_path: Path, run: Run) -> None:
    unsure = [answer(0.45 + 0.1 * (face % 2), 30) for face in range(300)]
    assert "no shares explain these answers well" in run(written(tmp_path / "a.jsonl", unsure))[1]


def test_probabilities_come_only_where_they_are_asked_for(server: Server, tmp_path: Path) -> None:
    face = draw(30, 1, 0, seed=1)
    plain = server.post(face).json()["predictions"][0]
    asked = server.post(face, path="/predict?probabilities=true").json()["predictions"][0]
    assert {**plain, "probabilities": asked["probabilities"], "release": VERSION} == asked
    assert list(asked["probabilities"]) == ["age", "gender", "ethnicity"]
    gender = asked["probabilities"]["gender"]
    assert max(gender) == round(10_000 * plain["gender"]["probability"])
    first, *shares = asked["probabilities"]["age"]
    assert abs(sum(shares) - 10_000) < 200
    assert first <= plain["age"]["years"] < first + len(shares)
    with Client(server.url, probabilities=True) as client:
        (prediction,) = client.predict(face)
    assert prediction.as_json() == asked
    assert server.post(face, path="/predict?probabilities=1").status_code == 400


def test_csv_has_no_probabilities(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["predict", "--csv", "--probabilities", str(tmp_path)]) == 2
    assert "use --json" in capsys.readouterr().err
