"""Tables are read in the formats, encodings and with the columns that people have, or a sentence says what to mend."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pyarrow
import pytest
from pyarrow import parquet

from training.data import label_tables, table_columns
from training.data.label_tables import Table
from training.errors import StepError

ROWS = [("a.jpg", "25", "male"), ("b.jpg", "30", "female")]


def opened(path: Path, content: bytes | str) -> Table:
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return label_tables.read(label_tables.local(path))


def cells(table: Table) -> list[tuple[str, ...]]:
    return [row.cells for row in table.rows(range(len(table.header)))]


def text(delimiter: str = ",") -> str:
    return "".join(delimiter.join(row) + "\n" for row in [("file_name", "age", "gender"), *ROWS])


@pytest.mark.parametrize(
    "content",
    [
        text(),
        text(";"),
        text("\t"),
        text("|"),
        text().replace("\n", "\r\n"),
        text().replace("\n", "\n\n"),
        text().encode("utf-8-sig"),
        text().encode("utf-16"),
        text(";").encode("utf-8-sig"),
        '"file_name","age","gender"\n"a.jpg","25","male"\n"b.jpg","30","female"',
        "\n".join(json.dumps({"file_name": name, "age": int(age), "gender": gender}) for name, age, gender in ROWS),
    ],
)
def test_delimiters_encodings_and_ends_of_lines_make_no_difference(content: bytes | str, tmp_path: Path) -> None:
    table = opened(tmp_path / "table", content)
    assert (table.header, cells(table), table.remark) == (("file_name", "age", "gender"), ROWS, "")


def test_windows_1252_is_read_and_told(tmp_path: Path) -> None:
    table = opened(tmp_path / "table.csv", "file_name,age\nJosé.jpg,25\n".encode("cp1252"))
    assert cells(table) == [("José.jpg", "25")]
    assert table.remark == "table.csv is not UTF-8 and is read as Windows-1252"


def test_parquet_without_its_library_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    parquet.write_table(pyarrow.table({"file": ["a.jpg"]}), tmp_path / "table")
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(StepError, match="table is Parquet, and pyarrow is not installed; save the table as CSV"):
        label_tables.read(label_tables.local(tmp_path / "table"))


def test_parquet_is_read_by_batches(tmp_path: Path) -> None:
    ages = [None if number == 1 else float(number) for number in range(5000)]
    columns = {"file_name": [f"{number}.jpg" for number in range(5000)], "age": ages}
    parquet.write_table(pyarrow.table(columns), tmp_path / "table", row_group_size=700)
    table = label_tables.read(label_tables.local(tmp_path / "table"))
    rows = list(table.rows([1, 0]))
    assert [rows[0].cells, rows[1].cells, rows[4999].cells] == [
        ("0.0", "0.jpg"),
        ("", "1.jpg"),
        ("4999.0", "4999.jpg"),
    ]
    assert [row.number for row in rows] == list(range(1, 5001))
    assert table.unit == "row"


def test_lines_of_json_need_not_have_the_same_names(tmp_path: Path) -> None:
    table = opened(tmp_path / "table", '{"file_name": "a.jpg", "age": null}\n\n{"gender": 1, "age": [20, 29]}\n')
    assert table.header == ("file_name", "age", "gender")
    assert [(row.number, row.cells) for row in table.rows([0, 1, 2])] == [
        (1, ("a.jpg", "", "")),
        (3, ("", "[20, 29]", "1")),
    ]


def test_rows_of_another_length_have_a_fault(tmp_path: Path) -> None:
    table = opened(tmp_path / "table", "file_name,age\na.jpg,25,\nb.jpg,25,30\nc.jpg\n")
    assert [row.fault for row in table.rows([0, 1])] == [
        "",
        "row with 3 cells: the first line of the table has 2",
        "row with 1 cells: the first line of the table has 2",
    ]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"PK\3\4rest", "table is an Excel workbook or a zip; save the table as CSV, JSON Lines or Parquet"),
        (b"MATLAB 5.0 MAT-file", "table is a MATLAB file"),
        (b'[{"file_name": "a.jpg"}]', "one JSON array instead of one object a line"),
        (b"", "table is empty"),
        (b"a,b\0,c\n", "table is no text"),
        (b'{"a": 1}\n{"a":\n', "line 2 of table cannot be read"),
        (b'{"a": 1}\n7\n', "line 2 of table is no JSON object"),
        (b'{"age": 1, "age": 2}\n', "line 1 of table cannot be read: a name is twice in age, age"),
        (b"PAR1 and nothing else", "table is a damaged Parquet file"),
    ],
)
def test_what_is_no_table_gets_a_sentence(content: bytes, said: str, tmp_path: Path) -> None:
    with pytest.raises(StepError, match=said):
        opened(tmp_path / "table", content)


def test_a_table_that_is_not_there_gets_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(StepError, match="nowhere does not exist"):
        label_tables.local(tmp_path / "nowhere")
    with pytest.raises(StepError, match=r"is a folder; give the tables in it: --labels .*/\*\.csv"):
        label_tables.local(tmp_path)


def test_a_quote_that_never_closes_gets_a_sentence(tmp_path: Path) -> None:
    table = opened(tmp_path / "table", 'file_name,age\n"a.jpg,25\n' + "b.jpg,30\n" * 20_000)
    with pytest.raises(StepError, match="of table cannot be read: field larger than field limit"):
        cells(table)


def columns(header: str, named: str = "", group: str = "") -> tuple[tuple[int, ...], dict[str, int], int | None]:
    found = table_columns.find(header.split(","), table_columns.parse(named), group, "table.csv")
    return found.file, found.labels, found.group


@pytest.mark.parametrize(
    ("header", "named", "expected"),
    [
        ("file_name,age,gender", "", ((0,), {"age": 1, "gender": 2}, None)),
        ("file,age,gender,race,service_test", "", ((0,), {"age": 1, "gender": 2, "ethnicity": 3}, None)),
        ("Age,Image Path,SEX", "", ((1,), {"age": 0, "gender": 2}, None)),
        ("path,file_name,age", "", ((1,), {"age": 2}, None)),
        ("id,AGE,s", "file=id,gender=s", ((0,), {"age": 1, "gender": 2}, None)),
        ("file,age,gender", "gender=", ((0,), {"age": 1}, None)),
        ("user_id,original_image,face_id,age,gender,x", "", ((0, 2, 1), {"age": 3, "gender": 4}, None)),
        ("file,notes,notes,age", "", ((0,), {"age": 3}, None)),
    ],
)
def test_columns_are_known_by_their_names_or_named(header: str, named: str, expected: object) -> None:
    assert columns(header, named) == expected


@pytest.mark.parametrize(
    ("header", "named", "said"),
    [
        ("file,age,age", "", "table.csv has the column 'age' 2 times; rename or remove all but one"),
        ("file,file,age", "", "table.csv has the column 'file' 2 times"),
        ("file,sex,gender", "", "several columns for gender: sex, gender; choose one: --columns gender=sex"),
        ("file,path,age", "", "several columns for file: file, path; choose one: --columns file=file"),
        ("a.jpg,25,male", "", "has no column of age, gender, ethnicity; it has a.jpg, 25, male; name one: --columns"),
        ("id,age", "", "no column with the names of the files; it has id, age; its first line must name the columns"),
        ("file,age", "gender=SEX", "table.csv has no column 'SEX'; it has file, age"),
        ("file,age", "sex=SEX", "--columns has 'sex=SEX'; write NAME=COLUMN,… with the names file, age, gender"),
        ("file,age", "age", "--columns has 'age'; write NAME=COLUMN"),
    ],
)
def test_columns_that_cannot_be_chosen_get_a_sentence(header: str, named: str, said: str) -> None:
    with pytest.raises(StepError) as raised:
        columns(header, named)
    assert said in str(raised.value)


def test_the_column_of_the_group_must_exist() -> None:
    assert columns("file,age,person", group="person")[2] == 2
    with pytest.raises(StepError, match="has no column 'video'; it has file, age, person"):
        columns("file,age,person", group="video")
