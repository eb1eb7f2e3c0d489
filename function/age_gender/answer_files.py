"""Files of answers, as faces one by one: what `predict --json` and `batch` write, or saved responses, one a line."""

from __future__ import annotations

import importlib
import json
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from age_gender.prediction import FILE, WARNINGS, read_probabilities
from serving.heads import AGE, HEADS
from serving.prediction import RELEASE

STDIN = "-"
# The number of an image in a saved response.
IMAGE = "image"
PARQUET = ".parquet"
_WROTE = "give a file that `age-gender predict --json` or `batch` wrote"
# Rows of a Parquet file in memory at once.
_ROWS = 20_000


class AnswersError(Exception):
    """A file cannot be read. The message says what was found and what to do."""


class Row(NamedTuple):
    """One line or row: a face, an image, or an image without a prediction."""

    place: str
    """The file and the line, for messages."""
    columns: Mapping[str, Any]
    """Its own members, by which answers can be grouped."""
    faces: list[Mapping[str, Any]]
    """The faces in it, as the function's JSON."""
    failed: bool
    """Whether the image has an error in place of a prediction."""


def read(name: str) -> Iterator[Row]:
    """Return the rows of a file, - for standard input.

    Raises:
        AnswersError: it cannot be read, or a line is no answer.
    """
    if name.endswith(PARQUET):
        yield from _parquet(name)
    else:
        with _opened(name) as stream:
            yield from of_lines(stream, "standard input" if name == STDIN else name)


@contextmanager
def _opened(name: str) -> Iterator[BinaryIO]:
    if name == STDIN:
        yield sys.stdin.buffer
        return
    try:
        with Path(name).open("rb") as stream:
            yield stream
    except OSError as error:
        raise AnswersError(f"{name} cannot be read: {error.strerror}") from error


def of_lines(stream: Iterable[bytes], name: str) -> Iterator[Row]:
    """Return the rows of JSON lines from a file of this name.

    Raises:
        AnswersError: as `read`.
    """
    for number, line in enumerate(stream, 1):
        if not line.strip():
            continue
        place = f"line {number} of {name}"
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise AnswersError(f"{place} is no JSON ({error}); {_WROTE}") from error
        if not isinstance(row, dict):
            raise AnswersError(f"{place} is no JSON object; {_WROTE}")
        for image in _images(row):
            yield Row(place, image, _faces(image, place), "error" in image)


def _images(row: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the images of a saved response, numbered from 1, each with the response's other members; or the row."""
    images = row.get("predictions")
    if not isinstance(images, list) or not all(isinstance(image, dict) for image in images):
        return [row]
    others = {name: value for name, value in row.items() if name != "predictions"}
    return [{**others, IMAGE: number, **image} for number, image in enumerate(images, 1)]


def _faces(row: dict[str, Any], place: str) -> list[Mapping[str, Any]]:
    """Return the faces of one line: of a whole image, of one of its faces, or of one aligned face."""
    faces = row.get("faces")
    if isinstance(faces, list) and all(isinstance(face, dict) for face in faces):
        return faces
    if "error" in row or ("face" in row and row["face"] is None):
        return []
    if not any(isinstance(row.get(head), dict) for head in HEADS):
        raise AnswersError(f"{place} has no estimate ({', '.join(HEADS)}); {_WROTE}")
    return [row]


def _parquet(name: str) -> Iterator[Row]:
    try:
        # Imported here: JSON lines need no more than the standard library.
        parquet = importlib.import_module("pyarrow.parquet")
    except ImportError as error:
        raise AnswersError(f"{name} needs pyarrow: pip install '.[batch]' installs it, or give JSON lines") from error
    with _opened(name) as stream:
        try:
            rows = 0
            for group in parquet.ParquetFile(stream).iter_batches(_ROWS):
                for row in group.to_pylist():
                    rows += 1
                    yield _of_columns(row, f"row {rows} of {name}")
        except (OSError, ValueError) as error:
            raise AnswersError(f"{name} is no Parquet file ({error})") from error


def _of_columns(row: dict[str, Any], place: str) -> Row:
    known = [head for head in HEADS if row.get(head) is not None]
    if not known:
        return Row(place, row, [], "faces" not in row or row["faces"] is None)
    codes = [code for code in (row.get(WARNINGS) or "").split(",") if code]
    face = {
        AGE: {"years": row.get(AGE)},
        "probabilities": read_probabilities(row, HEADS),
        RELEASE: row.get(RELEASE),
        WARNINGS: [{"code": code} for code in codes],
    }
    return Row(place, row, [face], False)


def groupable(row: Row) -> list[str]:
    """Return the names of the columns by which answers can be grouped: those with a text or a number."""
    return [name for name, value in row.columns.items() if isinstance(value, str | int | float) and name != FILE]
