"""Columns of a table of labels: which one holds the file's name, the age, each choice, and the group."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from serving.heads import AGE
from serving.text import printable
from training.errors import StepError
from training.labels import CHOICES, COLUMNS

FILE = "file"
# What `--columns` can name.
TARGETS = (FILE, *COLUMNS)

# Columns of a table about answers: a request's id, and the numbers of an image in it and of a face in that, from 1.
REQUEST = "request_id"
IMAGE, FACE = "image", "face"

# Hugging Face's ImageFolder asks for this name, so it wins where others are possible too.
FILE_NAME = "file_name"
# Names of columns without regard to case, spaces and punctuation.
_FILE_NAMES = (
    *(FILE_NAME, "filename", "file", "file_path", "filepath", "path"),
    *("image", "image_name", "image_path", "img", "img_path"),
)
_OTHER_NAMES = {"gender": ("sex",)}
# Adience names a face by the folder, the number and the photograph it is cut from.
_ADIENCE = ("user_id", "face_id", "original_image")
ADIENCE_PREFIX = "landmark_aligned_face."
_BIRTH = re.compile(r"dob|yob|birth.*|.*_birth|.*birth_?date|.*birth_?year")


@dataclass(frozen=True)
class Columns:
    """Places of columns in a header."""

    file: tuple[int, ...]
    """Place of the file's name, or the three of Adience."""
    labels: dict[str, int]
    """Place of each head's label, in the order of `training.labels.COLUMNS`, without heads that have no column."""
    group: int | None
    """Place of the group, or None."""
    birth: str
    """Name of a column with a date of birth where none holds an age, or ""."""

    @property
    def places(self) -> tuple[int, ...]:
        """Return the places to read, in the order that `file_name` and the caller expect: file, labels, group."""
        return (*self.file, *self.labels.values(), *([] if self.group is None else [self.group]))

    def file_name(self, cells: Sequence[str]) -> str:
        """Return the path or name of the file from the first of the cells at `places`."""
        if len(self.file) == 1:
            return cells[0].strip()
        user, face, photograph = (cell.strip() for cell in cells[: len(self.file)])
        return f"{user}/{ADIENCE_PREFIX}{face}.{photograph}" if photograph else ""


def find(header: Sequence[str], named: Mapping[str, str], group: str, table: str) -> Columns:
    """Return the columns of a table.

    Args:
        header: names of its columns.
        named: column by target, from `--columns`. An empty column leaves a label out.
        group: column of `--group`, or "".
        table: name of the table, for messages.

    Raises:
        StepError: a column is missing, twice in the table, or cannot be chosen among several.
    """
    finder = _Finder(header, table)
    labels = finder.labels(named)
    birth = next((name for name in header if AGE not in labels and _BIRTH.fullmatch(_normal(name))), "")
    return Columns(finder.file(named), labels, finder.named(group) if group else None, birth)


@dataclass(frozen=True)
class FaceColumns:
    """Places of columns in the header of a table about answers."""

    name: int
    """Place of the request's id or the file's name."""
    numbers: dict[str, int]
    """Places of IMAGE and FACE, as far as the table has them."""
    labels: dict[str, int]
    """Place of each head's label, without heads that have no column."""

    @property
    def places(self) -> tuple[int, ...]:
        """Return the places to read: name, numbers, labels."""
        return (self.name, *self.numbers.values(), *self.labels.values())


def find_faces(header: Sequence[str], named: Mapping[str, str], table: str) -> FaceColumns:
    """Return the columns of a table about answers. Arguments and errors are those of `find`."""
    finder = _Finder(header, table)
    labels = finder.labels(named)
    by_request = not named.get(FILE) and REQUEST in map(_normal, header)
    name = finder.like(REQUEST) if by_request else finder.file(named)[0]
    # Without ids, `image` is a usual name for the file's column.
    numbers = {what: finder.like(what) for what in (IMAGE, FACE)[not by_request :] if what in map(_normal, header)}
    return FaceColumns(name, {what: place for what, place in numbers.items() if place != name}, labels)


@dataclass(frozen=True)
class _Finder:
    header: Sequence[str]
    table: str

    @property
    def found(self) -> str:
        return f"it has {', '.join(printable(name) or '(no name)' for name in self.header) or 'no column'}"

    def file(self, named: Mapping[str, str]) -> tuple[int, ...]:
        if named.get(FILE):
            return (self.named(named[FILE]),)
        if FILE_NAME in self.header:
            return (self.named(FILE_NAME),)
        normal = [_normal(name) for name in self.header]
        if set(_ADIENCE) <= set(normal):
            return tuple(self._only(self._like((name,)), name) for name in _ADIENCE)
        places = self._like(_FILE_NAMES)
        if not places:
            raise StepError(
                f"{self.table} has no column with the names of the files; {self.found}; its first line must name the "
                f"columns, and --columns {FILE}=COLUMN says which one it is"
            )
        return (self._only(places, FILE),)

    def labels(self, named: Mapping[str, str]) -> dict[str, int]:
        """Return the place of each head's label, in the order of COLUMNS."""
        labels = {target: place for target in COLUMNS if (place := self.label(target, named)) is not None}
        if not labels:
            raise StepError(
                f"{self.table} has no column of {', '.join(COLUMNS)}; {self.found}; name one: --columns age=COLUMN"
            )
        return labels

    def label(self, target: str, named: Mapping[str, str]) -> int | None:
        if target in named:
            return self.named(named[target]) if named[target] else None
        fields = [head.field for head in CHOICES if head.name == target]
        places = self._like((target, *fields, *_OTHER_NAMES.get(target, ())))
        return self._only(places, target) if places else None

    def named(self, column: str) -> int:
        """Return the place of the column with this very name."""
        places = [place for place, name in enumerate(self.header) if name == column]
        if not places:
            raise StepError(f"{self.table} has no column {column!r}; {self.found}")
        return self._only(places, column)

    def like(self, name: str) -> int:
        """Return the place of the column of this name, in any spelling."""
        return self._only(self._like((name,)), name)

    def _like(self, names: Sequence[str]) -> list[int]:
        return [place for place, name in enumerate(self.header) if _normal(name) in names]

    def _only(self, places: Sequence[int], target: str) -> int:
        if len(places) == 1:
            return places[0]
        names = [self.header[place] for place in places]
        if len(set(names)) < len(names):
            raise StepError(
                f"{self.table} has the column {names[0]!r} {len(names)} times; rename or remove all but one"
            )
        raise StepError(
            f"{self.table} has several columns for {target}: {', '.join(names)}; choose one: --columns "
            f"{target}={names[0]}"
        )


def parse(text: str) -> dict[str, str]:
    """Return column by target from `age=AGE,gender=sex`.

    Raises:
        StepError: the text has another form, or a name that is no target.
    """
    found: dict[str, str] = {}
    for assignment in filter(None, text.split(",")):
        target, equals, column = assignment.partition("=")
        if not equals or target.strip() not in TARGETS:
            raise StepError(
                f"--columns has {assignment!r}; write NAME=COLUMN,… with the names {', '.join(TARGETS)}, for example "
                "age=AGE,gender=sex"
            )
        found[target.strip()] = column.strip()
    return found


def _normal(name: str) -> str:
    return re.sub(r"[^a-z0-9]+", "_", name.strip().casefold()).strip("_")
