"""Tables of labels: find them, and read CSV, JSON Lines or Parquet row by row."""

from __future__ import annotations

import codecs
import csv
import hashlib
import io
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from serving.text import printable
from training.errors import StepError

_UTF_8 = "utf-8-sig"
_WINDOWS = "cp1252"
_UTF_16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
# In the order of preference where a header has as many of each.
_DELIMITERS = "\t;,|"
# Bytes or characters read at once.
_BLOCK = 2**16
_PARQUET_ROWS = 4096
# First bytes of what people give instead.
_OTHERS = {
    b"PK\3\4": "an Excel workbook or a zip",
    b"\xd0\xcf\x11\xe0": "an old Excel workbook",
    b"\x1f\x8b": "compressed with gzip",
    b"MATLAB": "a MATLAB file",
    b"SQLite format 3": "an SQLite database",
    b"[": "one JSON array instead of one object a line",
}

Opener = Callable[[], io.BufferedReader | io.BytesIO]


@dataclass(frozen=True)
class TableFile:
    """A file with a table."""

    name: str
    """Name for messages."""
    open: Opener
    """Function that opens its bytes."""
    folder: str = ""
    """Folder in the source that its file names are relative to, with "/" at the end, or ""."""
    source_path: str = ""
    """Path of the table in the source of faces, or "" for a table elsewhere."""

    @property
    def sha256(self) -> str:
        """Return the hex digest of its bytes."""
        with self.open() as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()


@dataclass(frozen=True)
class Row:
    """A row of a table."""

    number: int
    """Line in a text file, or row in Parquet, from 1."""
    cells: tuple[str, ...]
    """The cells that were asked for. A missing one is ""."""
    fault: str = ""
    """Reason why the cells cannot be used, or ""."""


@dataclass(frozen=True)
class Table:
    """An open table."""

    file: TableFile
    """Where it is."""
    unit: str
    """What its rows are counted in: line or row."""
    remark: str
    """What was assumed to read it, or ""."""
    header: tuple[str, ...]
    """Names of its columns."""
    rows: Callable[[Sequence[int]], Iterator[Row]]
    """Function from places of columns to an iterator over all rows. It raises StepError for a damaged table."""


def local(path: Path) -> TableFile:
    """Return the table in a local file.

    Raises:
        StepError: there is no such file.
    """
    if not path.is_file():
        if path.is_dir():
            raise StepError(f"{path} is a folder; give the tables in it: --labels {path}/*.csv")
        raise StepError(f"{path} does not exist; give a table of labels: .csv, .tsv, .jsonl or .parquet")
    return TableFile(printable(path.name), lambda: path.open("rb"))


def read(file: TableFile) -> Table:
    """Open a table. Its first bytes decide about the format, not its name.

    Raises:
        StepError: it is no table, or cannot be read.
    """
    with file.open() as stream:
        first = stream.read(512)
    if first.startswith(b"PAR1"):
        return _parquet(file)
    text = first.removeprefix(codecs.BOM_UTF8).lstrip()
    if other := next((name for start, name in _OTHERS.items() if text.startswith(start)), ""):
        raise StepError(f"{file.name} is {other}; save the table as CSV, JSON Lines or Parquet")
    if not text:
        raise StepError(f"{file.name} is empty; give a table with a line for each face")
    encoding, remark = _encoding(file, first)
    return (_json_lines if text.startswith(b"{") else _csv)(file, encoding, remark)


def _encoding(file: TableFile, first: bytes) -> tuple[str, str]:
    """Return the encoding of a text, and what to say about it."""
    if first.startswith(_UTF_16):
        return "utf-16", ""
    decoder = codecs.getincrementaldecoder(_UTF_8)()
    with file.open() as stream:
        while block := stream.read(_BLOCK):
            if b"\0" in block:
                raise StepError(f"{file.name} is no text; save the table as CSV, JSON Lines or Parquet")
            try:
                decoder.decode(block)
            except UnicodeDecodeError:
                return _WINDOWS, f"{file.name} is not UTF-8 and is read as Windows-1252"
    return _UTF_8, ""


