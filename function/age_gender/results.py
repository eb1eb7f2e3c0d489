"""The result files of a batch: predictions as Parquet or JSON lines, errors as JSON lines."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any, BinaryIO

import pyarrow
from pyarrow import parquet

from age_gender.detection import SIDES, Detection
from age_gender.prediction import FILE, Prediction, probability_columns

PARQUET = ".parquet"
SUFFIXES = (PARQUET, ".jsonl")
# The type of a field -> the type of its column. Ages are at most 116 years, and MAX_FACES at most 1000.
_TYPES = {
    int: pyarrow.int16(),
    float: pyarrow.float64(),
    str: pyarrow.string(),
    list: pyarrow.list_(pyarrow.int16()),
}
_SIDE = pyarrow.int32()
# Rows in one row group: this many are in memory at once.
_GROUP = 50_000

Row = dict[str, Any]
Kind = type[Prediction] | type[Detection]


@dataclass
class Counts:
    """How many images of a batch have a result, and how many do not."""

    answered: int = 0
    """Images with a prediction, or searched for faces."""
    failed: int = 0
    """Images with an error instead."""

    def add(self, row: Row) -> None:
        """Count the JSON of one image."""
        if "error" in row:
            self.failed += 1
        else:
            self.answered += 1


@dataclass
class FaceCounts(Counts):
    """The counts of a batch that finds faces."""

    faces: int = 0
    """Listed faces of all images."""
    without_face: int = 0
    """Images that were searched and have none."""

    def add(self, row: Row) -> None:
        """Count the JSON of one image."""
        super().add(row)
        if "error" not in row:
            self.faces += len(row["faces"])
            self.without_face += not row["faces"]


def merge(
    lines: Iterable[bytes],
    predictions: BinaryIO,
    errors: BinaryIO,
    heads: tuple[str, ...] | None,
    kind: Kind,
    *,
    probabilities: bool = False,
) -> Counts:
    """Divide the lines of a batch into predictions and errors, and count them.

    Args:
        lines: JSON lines of all parts, one an image, in order.
        predictions: receives Parquet with the columns of `heads`, or JSON lines for None. Of whole images, it receives
            one row or line a face, and one for each image without a face.
        errors: receives the lines of images without a prediction.
        heads: the enabled heads.
        kind: of the lines.
        probabilities: whether the Parquet has columns for them.
    """
    counts = FaceCounts() if kind is Detection else Counts()
    answered = _answered(lines, errors, counts)
    if heads is not None:
        rows = (row for _, each in answered for row in kind.parse(each).as_rows(each[FILE], heads))
        more = probability_columns(heads) if probabilities else {}
        _write_parquet(rows, predictions, {**kind.columns(heads), **more})
    elif kind is Detection:
        predictions.writelines(line for _, row in answered for line in _face_lines(row))
    else:
        predictions.writelines(line for line, _ in answered)
    return counts


def _answered(lines: Iterable[bytes], errors: BinaryIO, counts: Counts) -> Iterator[tuple[bytes, Row]]:
    for line in lines:
        row = json.loads(line)
        counts.add(row)
        if "error" in row:
            errors.write(line)
        else:
            yield line, row


def _face_lines(row: Row) -> Iterator[bytes]:
    for face in Detection.parse(row).as_json_rows():
        yield f"{json.dumps({FILE: row[FILE], **face})}\n".encode()


def _write_parquet(rows: Iterator[Row], file: BinaryIO, columns: dict[str, type]) -> None:
    schema = pyarrow.schema([(name, _SIDE if name in SIDES else _TYPES[kind]) for name, kind in columns.items()])
    with parquet.ParquetWriter(file, schema) as writer:
        while group := list(islice(rows, _GROUP)):
            writer.write_table(pyarrow.Table.from_pylist(group, schema))
