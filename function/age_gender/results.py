"""The result files of a batch: predictions as Parquet or JSON lines, errors as JSON lines."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any, BinaryIO

import pyarrow
from pyarrow import parquet

from age_gender.prediction import FILE, columns, parse

SUFFIXES = (".parquet", ".jsonl")
# The type of a field -> the type of its column. Ages are at most 116 years.
_TYPES = {int: pyarrow.int16(), float: pyarrow.float64(), str: pyarrow.string()}
# Rows in one row group: this many are in memory at once.
_GROUP = 50_000

Row = dict[str, Any]


@dataclass
class Counts:
    """How many images of a batch have a prediction, and how many do not."""

    answered: int = 0
    """Images with a prediction."""
    failed: int = 0
    """Images with an error instead."""


def merge(lines: Iterable[bytes], predictions: BinaryIO, errors: BinaryIO, heads: tuple[str, ...] | None) -> Counts:
    """Divide the lines of a batch into predictions and errors, and count them.

    Args:
        lines: JSON lines of all parts, in order.
        predictions: receives Parquet with the columns of `heads`, or the JSON lines themselves for None.
        errors: receives the lines of images without a prediction.
        heads: the enabled heads.
    """
    counts = Counts()
    answered = _answered(lines, errors, counts)
    if heads is None:
        predictions.writelines(line for line, _ in answered)
    else:
        _write_parquet((parse(row).as_row(row[FILE], heads) for _, row in answered), predictions, heads)
    return counts


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
    schema = pyarrow.schema([(name, _TYPES[kind]) for name, kind in columns(heads).items()])
    with parquet.ParquetWriter(file, schema) as writer:
        while group := list(islice(rows, _GROUP)):
            writer.write_table(pyarrow.Table.from_pylist(group, schema))
