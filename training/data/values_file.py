"""The file of `--values`: which label a word in a table of labels stands for."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path

from serving.heads import AGE
from training.data import label_tables
from training.data.label_values import age, choice, normal
from training.errors import StepError
from training.labels import CHOICES, COLUMNS, LabelError

_COLUMNS = ("column", "found", "label")

# Label by cell, by head. Cells are in the form of `label_values.normal`.
Values = Mapping[str, Mapping[str, str]]
# Place for messages, column, cell and label.
_Entry = tuple[str, str, str, str]


def load(path: Path, heads: Mapping[str, str]) -> Values:
    """Read a JSON object of objects (column, found, label), or a CSV with the columns column, found and label.

    An empty label means that the label is missing.

    Args:
        path: the file.
        heads: head by column of the tables. The file may name a head or a column.

    Raises:
        StepError: the file has another form, or names a column or a label that there is not.
    """
    file = label_tables.local(path)
    with file.open() as stream:
        is_json = stream.read(64).lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"{")
    result: dict[str, dict[str, str]] = {}
    for place, column, cell, label in _from_json(path) if is_json else _from_table(file):
        head = column if column in COLUMNS else heads.get(column)
        if head is None:
            known = ", ".join(dict.fromkeys((*COLUMNS, *heads)))
            raise StepError(f"{place} names the column {column!r}; expected one of {known}")
        _require_label(place, head, cell, label)
        result.setdefault(head, {})[normal(cell)] = label
    return result


def _from_json(path: Path) -> Iterator[_Entry]:
    try:
        found = json.loads(path.read_text(encoding="utf-8-sig"))
    except (ValueError, RecursionError) as error:
        raise StepError(f"{path} cannot be read: {error}") from error
    for column, labels in found.items():
        if not isinstance(labels, dict):
            raise StepError(f'{path} has no object for {column!r}; write {{"gender": {{"femme": "female"}}}}')
        for cell, label in labels.items():
            yield str(path), column, cell, "" if label is None else str(label)


def _from_table(file: label_tables.TableFile) -> Iterator[_Entry]:
    table = label_tables.read(file)
    if lacking := [name for name in _COLUMNS if name not in table.header]:
        raise StepError(f"{file.name} has no column {lacking[0]!r}; its columns are {', '.join(_COLUMNS)}")
    for row in table.rows([table.header.index(name) for name in _COLUMNS]):
        place = f"{table.unit} {row.number} of {file.name}"
        if row.fault:
            raise StepError(f"{place} cannot be read: {row.fault}")
        column, cell, label = (text.strip() for text in row.cells)
        yield place, column, cell, label


def _require_label(place: str, head: str, cell: str, label: str) -> None:
    try:
        if head == AGE:
            age(label)
        else:
            choice(next(each for each in CHOICES if each.name == head), label)
    except LabelError as error:
        raise StepError(f"{place} maps {cell!r} to no label: {error}") from error
