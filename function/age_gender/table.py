"""Predictions as lines of text: a table for people, CSV for spreadsheets, JSON for programs."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterable, Sequence
from typing import Generic, Protocol, TypeVar

from age_gender.detection import Detection, Face, Result
from age_gender.prediction import FILE, Estimates, Prediction
from serving.prediction import InputWarning, LabelEstimate
from serving.text import encodable, printable, spreadsheet_cell

# Characters. Longer names lose their beginning, because the names in a folder differ at their end.
_MAX_NAME = 48
# Characters of a label with its probability.
_CHOICE = 14
# Characters of a face's number, its box and its score.
_NUMBER, _BOX, _SCORE = 5, 19, 5
# No estimate is certain: the largest probability that is shown, with one digit of a percentage, and with the four
# decimals that a server returns.
_MAX_PERCENT, _MAX_PROBABILITY = 99.9, 0.9999
_ERROR = "error"
# The end of the columns with a label's probability.
_PROBABILITY = f"_{LabelEstimate._fields[1]}"
Shown_contra = TypeVar("Shown_contra", Prediction, Detection, contravariant=True)


class Format(Protocol[Shown_contra]):
    """One of the formats of `predict`."""

    def lines(self, name: str, result: Shown_contra) -> Iterable[str]:
        """Return the lines of one image, or none yet."""

    def end(self) -> Iterable[str]:
        """Return the lines that are left after the last image."""


def json_line(name: str, result: Prediction | Detection) -> str:
    """Return one image's result, or its error, as one line of JSON."""
    return json.dumps({FILE: encodable(name), **result.as_json()})


class JsonLines:
    """One JSON object a line and an image, with the server's own numbers."""

    def lines(self, name: str, result: Prediction | Detection) -> list[str]:
        """Return the line of one image."""
        return [json_line(name, result)]

    def end(self) -> list[str]:
        """Return nothing."""
        return []


class Csv(Generic[Result]):
    """Rows with the columns of a batch's Parquet file, and the error. No cell is a formula.

    The first image with estimates decides the columns, so the rows before it wait.
    """

    def __init__(self, kind: type[Result]) -> None:
        self._columns: Callable[[Sequence[str]], dict[str, type]] = kind.columns
        self._heads: tuple[str, ...] | None = None
        self._waiting: list[tuple[str, Result]] = []

    def lines(self, name: str, result: Result) -> list[str]:
        """Return the rows of one image, after the column names and the rows that waited for them."""
        if self._heads is not None:
            return self._rows(name, result)
        self._waiting.append((name, result))
        return self._begin(result.heads) if result.heads else []

    def end(self) -> list[str]:
        """Return the rows that still wait."""
        return self._begin(()) if self._waiting else []

    def _begin(self, heads: tuple[str, ...]) -> list[str]:
        self._heads = heads
        lines = [_csv_line([*self._columns(heads), _ERROR])]
        for name, result in self._waiting:
            lines += self._rows(name, result)
        self._waiting = []
        return lines

    def _rows(self, name: str, result: Result) -> list[str]:
        error = result.error.detail if result.error else None
        return [_csv_row({**row, _ERROR: error}) for row in result.as_rows(name, self._heads or ())]


class _Rows:
    """What both tables share. The first estimates decide the columns, and others begin a new heading."""

    def __init__(self, names: Sequence[str], heading: Sequence[str]) -> None:
        self._width = min(max(len(printable(name)) for name in names), _MAX_NAME)
        self._heading = (FILE.ljust(self._width), *heading)
        self._estimates: tuple[str, ...] = ()

    def _name(self, name: str) -> str:
        return shortened(printable(name), self._width).ljust(self._width)

    def _row(self, name: str, cells: Iterable[str], estimates: Estimates) -> list[str]:
        line = "  ".join([self._name(name), *cells, *_cells(estimates), *map(_warning, estimates.warnings)])
        return [*self._head(estimates), line]

    def _head(self, estimates: Estimates) -> list[str]:
        age = [f"{'age':>4}  {'between':>9}"] if estimates.age else []
        heads = (*age, *(printable(head).rjust(_CHOICE) for head in estimates.choices))
        if heads == self._estimates:
            return []
        self._estimates = heads
        return ["  ".join([*self._heading, *heads])]


