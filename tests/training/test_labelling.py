"""`prepare` with labels in tables: folders, archives, groups, and an account of every row and file."""

from __future__ import annotations

import csv
import json
import tarfile
import tracemalloc
import zipfile
from collections import Counter
from pathlib import Path

import pytest

from tests.prepared import index, read, rejected, splits_by
from tests.tables import chosen, csv_of, lines, write_faces
from training.__main__ import main
from training.config import PrepareConfig
from training.data import shards
from training.data.labelling import FileNames
from training.data.shards import Fingerprint
from training.data.staging import Staging
from training.errors import StepError
from training.faces import draw
from training.labels import MISSING
from training.prepare import prepare

CONFIG = PrepareConfig(size=32, shard_faces=16, validation=0.25, test=0.25)
COUNT = 48
ROWS = [
    {"file_name": f"face{number}.jpg", "age": "20-29" if number % 2 else number + 10, "gender": "mf"[number % 2]}
    for number in range(COUNT)
]
NAMES = [str(row["file_name"]) for row in ROWS]


@pytest.fixture
def faces(tmp_path: Path) -> Path:
    """Faces with a metadata.csv beside them."""
    write_faces(tmp_path / "faces", NAMES)
    (tmp_path / "faces" / "metadata.csv").write_text(csv_of(ROWS))
    return tmp_path / "faces"


def prepared(source: Path, *tables: Path, **options: str) -> Fingerprint:
    return prepare(source, source.parent / "data", CONFIG, labelling=chosen(source, *tables, **options))


def test_the_metadata_beside_the_faces_is_found_and_is_no_face(faces: Path, tmp_path: Path) -> None:
    fingerprint = prepared(faces)
    assert (sum(fingerprint.faces.values()), fingerprint.rejected) == (COUNT, 0)
    assert rejected(tmp_path / "data") == {}
    row = index(tmp_path / "data")["face3.jpg"]
    assert [row[name] for name in ("age", "age_high", "gender", "ethnicity")] == ["20", "29", "1", ""]
    _, labels = shards.shards(tmp_path / "data", row["split"])[int(row["shard"])].load()
    assert labels[int(row["position"])].tolist() == [20, 1, MISSING, 29]


def test_a_named_table_among_the_faces_is_no_face_either(faces: Path, tmp_path: Path) -> None:
    table = (faces / "metadata.csv").rename(faces / "labels.csv")
    assert sum(prepared(faces, table).faces.values()) == COUNT
    assert rejected(tmp_path / "data") == {}