def _text(file: TableFile, encoding: str) -> io.TextIOWrapper:
    # Windows-1252 has five bytes without a character.
    return io.TextIOWrapper(file.open(), encoding, errors="replace", newline="")


def _csv(file: TableFile, encoding: str, remark: str) -> Table:
    with _text(file, encoding) as text:
        start = next(filter(str.strip, iter(lambda: text.readline(_BLOCK), "")), "")
    delimiter = max(_DELIMITERS, key=start.count)
    header = next(csv.reader([start], delimiter=delimiter))

    def rows(places: Sequence[int]) -> Iterator[Row]:
        with _text(file, encoding) as text:
            lines = csv.reader(text, delimiter=delimiter)
            filled = ((lines.line_num, cells) for cells in lines if any(map(str.strip, cells)))
            try:
                next(filled, None)
                for number, cells in filled:
                    yield _row(number, cells, places, len(header))
            except csv.Error as error:
                raise StepError(f"line {lines.line_num} of {file.name} cannot be read: {error}") from error

    return Table(file, "line", remark, tuple(name.strip() for name in header), rows)


def _row(number: int, cells: list[str], places: Sequence[int], width: int) -> Row:
    while len(cells) > width and not cells[-1].strip():
        cells.pop()
    wrong = len(cells) != width
    fault = f"row with {len(cells)} cells: the first line of the table has {width}" if wrong else ""
    return Row(number, tuple(cells[place] if place < len(cells) else "" for place in places), fault)


def _json_lines(file: TableFile, encoding: str, remark: str) -> Table:
    names: dict[str, None] = {}
    for _, found in _objects(file, encoding):
        names.update(dict.fromkeys(found))
    header = tuple(names)

    def rows(places: Sequence[int]) -> Iterator[Row]:
        for number, found in _objects(file, encoding):
            yield Row(number, tuple(_cell(found.get(header[place])) for place in places))

    return Table(file, "line", remark, header, rows)


def _objects(file: TableFile, encoding: str) -> Iterator[tuple[int, dict[str, Any]]]:
    with _text(file, encoding) as text:
        for number, line in enumerate(text, start=1):
            if not line.strip():
                continue
            try:
                found = json.loads(line, object_pairs_hook=_unique)
            except (ValueError, RecursionError) as error:
                raise StepError(f"line {number} of {file.name} cannot be read: {error}") from error
            if not isinstance(found, dict):
                raise StepError(f"line {number} of {file.name} is no JSON object; write one in each line")
            yield number, found


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError(f"a name is twice in {', '.join(name for name, _ in pairs)}")
    return found


def _parquet(file: TableFile) -> Table:
    # It takes half a second, few tables need it, and the jobs after the gate do without.
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError as error:
        raise StepError(
            f"{file.name} is Parquet, and pyarrow is not installed; save the table as CSV or JSON Lines"
        ) from error

    def opened() -> Any:
        try:
            return parquet.ParquetFile(file.open())
        except pyarrow.ArrowException as error:
            raise StepError(f"{file.name} is a damaged Parquet file: {error}") from error

    with opened() as found:
        header = tuple(found.schema_arrow.names)

    def rows(places: Sequence[int]) -> Iterator[Row]:
        names = [header[place] for place in places]
        number = 0
        with opened() as found:
            try:
                for batch in found.iter_batches(_PARQUET_ROWS, columns=names):
                    columns = [batch.column(name).to_pylist() for name in names]
                    for number, cells in enumerate(zip(*columns, strict=True), start=number + 1):  # noqa: B020
                        yield Row(number, tuple(map(_cell, cells)))
            except pyarrow.ArrowException as error:
                raise StepError(f"{file.name} is damaged after row {number}: {error}") from error

    return Table(file, "row", "", header, rows)


def _cell(value: Any) -> str:
    """Return a value of JSON or Parquet as it would stand in CSV."""
    if value is None:
        return ""
    return json.dumps(value, default=str) if isinstance(value, list | dict) else str(value)