class Table(_Rows):
    """Aligned lines, one image at a time."""

    def __init__(self, names: Sequence[str]) -> None:
        super().__init__(names, ())

    def lines(self, name: str, result: Prediction) -> list[str]:
        """Return the line of one image, after the column names where those change."""
        if result.error:
            return [f"{self._name(name)}  no prediction: {printable(result.error.detail)}"]
        return self._row(name, (), result)

    def end(self) -> list[str]:
        """Return nothing."""
        return []


class FaceTable(_Rows):
    """Aligned lines, one a face, and at the end how many were found."""

    def __init__(self, names: Sequence[str]) -> None:
        super().__init__(names, ("face".rjust(_NUMBER), "box".rjust(_BOX), "score".rjust(_SCORE)))
        self._faces = self._images = self._without = 0

    def lines(self, name: str, result: Detection) -> list[str]:
        """Return the lines of one image, after the column names where those change."""
        if result.error:
            return [f"{self._name(name)}  no prediction: {printable(result.error.detail)}"]
        self._images += 1
        self._faces += len(result.faces)
        self._without += not result.faces
        if not result.faces:
            return [f"{self._name(name)}  no face found"]
        rows = [
            line
            for number, face in enumerate(result.faces, 1)
            for line in self._row(name, _place(number, face, result), face)
        ]
        return [*rows, *(f"{self._name(name)}  {_warning(each)}" for each in result.warnings)]

    def end(self) -> list[str]:
        """Return how many faces there are, if an image was searched."""
        return [counted_faces(self._faces, self._images, self._without)] if self._images else []


def counted_faces(faces: int, images: int, without: int) -> str:
    """Return how many faces were found in how many images, as text."""
    none = f", none in {without} of them" if without and faces else ""
    return f"{_count(faces, 'face')} in {_count(images, 'image')}{none}"


def shortened(name: str, width: int) -> str:
    """Return the end of a name in at most `width` characters."""
    return name if len(name) <= width else "…" + name[len(name) - width + 1 :]


def percent(choice: LabelEstimate) -> float:
    """Return the probability of a label as it is shown to people."""
    return min(100 * choice.probability, _MAX_PERCENT)


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _place(number: int, face: Face, image: Detection) -> tuple[str, str, str]:
    """Return the number of a face, its box in pixels, and its score."""
    left, top = round(face.box.left * image.width), round(face.box.top * image.height)
    width, height = round(face.box.width * image.width), round(face.box.height * image.height)
    box = f"{left},{top} {width}x{height}"
    return f"{number}/{len(image.faces)}".rjust(_NUMBER), box.rjust(_BOX), f"{face.score:{_SCORE}.2f}"


def _warning(warning: InputWarning) -> str:
    return f"warning: {printable(warning.detail)}"


def _cells(estimates: Estimates) -> list[str]:
    cells = []
    if estimates.age:
        between = f"{estimates.age.low} - {estimates.age.high}"
        cells.append(f"{estimates.age.years:4}  {between:>9}")
    return [*cells, *(_choice(choice) for choice in estimates.choices.values())]


def _choice(choice: LabelEstimate) -> str:
    return f"{printable(choice.label)} {percent(choice):5.1f} %".rjust(_CHOICE)


def _csv_cell(column: str, value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, float):
        return str(min(value, _MAX_PROBABILITY) if column.endswith(_PROBABILITY) else value)
    return spreadsheet_cell(value) if isinstance(value, str) else str(value)


def _csv_row(row: dict[str, object]) -> str:
    return _csv_line(_csv_cell(column, value) for column, value in row.items())


def _csv_line(cells: Iterable[str]) -> str:
    line = io.StringIO()
    csv.writer(line, lineterminator="").writerow(cells)
    return line.getvalue()