def test_what_does_not_meet_is_rejected_with_its_reason(
    faces: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (faces / "stranger.jpg").write_bytes(draw(30, 0, 0, seed=999))
    (faces / "face0.jpg").unlink()
    (faces / "face1.jpg").write_bytes(b"")
    extra = [{"file_name": "face2.jpg", "age": 90, "gender": "m"}, {"file_name": "=1", "age": 1, "gender": ""}]
    (faces / "metadata.csv").write_text(csv_of([*ROWS, *extra]))
    assert main(["prepare", "--preset", "smoke", "--data", str(faces), "--work", str(tmp_path)]) == 0
    said = capsys.readouterr().out.splitlines()
    assert said[0] == "labels: metadata.csv: age from 'age', gender from 'gender', no ethnicity"
    assert said[1].startswith("48 files = 45 accepted (")
    assert said[1].endswith(") + 3 rejected")
    assert said[2] == "50 rows of metadata.csv: 2 rows without file, 1 files without row"
    found = rejected(tmp_path / "data")
    assert found.pop("face1.jpg").startswith("undecodable: the image is empty")
    assert found == {
        "stranger.jpg": "file without row: no row names it",
        "face0.jpg": "row without file: line 2 of metadata.csv",
        "'=1": "row without file: line 51 of metadata.csv",
        "face2.jpg": "contradicting rows: line 4 of metadata.csv and line 50 of metadata.csv name this file and differ",
    }
    page = (tmp_path / "data" / "exploration" / "index.html").read_text(encoding="utf-8")
    assert "2 rows without file, 1 files without row" in page


def test_a_row_with_several_files_labels_none_of_them_unless_one_has_its_path(faces: Path, tmp_path: Path) -> None:
    write_faces(faces, ["x/face3.jpg"])
    (faces / "x" / "face4.jpg").write_bytes((faces / "face4.jpg").read_bytes())
    for folder in "ab":
        (faces / folder).mkdir()
        (faces / folder / "new.jpg").write_bytes(draw(30, 0, 0, seed=500 + ord(folder)))
    (faces / "metadata.csv").write_text(csv_of([*ROWS, {"file_name": "new.jpg", "age": 5, "gender": "m"}]))
    fingerprint = prepared(faces)
    reason = (
        "row with several files: new.jpg names a/new.jpg and b/new.jpg; give longer paths in the table, or a folder "
        "with one of them"
    )
    assert rejected(tmp_path / "data") == {
        "a/new.jpg": reason,
        "b/new.jpg": reason,
        "x/face3.jpg": "file without row: the row of face3.jpg belongs to face3.jpg",
    }
    assert (sum(fingerprint.faces.values()), fingerprint.copies) == (COUNT, 1)


@pytest.mark.parametrize("kind", ["tar.gz", "zip"])
@pytest.mark.parametrize("inside", [True, False])
def test_an_archive_gives_the_same(kind: str, inside: bool, faces: Path, tmp_path: Path) -> None:
    expected = prepared(faces)
    table = faces / "metadata.csv" if inside else (faces / "metadata.csv").rename(tmp_path / "labels.csv")
    archive = tmp_path / f"faces.{kind}"
    if kind == "zip":
        with zipfile.ZipFile(archive, "w") as packed:
            for path in sorted(faces.iterdir()):
                packed.write(path, path.name)
    else:
        with tarfile.open(archive, "w:gz") as tar:
            tar.add(faces, ".")
    assert prepared(archive, *([] if inside else [table])).sha256 == expected.sha256
    assert rejected(tmp_path / "data") == {}
    origin = json.loads((tmp_path / "data" / "origin.json").read_text())
    assert origin["labels"]["given"] is not inside


def test_a_table_beside_the_faces_of_each_folder_names_those(tmp_path: Path) -> None:
    for folder, age in (("train", 20), ("test", 60)):
        write_faces(tmp_path / "faces" / folder, [f"{number}.jpg" for number in range(24)])
        for number, path in enumerate(sorted((tmp_path / "faces" / folder).iterdir())):
            path.write_bytes(draw(age, 0, 0, seed=1000 * age + number))
        rows = [{"file_name": f"{number}.jpg", "age": age} for number in range(24)]
        (tmp_path / "faces" / folder / "metadata.csv").write_text(csv_of(rows))
    prepared(tmp_path / "faces")
    found = index(tmp_path / "data")
    assert Counter((path.partition("/")[0], row["age"]) for path, row in found.items()) == {
        ("train", "20"): 24,
        ("test", "60"): 24,
    }


def test_the_names_of_files_count_where_there_is_no_table_or_it_is_asked_for(tmp_path: Path) -> None:
    names = [f"{number % 90}_0_0_{20170101000000000 + number}.jpg" for number in range(COUNT)]
    write_faces(tmp_path / "faces", names)
    assert isinstance(chosen(tmp_path / "faces"), FileNames)
    (tmp_path / "faces" / "metadata.csv").write_text("camera,lens\n1,2\n")
    with pytest.raises(StepError, match=r"metadata.csv has no column of age.*`--labels names`"):
        prepared(tmp_path / "faces")
    fingerprint = prepared(tmp_path / "faces", Path("names"))
    assert (sum(fingerprint.faces.values()), fingerprint.rejected) == (COUNT, 1)
    assert json.loads((tmp_path / "data" / "origin.json").read_text())["labels"] == {"names": True}


def test_groups_and_near_duplicates_stay_together(faces: Path, tmp_path: Path) -> None:
    # Persons of four faces each. A copy with one other byte joins the first two persons.
    rows = [{**row, "person": f"p{number // 4}"} for number, row in enumerate(ROWS)]
    (faces / "twin.jpg").write_bytes((faces / "face0.jpg").read_bytes() + b"\0")
    rows += [
        {"file_name": "twin.jpg", "age": 5, "gender": "m", "person": "p1"},
    ]
    (faces / "metadata.csv").write_text(csv_of(rows))
    prepared(faces, group="person")
    found = index(tmp_path / "data")
    assert len(found) == COUNT + 1
    persons = [{**found[str(row["file_name"])], "person": str(row["person"])} for row in rows]
    assert set(splits_by(persons, "person")) == {1}
    groups = {row["person"]: row["group"] for row in persons}
    assert all(groups[row["person"]] == row["group"] for row in persons)
    assert groups["p0"] == groups["p1"]
    assert len(set(groups.values())) == COUNT // 4 - 1


def test_without_a_group_only_near_duplicates_stay_together(faces: Path, tmp_path: Path) -> None:
    rows = [{**row, "person": "" if number % 2 else "nan"} for number, row in enumerate(ROWS)]
    (faces / "metadata.csv").write_text(csv_of(rows))
    prepared(faces, group="person")
    assert len({row["group"] for row in read(tmp_path / "data" / "index.csv")}) == COUNT


def test_too_few_faces_are_told_with_the_table(tmp_path: Path) -> None:
    write_faces(tmp_path / "faces", ["a.png"])
    (tmp_path / "faces" / "metadata.csv").write_text(lines("file_name,age", ["1.jpg,20", "2.jpg,30"]))
    with pytest.raises(StepError) as raised:
        prepared(tmp_path / "faces")
    assert str(raised.value).endswith(
        "+ 1 rejected, for example a.png: file without row: no row names it; give a hundred or more that metadata.csv "
        "labels (2 rows, 2 rows without file, 1 files without row)"
    )


def test_the_commands_options_reach_the_table(faces: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table = tmp_path / "labels.tsv"
    rows = [
        "{}\t{}\t{}\t{}".format(f"face{number}.jpg", number, "hf"[number % 2], number // 2) for number in range(COUNT)
    ]
    table.write_text(lines("photo\tAGE\tsexe\tvideo", rows))
    (tmp_path / "values.json").write_text('{"gender": {"h": "male"}}')
    arguments = ["prepare", "--preset", "smoke", "--data", str(faces), "--work", str(tmp_path), "--labels", str(table)]
    options = ["--columns", "file=photo,age=AGE,gender=sexe", "--values", str(tmp_path / "values.json")]
    assert main([*arguments, *options, "--group", "video"]) == 0
    said = capsys.readouterr()
    assert "labels: labels.tsv: age from 'AGE', gender from 'sexe', no ethnicity" in said.out
    stated = json.loads((tmp_path / "data" / "origin.json").read_text())["labels"]
    assert [stated[name] for name in ("given", "columns", "group")] == [True, options[1], "video"]
    assert [table["name"] for table in stated["tables"]] == ["labels.tsv"]
    assert stated["values"]["name"] == "values.json"
    found = index(tmp_path / "data")
    assert [found["face7.jpg"][name] for name in ("age", "gender")] == ["7", "1"]
    # A table beside the faces is no face either, although another one is given.
    assert rejected(tmp_path / "data") == {}


def test_memory_does_not_grow_with_the_rows(tmp_path: Path) -> None:
    def peak(count: int) -> int:
        folder = tmp_path / f"{count}"
        folder.mkdir()
        with (folder / "table.csv").open("w", newline="") as stream:
            table = csv.writer(stream)
            table.writerow(["file_name", "age", "gender", "person"])
            table.writerows(
                [f"faces/{number}.jpg", number % 90, "mf"[number % 2], number // 3] for number in range(count)
            )
        staging = Staging(folder)
        tracemalloc.start()
        labelling = chosen(folder / "faces", folder / "table.csv", group="person")
        labelling.begin(staging.database)
        for number in range(0, count, 2):
            labelling.find(f"{number}.jpg")
        assert sum(1 for _ in labelling.unused()) == count // 2
        used = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        staging.remove()
        return used

    # 8,000 rows in memory take more than this.
    assert peak(12_000) < peak(4_000) + 2**19


def test_the_whole_photographs_of_fairface_prepare(photographs: Path, tmp_path: Path) -> None:
    fingerprint = prepare(photographs, tmp_path / "data", CONFIG, labelling=chosen(photographs))
    assert sum(fingerprint.faces.values()) == 283
    assert set(rejected(tmp_path / "data")) == {"README.md"}
    assert {row["ethnicity"] for row in index(tmp_path / "data").values()} == {""}
