"""The parts of a batch -> one file of answers and one of errors."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any, BinaryIO

import pyarrow
from pyarrow import parquet

from serving.heads import AGE, CHOICES

# heads -> their columns; ages in whole years, probabilities 0 to 1
COLUMNS: dict[str, dict[str, pyarrow.DataType]] = {
    AGE: {"age": pyarrow.int16(), "age_low": pyarrow.int16(), "age_high": pyarrow.int16()},
    **{head: {head: pyarrow.string(), f"{head}_probability": pyarrow.float64()} for head in CHOICES},
}
SUFFIXES = (".parquet", ".jsonl")
# rows of one row group: what is held in memory at once
_GROUP = 50_000

Row = dict[str, Any]


@dataclass
class Counts:
    """How many images were answered, and how many were not."""

    answered: int = 0
    failed: int = 0


def merge(lines: Iterable[bytes], predictions: BinaryIO, errors: BinaryIO, heads: tuple[str, ...] | None) -> Counts:
    """Part the lines of a batch; answers become Parquet with the columns of `heads`, or stay JSON lines for None."""
    counts = Counts()
    good = _answered(lines, errors, counts)
    if heads is None:
        predictions.writelines(line for line, _ in good)
    else:
        _write_parquet((row for _, row in good), predictions, heads)
    return counts


def schema(heads: tuple[str, ...]) -> pyarrow.Schema:
    """The columns: the file, those of each head that is switched on, and the codes of warnings."""
    columns = [column for head in heads for column in COLUMNS[head].items()]
    return pyarrow.schema([("file", pyarrow.string()), *columns, ("warnings", pyarrow.string())])


def flat(row: Row) -> Row:
    """One JSON answer as a row of the table; several warnings are their codes, separated by commas."""
    columns = {"file": row["file"], "warnings": ",".join(each["code"] for each in row.get("warnings", ())) or None}
    if age := row.get(AGE):
        columns |= {"age": age["years"], "age_low": age["low"], "age_high": age["high"]}
    for head in CHOICES:
        if choice := row.get(head):
            columns |= {head: choice["label"], f"{head}_probability": choice["probability"]}
    return columns


def _answered(lines: Iterable[bytes], errors: BinaryIO, counts: Counts) -> Iterator[tuple[bytes, Row]]:
    for line in lines:
        row = json.loads(line)
        if "error" in row:
            counts.failed += 1
            errors.write(line)
        else:
            counts.answered += 1
            yield line, row


def _write_parquet(rows: Iterator[Row], file: BinaryIO, heads: tuple[str, ...]) -> None:
    columns = schema(heads)
    with parquet.ParquetWriter(file, columns) as writer:
        while group := [flat(row) for row in islice(rows, _GROUP)]:
            writer.write_table(pyarrow.Table.from_pylist(group, columns))
