"""True labels of faces that a function answered: a table by request id or file name."""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from serving.heads import AGE
from training.data import label_tables, label_values, table_columns, values_file
from training.data.label_tables import Row, Table, TableFile
from training.data.table_columns import FaceColumns
from training.errors import StepError
from training.labels import CHOICES, MISSING, LabelError
from training.registry import addresses

# The number of an image or a face that a table leaves out.
UNSTATED = 0


class Place(NamedTuple):
    """Which face a row labels."""

    name: str
    """Request id, or name of the file."""
    image: int
    """Number of the image in the request from 1, or UNSTATED."""
    face: int
    """Number of the face in the image from 1, or UNSTATED."""

    def __str__(self) -> str:
        numbers = (("image", self.image), ("face", self.face))
        return ", ".join([self.name, *(f"{what} {number}" for what, number in numbers if number != UNSTATED)])


@dataclass
class TrueLabels:
    """The labels of a table, and what could not be used."""

    name: str
    """Name of the table, for messages."""
    rows: dict[Place, tuple[int, ...]] = field(default_factory=dict)
    """Label columns (`training.labels.ROW`) by face."""
    unusable: Counter[str] = field(default_factory=Counter)
    """Number of rows that label no face, by reason."""
    first_fault: str = ""
    """The first of them, with its reason."""

    def refuse(self, reason: str, detail: str) -> None:
        """Count a row that labels no face."""
        self.unusable[reason] += 1
        self.first_fault = self.first_fault or detail


def read(location: str, columns: str = "", values: Path | None = None) -> TrueLabels:
    """Read a table of CSV, JSON Lines or Parquet.

    Args:
        location: a file, or gs://bucket/path.
        columns: NAME=COLUMN,… as `prepare` takes it; `file` names the column of request ids or file names.
        values: file with the labels of words, as `prepare` takes it.

    Raises:
        StepError: the table cannot be read, lacks a column, or labels no face.
    """
    table = label_tables.read(_file(location))
    found = table_columns.find_faces(table.header, table_columns.parse(columns), table.file.name)
    words = (
        values_file.load(values, {table.header[place]: head for head, place in found.labels.items()}) if values else {}
    )
    labels = TrueLabels(table.file.name)
    conflicts: set[Place] = set()
    for row in table.rows(found.places):
        _add(labels, conflicts, table, found, words, row)
    for place in conflicts:
        del labels.rows[place]
    if not labels.rows:
        fault = f"; the first row: {labels.first_fault}" if labels.first_fault else ""
        raise StepError(f"no row of {labels.name} labels a face{fault}")
    return labels


def _file(location: str) -> TableFile:
    address = addresses.parse(location)
    if not address.bucket:
        return label_tables.local(Path(address.path))
    folder, _, name = location.rpartition("/")
    stored = addresses.open_storage(folder).read(name)
    if stored is None:
        raise StepError(f"{location} does not exist; upload a table of labels: .csv, .tsv, .jsonl or .parquet")
    data = stored.data
    return TableFile(name, lambda: io.BytesIO(data))


def _add(
    labels: TrueLabels, conflicts: set[Place], table: Table, columns: FaceColumns, words: values_file.Values, row: Row
) -> None:
    where = f"{table.unit} {row.number} of {table.file.name}"
    try:
        if row.fault:
            raise LabelError(row.fault)
        place = _place(row.cells[: len(columns.numbers) + 1], columns)
        stated = _labels(dict(zip(columns.labels, row.cells[-len(columns.labels) :], strict=True)), words)
    except LabelError as error:
        labels.refuse("row without a usable label", f"{error} ({where})")
        return
    if labels.rows.setdefault(place, stated) != stated:
        conflicts.add(place)
        labels.refuse("other labels for the same face", f"other labels for {place} than before ({where})")


def _place(cells: Sequence[str], columns: FaceColumns) -> Place:
    name = cells[0].strip()
    if not name:
        raise LabelError("no request id or file name")
    numbers = {what: _number(what, cell) for what, cell in zip(columns.numbers, cells[1:], strict=True)}
    return Place(name, numbers.get(table_columns.IMAGE, UNSTATED), numbers.get(table_columns.FACE, UNSTATED))


def _number(what: str, cell: str) -> int:
    text = cell.strip().removesuffix(".0")
    if not text:
        return UNSTATED
    if not (text.isascii() and text.isdecimal() and int(text)):
        raise LabelError(f"the {what} is {cell!r}, expected a number from 1")
    return int(text)


def _labels(cells: dict[str, str], words: values_file.Values) -> tuple[int, ...]:
    cells = {head: words.get(head, {}).get(label_values.normal(cell), cell) for head, cell in cells.items()}
    age, age_high = label_values.age(cells.get(AGE, ""))
    choices = tuple(label_values.choice(head, cells.get(head.name, "")) for head in CHOICES)
    if {age, *choices} == {MISSING}:
        raise LabelError(f"no label: {' and '.join(cells)} missing")
    return age, *choices, age_high
