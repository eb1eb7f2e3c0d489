"""The file of `--values`: which label a word in a table of labels stands for."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from serving.heads import AGE
from training.data import label_tables
from training.data.label_values import age, choice, normal
from training.errors import StepError
from training.labels import CHOICES, COLUMNS, LabelError

_COLUMNS = ("column", "found", "label")

# Label by cell, by head. Cells are in the form of `label_values.normal`.
Values = Mapping[str, Mapping[str, str]]


def load(path: Path) -> Values:
    """Read a JSON object of objects (head, found, label), or a CSV with the columns column, found and label.

    An empty label means that the label is missing.

    Raises:
        StepError: the file has another form, or names a head or a label that there is not.
    """
    file = label_tables.local(path)
    with file.open() as stream:
        is_json = stream.read(64).lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"{")
    found = _from_json(path) if is_json else _from_table(file)
    return {head: {normal(cell): label for cell, label in labels.items()} for head, labels in found.items()}


def _from_json(path: Path) -> dict[str, dict[str, str]]:
    try:
        found = json.loads(path.read_text(encoding="utf-8-sig"))
    except (ValueError, RecursionError) as error:
        raise StepError(f"{path} cannot be read: {error}") from error
    result: dict[str, dict[str, str]] = {}
    for head, labels in found.items():
        if not isinstance(labels, dict):
            raise StepError(f'{path} has no object for {head!r}; write {{"gender": {{"femme": "female"}}}}')
        for cell, label in labels.items():
            _add(result, str(path), head, cell, label)
    return result


def _from_table(file: label_tables.TableFile) -> dict[str, dict[str, str]]:
    table = label_tables.read(file)
    if lacking := [name for name in _COLUMNS if name not in table.header]:
        raise StepError(f"{file.name} has no column {lacking[0]!r}; its columns are {', '.join(_COLUMNS)}")
    result: dict[str, dict[str, str]] = {}
    for row in table.rows([table.header.index(name) for name in _COLUMNS]):
        if row.fault:
            raise StepError(f"{table.unit} {row.number} of {file.name} cannot be read: {row.fault}")
        _add(result, f"{table.unit} {row.number} of {file.name}", *(cell.strip() for cell in row.cells))
    return result


def _add(result: dict[str, dict[str, str]], place: str, head: str, cell: str, label: object) -> None:
    if head not in COLUMNS:
        raise StepError(f"{place} names {head!r}; expected one of {', '.join(COLUMNS)}")
    text = "" if label is None else str(label)
    try:
        if head == AGE:
            age(text)
        else:
            choice(next(each for each in CHOICES if each.name == head), text)
    except LabelError as error:
        raise StepError(f"{place} maps {cell!r} to no label: {error}") from error
    result.setdefault(head, {})[cell] = text
