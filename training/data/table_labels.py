"""Labels from tables: rows are read once into a database, and each file is looked up there."""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import PurePosixPath
from typing import Any

from serving.heads import AGE
from training.data import label_origin, label_tables, label_values, source_tables, table_columns, values_file
from training.data.label_options import LabelOptions
from training.data.label_rows import LabelRow, LabelRows, NoRowError
from training.data.label_tables import Row, Table, TableFile
from training.data.table_columns import Columns
from training.errors import StepError
from training.labels import CHOICES, COLUMNS, MISSING, LabelError, Labels

# Share of age 0 among exact ages above which 0 looks like a word for unknown. In UTKFace and FairFace babies up to two
# years are fewer than one in ten.
_MANY_ZEROS = 0.1


class TableLabels:
    """Labels from tables. `labelling.Labelling` says what the methods are for."""

    def __init__(self, files: Sequence[TableFile], options: LabelOptions) -> None:
        """Read the headers.

        Raises:
            StepError: a table or the file of values cannot be read, or lacks a column.
        """
        self._options = options
        self._tables = [label_tables.read(file) for file in files]
        self._names = " and ".join(file.name for file in files)
        named = table_columns.parse(options.columns)
        self._columns = [table_columns.find(each.header, named, options.group, each.file.name) for each in self._tables]
        heads = {
            table.header[place]: head
            for table, columns in zip(self._tables, self._columns, strict=True)
            for head, place in columns.labels.items()
        }
        self._values = values_file.load(options.values, heads) if options.values else {}
        self._ages: Counter[str] = Counter()
        self._numbered: set[str] = set()
        self._counts = {"rows": 0, "rows_without_file": 0, "files_without_row": 0}

    @property
    def advice(self) -> str:
        """Say what to give where too few faces have labels."""
        found = ", ".join(f"{count} {name.replace('_', ' ')}" for name, count in self._counts.items())
        return f"give a hundred or more that {self._names} labels ({found})"

    def begin(self, database: sqlite3.Connection) -> None:
        """Read all rows.

        Raises:
            StepError: no row labels a face, or a table is damaged.
        """
        self._rows = LabelRows(database, self._understood())
        self._counts["rows"] = self._rows.count()
        if not self._counts["rows"]:
            raise StepError(f"{self._names} has no rows below the names of the columns")
        if not self._rows.usable():
            raise StepError(f"no row of {self._names} labels a face; the first one: {self._rows.first_fault()}")

    def holds(self, path: str) -> bool:
        """Return whether a file of the source is one of the tables, or has the name of one."""
        plain = PurePosixPath(path)
        return plain.name in source_tables.NAMES or any(str(plain) == each.file.source_path for each in self._tables)

    def find(self, path: str) -> Labels:
        """Return the labels of a file.

        Raises:
            LabelError: no row names the file, or its row labels no face.
        """
        try:
            return self._rows.find(path)
        except NoRowError:
            self._counts["files_without_row"] += 1
            raise

    def doubtful(self) -> Iterator[tuple[str, str]]:
        """Yield path and reason of each accepted face that shares its row with another file."""
        return self._rows.doubtful()

    def joined(self) -> Iterator[tuple[int, int]]:
        """Yield pairs of images with the same value in the column of `--group`."""
        return self._rows.joined()

    def unused(self) -> Iterator[tuple[str, str]]:
        """Yield file and reason of each row without a file."""
        for file, place in self._rows.unused():
            self._counts["rows_without_file"] += 1
            yield (file, f"row without file: {place}") if file else (place, "row without the name of a file")

    def description(self) -> list[str]:
        """Return a line for each table with the columns that are read."""
        lines = []
        for table, columns in zip(self._tables, self._columns, strict=True):
            read = [f"{head} from {table.header[place]!r}" for head, place in columns.labels.items()]
            absent = [head for head in COLUMNS if head not in columns.labels]
            lines.append(f"labels: {table.file.name}: {', '.join(read + [f'no {head}' for head in absent])}")
        return [*lines, *(table.remark for table in self._tables if table.remark)]

    def account(self) -> list[str]:
        """Return lines about rows and files that belong together, and about numbers for classes."""
        rows, without_file, without_row = self._counts.values()
        numbers = [
            f"{head.name} as a number: " + ", ".join(f"{number} is {name}" for number, name in enumerate(head.labels))
            for head in CHOICES
            if head.name in self._numbered
        ]
        return [
            f"{rows} rows of {self._names}: {without_file} rows without file, {without_row} files without row",
            *numbers,
        ]

    def warnings(self) -> list[str]:
        """Return warnings about dates of birth and about 0 for unknown ages."""
        found = [
            f"{table.file.name} has no column of ages, and {columns.birth!r} cannot be one: a date of birth gives an "
            "age only together with the date of the photograph"
            for table, columns in zip(self._tables, self._columns, strict=True)
            if columns.birth
        ]
        exact, zeros = self._ages["exact"], self._ages["zero"]
        if zeros > _MANY_ZEROS * exact:
            found.append(
                f"{zeros} of {exact} ages in {self._names} are 0; if 0 stands for an unknown age, map it to an empty "
                f"label with --values (column,found,label: {AGE},0,)"
            )
        return found

    def origin(self) -> dict[str, Any]:
        """Return the tables, by name and SHA-256, the options and the counts."""
        files = [table.file for table in self._tables]
        return {"labels": label_origin.of_tables(files, self._options, self._counts)}

    def _understood(self) -> Iterator[LabelRow]:
        for table, columns in zip(self._tables, self._columns, strict=True):
            for row in table.rows(columns.places):
                yield self._row(table, columns, row)

    def _row(self, table: Table, columns: Columns, row: Row) -> LabelRow:
        place = f"{table.unit} {row.number} of {table.file.name}"
        name, person = columns.file_name(row.cells), "" if columns.group is None else row.cells[-1].strip()
        file = table.file.folder + name if name else ""
        person = "" if label_values.is_missing(person) else person
        try:
            if row.fault:
                raise LabelError(row.fault)
            labels = self._labels(dict(zip(columns.labels, row.cells[len(columns.file) :], strict=False)))
        except LabelError as error:
            return LabelRow(place, file, None, person, f"{error} ({place})")
        return LabelRow(place, file, labels, person, "")

    def _labels(self, cells: dict[str, str]) -> Labels:
        """Return the labels in the cells of a row, by head."""
        cells = {head: self._values.get(head, {}).get(label_values.normal(cell), cell) for head, cell in cells.items()}
        age, age_high = label_values.age(cells.get(AGE, ""))
        choices = tuple(label_values.choice(head, cells.get(head.name, "")) for head in CHOICES)
        if {age, *choices} == {MISSING}:
            raise LabelError(f"no label: {' and '.join(cells)} missing")
        self._ages["exact"] += age == age_high != MISSING
        self._ages["zero"] += age == age_high == 0
        self._numbered |= {head for head, cell in cells.items() if head != AGE and cell.strip()[:1].isdigit()}
        return Labels(age, age_high, choices, stamp="")
