"""Predictions as lines of text: a table for people, CSV for spreadsheets, JSON for programs."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Sequence
from typing import Protocol

from age_gender.prediction import FILE, Prediction, columns
from serving.prediction import LabelEstimate
from serving.text import encodable, printable, spreadsheet_cell

# Characters. Longer names lose their beginning, because the names in a folder differ at their end.
_MAX_NAME = 48
# Characters of a label with its probability.
_CHOICE = 14
# No estimate is certain: the largest probability that is shown, with one digit of a percentage, and with the four
# decimals that a server returns.
_MAX_PERCENT, _MAX_PROBABILITY = 99.9, 0.9999
_ERROR = "error"


class Format(Protocol):
    """One of the formats of `predict`."""

    def lines(self, name: str, prediction: Prediction) -> Iterable[str]:
        """Return the lines of one prediction, or none yet."""

    def end(self) -> Iterable[str]:
        """Return the lines that are left after the last prediction."""


def json_line(name: str, prediction: Prediction) -> str:
    """Return one prediction, or its error, as one line of JSON."""
    return json.dumps({FILE: encodable(name), **prediction.as_json()})


class JsonLines:
    """One JSON object a line, with the server's own numbers."""

    def lines(self, name: str, prediction: Prediction) -> list[str]:
        """Return the line of one prediction."""
        return [json_line(name, prediction)]

    def end(self) -> list[str]:
        """Return nothing."""
        return []


class Csv:
    """Rows with the columns of a batch's Parquet file, and the error. No cell is a formula.

    The first image with estimates decides the columns, so the rows before it wait.
    """

    def __init__(self) -> None:
        self._heads: tuple[str, ...] | None = None
        self._waiting: list[tuple[str, Prediction]] = []

    def lines(self, name: str, prediction: Prediction) -> list[str]:
        """Return the row of one prediction, after the column names and the rows that waited for them."""
        if self._heads is not None:
            return [self._row(name, prediction)]
        self._waiting.append((name, prediction))
        return [] if prediction.error else self._begin(tuple(prediction.estimates))

    def end(self) -> list[str]:
        """Return the rows that still wait."""
        return self._begin(()) if self._waiting else []

    def _begin(self, heads: tuple[str, ...]) -> list[str]:
        self._heads = heads
        waited, self._waiting = self._waiting, []
        return [_csv_line([*columns(heads), _ERROR]), *(self._row(*each) for each in waited)]

    def _row(self, name: str, prediction: Prediction) -> str:
        row = prediction.as_row(name, self._heads or ())
        error = prediction.error.detail if prediction.error else None
        return _csv_line(map(_csv_cell, [*row.values(), error]))


class Table:
    """Aligned lines, one prediction at a time. The first prediction with estimates decides the columns."""

    def __init__(self, names: Sequence[str]) -> None:
        self._width = min(max(len(printable(name)) for name in names), _MAX_NAME)
        self._heads: tuple[str, ...] = ()

    def lines(self, name: str, prediction: Prediction) -> list[str]:
        """Return the line of one prediction, after the column names where those change."""
        shown = shortened(printable(name), self._width).ljust(self._width)
        if prediction.error:
            return [f"{shown}  no prediction: {printable(prediction.error.detail)}"]
        warnings = (f"warning: {printable(warning.detail)}" for warning in prediction.warnings)
        return [*self._head(prediction), "  ".join([shown, *_cells(prediction), *warnings])]

    def end(self) -> list[str]:
        """Return nothing."""
        return []

    def _head(self, prediction: Prediction) -> list[str]:
        age = [f"{'age':>4}  {'between':>9}"] if prediction.age else []
        heads = (*age, *(printable(head).rjust(_CHOICE) for head in prediction.choices))
        if heads == self._heads:
            return []
        self._heads = heads
        return ["  ".join([FILE.ljust(self._width), *heads])]


def shortened(name: str, width: int) -> str:
    """Return the end of a name in at most `width` characters."""
    return name if len(name) <= width else "…" + name[len(name) - width + 1 :]


def _cells(prediction: Prediction) -> list[str]:
    cells = []
    if prediction.age:
        between = f"{prediction.age.low} - {prediction.age.high}"
        cells.append(f"{prediction.age.years:4}  {between:>9}")
    return [*cells, *(_choice(choice) for choice in prediction.choices.values())]


def _choice(choice: LabelEstimate) -> str:
    percent = min(100 * choice.probability, _MAX_PERCENT)
    return f"{printable(choice.label)} {percent:5.1f} %".rjust(_CHOICE)


def _csv_cell(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, float):
        return str(min(value, _MAX_PROBABILITY))
    return spreadsheet_cell(value) if isinstance(value, str) else str(value)


def _csv_line(cells: Iterable[str]) -> str:
    line = io.StringIO()
    csv.writer(line, lineterminator="").writerow(cells)
    return line.getvalue()
