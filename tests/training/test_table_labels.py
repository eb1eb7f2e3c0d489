"""A table and the files meet, and each row and each file that does not has its sentence."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.tables import chosen, lines
from training.data.labelling import FileNames, Labelling
from training.data.staging import Staging
from training.errors import StepError
from training.labels import MAX_AGE, MISSING, LabelError

FAIRFACE = """file,age,gender,race,service_test
train/1.jpg,50-59,Male,East Asian,True
train/2.jpg,30-39,Female,Indian,False
train/3.jpg,more than 70,Female,Latino_Hispanic,False
train/4.jpg,0-2,Male,Black,True
"""
# Written with commas, published with tabs.
ADIENCE = """\
user_id,original_image,face_id,age,gender,x,y,dx,dy,tilt_ang,fiducial_yaw_angle,fiducial_score
30601258@N03,10399646885_67c7d20df9_o.jpg,1,(25; 32),f,0,414,1086,1383,-115,30,17
30601258@N03,10424815813_e94629b1ec_o.jpg,2,(8; 23),m,301,105,640,641,0,0,94
30601258@N03,10437979845_5985be4b26_o.jpg,1,None,u,2395,876,771,771,175,-30,74
113445054@N07,11763777465_11d01c34ce_o.jpg,1322,35,,0,0,10,10,0,0,1
""".replace(",", "\t").replace(";", ",")


@pytest.fixture
def database(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    staging = Staging(tmp_path)
    yield staging.database
    staging.remove()


def begun(labelling: Labelling, database: sqlite3.Connection) -> Labelling:
    labelling.begin(database)
    return labelling


def labelled(tmp_path: Path, database: sqlite3.Connection, text: str | bytes, **options: str) -> Labelling:
    (tmp_path / "table.csv").write_bytes(text if isinstance(text, bytes) else text.encode())
    return begun(chosen(tmp_path / "faces", tmp_path / "table.csv", **options), database)


def found(labelling: Labelling, path: str) -> tuple[int, ...] | str:
    try:
        return labelling.find(path).row
    except LabelError as error:
        return str(error)


def test_fairfaces_table_works_as_it_is_published(tmp_path: Path, database: sqlite3.Connection) -> None:
    labelling = labelled(tmp_path, database, FAIRFACE)
    assert found(labelling, "train/1.jpg") == (50, 0, 2, 59)
    assert found(labelling, "fairface-img-margin025-trainval/train/2.jpg") == (30, 1, 3, 39)
    assert found(labelling, "3.jpg") == (70, 1, 4, MAX_AGE)
    assert found(labelling, "val/4.jpg") == "file without row: train/4.jpg is in another folder"
    assert list(labelling.unused()) == [("train/4.jpg", "row without file: line 5 of table.csv")]


def test_adiences_folds_work_as_they_are_published(tmp_path: Path, database: sqlite3.Connection) -> None:
    labelling = labelled(tmp_path, database, ADIENCE)
    user = "30601258@N03"
    unknown = MISSING
    assert found(labelling, f"faces/{user}/coarse_tilt_aligned_face.1.10399646885_67c7d20df9_o.jpg") == (
        *(25, 1, unknown, 32),
    )
    assert found(labelling, f"aligned/{user}/landmark_aligned_face.2.10424815813_e94629b1ec_o.jpg") == (
        *(8, 0, unknown, 23),
    )
    assert found(labelling, "113445054@N07/landmark_aligned_face.1322.11763777465_11d01c34ce_o.jpg") == (
        *(35, unknown, unknown, 35),
    )
    assert found(labelling, f"{user}/landmark_aligned_face.1.10437979845_5985be4b26_o.jpg") == (
        "no label: age and gender missing (line 4 of table.csv)"
    )
    assert found(labelling, f"{user}/landmark_aligned_face.9.10399646885_67c7d20df9_o.jpg") == (
        "file without row: no row names it"
    )


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("a/b.jpg", "a/b.jpg"),
        ("b.jpg", "x/a/b.jpg"),
        ("/home/me/faces/a/b.jpg", "a/b.jpg"),
        (r"C:\faces\a\b.jpg", "a/b.jpg"),
        ("./a//b.jpg", "./a/b.jpg"),
        ("a/b.JPG", "a/b.jpg"),
        ("a/b.jpg", "a/b.JPG"),
        ("Jose\u0301.jpg", "Jos\u00e9.jpg"),
        (" b.jpg ", "b.jpg"),
        ("0001", "a/0001.jpg"),
    ],
)
def test_a_row_and_a_file_meet_where_one_path_is_the_end_of_the_other(
    name: str, path: str, tmp_path: Path, database: sqlite3.Connection
) -> None:
    labelling = labelled(tmp_path, database, lines("file_name,age", [f"{name},25", "other.jpg,1"]))
    assert found(labelling, path) == (25, MISSING, MISSING, 25)
    assert [file for file, _ in labelling.unused()] == ["other.jpg"]


@pytest.mark.parametrize(("name", "path"), [("a/b.jpg", "c/b.jpg"), ("ab.jpg", "b.jpg"), ("b.jpg", "b.png")])
def test_others_do_not_meet(name: str, path: str, tmp_path: Path, database: sqlite3.Connection) -> None:
    labelling = labelled(tmp_path, database, lines("file_name,age", [f"{name},25"]))
    assert str(found(labelling, path)).startswith("file without row")
    assert len(list(labelling.unused())) == 1
    assert labelling.account() == ["1 rows of table.csv: 1 rows without file, 1 files without row"]


def test_a_file_of_several_rows_is_not_guessed(tmp_path: Path, database: sqlite3.Connection) -> None:
    labelling = labelled(tmp_path, database, lines("file,age", ["train/1.jpg,25", "val/1.jpg,30"]))
    assert str(found(labelling, "1.jpg")).startswith("file of several rows: train/1.jpg and val/1.jpg; give the folder")


def test_rows_that_contradict_each_other_label_nothing_and_repeated_ones_do(
    tmp_path: Path, database: sqlite3.Connection
) -> None:
    rows = ["a.jpg,25,m", "b.jpg,25,m", "a.jpg,26,m", "b.jpg,25,male", "c.jpg,25,", "c.jpg,25,f"]
    labelling = labelled(tmp_path, database, lines("file_name,age,gender", rows))
    assert found(labelling, "a.jpg") == (
        "contradicting rows: line 2 of table.csv and line 4 of table.csv name this file and differ"
    )
    assert found(labelling, "b.jpg") == (25, 0, MISSING, 25)
    assert str(found(labelling, "c.jpg")).startswith("contradicting rows: line 6 of table.csv and line 7")


def test_any_label_may_be_missing_but_not_all(tmp_path: Path, database: sqlite3.Connection) -> None:
    rows = ["a.jpg,NaN,m", "b.jpg,25,", "c.jpg,-1,unknown", ",25,m"]
    labelling = labelled(tmp_path, database, lines("file_name,age,gender", rows))
    assert found(labelling, "a.jpg") == (MISSING, 0, MISSING, MISSING)
    assert found(labelling, "b.jpg") == (25, MISSING, MISSING, 25)
    assert found(labelling, "c.jpg") == "no label: age and gender missing (line 4 of table.csv)"
    assert list(labelling.unused()) == [("line 5 of table.csv", "row without the name of a file")]


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ("a.jpg,-5,m", "label out of range: age is -5"),
        ("a.jpg,1987-05-23,m", "age is a date: '1987-05-23'"),
        ("a.jpg,25,x", "gender not understood: 'x'"),
        ("a.jpg,25", "row with 2 cells: the first line of the table has 3"),
    ],
)
def test_a_row_that_is_not_understood_rejects_its_file(
    row: str, said: str, tmp_path: Path, database: sqlite3.Connection
) -> None:
    labelling = labelled(tmp_path, database, lines("file_name,age,gender", ["b.jpg,1,m", row]))
    answer = str(found(labelling, "a.jpg"))
    assert answer.startswith(said)
    assert answer.endswith("(line 3 of table.csv)")


def test_a_table_of_dates_of_birth_ends_at_once(tmp_path: Path, database: sqlite3.Connection) -> None:
    rows = [f"{number}.jpg,19{number}-05-23" for number in range(50, 90)]
    with pytest.raises(
        StepError, match=r"no row of table.csv labels a face; the first one: age is a date: '1950-05-23'"
    ):
        labelled(tmp_path, database, lines("file_name,age", rows))


def test_a_column_of_dates_of_birth_is_no_age_and_warned_of(tmp_path: Path, database: sqlite3.Connection) -> None:
    labelling = labelled(tmp_path, database, lines("file_name,Date of Birth,gender", ["a.jpg,1987-05-23,m"]))
    assert found(labelling, "a.jpg") == (MISSING, 0, MISSING, MISSING)
    (warning,) = labelling.warnings()
    assert warning.startswith("table.csv has no column of ages, and 'Date of Birth' cannot be one")


@pytest.mark.parametrize(("zeros", "warned"), [(1, False), (3, True)])
def test_many_ages_of_0_are_warned_of(zeros: int, warned: bool, tmp_path: Path, database: sqlite3.Connection) -> None:
    rows = [f"{number}.jpg,{0 if number < zeros else number}" for number in range(20)]
    labelling = labelled(tmp_path, database, lines("file_name,age", [*rows, "r.jpg,0-2"]))
    assert found(labelling, "0.jpg") == (0, MISSING, MISSING, 0)
    expected = [
        f"{zeros} of 20 ages in table.csv are 0; if 0 stands for an unknown age, map it to an empty label with "
        "--values (column,found,label: age,0,)"
    ]
    assert labelling.warnings() == (expected if warned else [])


def test_a_file_of_values_says_what_words_mean(tmp_path: Path, database: sqlite3.Connection) -> None:
    rows = [
        "column,found,label",
        "age,0,",
        "age,adult,18-64",
        "gender,1,male",
        "gender,2,female",
        "ethnicity,Latino_Hispanic,white",
    ]
    (tmp_path / "values.csv").write_text("\n".join(rows))
    labelling = labelled(
        tmp_path,
        database,
        lines("file_name,age,gender,race", ["a.jpg,0,1,Latino_Hispanic", "b.jpg,Adult,2,"]),
        values=str(tmp_path / "values.csv"),
    )
    assert found(labelling, "a.jpg") == (MISSING, 0, 0, MISSING)
    assert found(labelling, "b.jpg") == (18, 1, MISSING, 64)
    assert labelling.warnings() == []


def test_numbers_for_classes_are_told(tmp_path: Path, database: sqlite3.Connection) -> None:
    labelling = labelled(tmp_path, database, lines("file_name,gender", ["a.jpg,0", "b.jpg,1.0"]))
    assert found(labelling, "b.jpg") == (MISSING, 1, MISSING, MISSING)
    assert labelling.account()[1:] == ["gender as a number: 0 is male, 1 is female"]


def test_windows_1252_and_semicolons_work_together(tmp_path: Path, database: sqlite3.Connection) -> None:
    labelling = labelled(tmp_path, database, "Datei;age;sex\nJosé.jpg;25;m\n".encode("cp1252"), columns="file=Datei")
    assert found(labelling, "José.jpg") == (25, 0, MISSING, 25)
    assert labelling.description() == [
        "labels: table.csv: age from 'age', gender from 'sex', no ethnicity",
        "table.csv is not UTF-8 and is read as Windows-1252",
    ]


def test_several_tables_count_together(tmp_path: Path, database: sqlite3.Connection) -> None:
    (tmp_path / "train.csv").write_text(FAIRFACE)
    (tmp_path / "val.csv").write_text(FAIRFACE.replace("train/", "val/").replace("race", "ethnicity"))
    labelling = begun(chosen(tmp_path / "faces", tmp_path / "train.csv", tmp_path / "val.csv"), database)
    assert found(labelling, "train/1.jpg") == found(labelling, "val/1.jpg") == (50, 0, 2, 59)
    assert labelling.account()[0].startswith("8 rows of train.csv and val.csv: ")


def test_a_table_without_rows_gets_a_sentence(tmp_path: Path, database: sqlite3.Connection) -> None:
    with pytest.raises(StepError, match=r"table.csv has no rows below the names of the columns"):
        labelled(tmp_path, database, "file_name,age\n")


def test_options_about_a_table_need_one(tmp_path: Path) -> None:
    (tmp_path / "faces").mkdir()
    for option in ("columns", "group"):
        with pytest.raises(
            StepError, match=r"has no metadata.csv or metadata.jsonl or metadata.parquet; name the table"
        ):
            chosen(tmp_path / "faces", **{option: "age=AGE"})
    assert isinstance(chosen(tmp_path / "faces"), FileNames)
