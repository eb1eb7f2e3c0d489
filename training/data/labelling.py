"""Where the labels of faces come from: the names of the files, or tables."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, Protocol

from training.data import label_origin, source_tables
from training.data.label_options import NAMES, LabelOptions
from training.data.label_tables import TableFile
from training.data.table_labels import TableLabels
from training.errors import StepError
from training.labels import PATTERN, Labels, parse


class Labelling(Protocol):
    """A source of labels. `prepare` calls `begin`, then `find` for each file, then the others."""

    @property
    def advice(self) -> str:
        """What to give where too few faces have labels, for a message."""

    def begin(self, database: sqlite3.Connection) -> None:
        """Get ready, with room in the database of a `Staging`.

        Raises:
            StepError: there are no usable labels.
        """

    def holds(self, path: str) -> bool:
        """Return whether the file at a path of the source is a table of labels and no face."""

    def find(self, path: str) -> Labels:
        """Return the labels of the file at a path of the source.

        Raises:
            LabelError: it has none.
        """

    def doubtful(self) -> Iterator[tuple[str, str]]:
        """Yield path and reason of each accepted face whose labels turned out to belong to another file too."""

    def joined(self) -> Iterator[tuple[int, int]]:
        """Yield pairs of images, from 0 in the order of `Staging.thumbnails`, that belong into one split."""

    def unused(self) -> Iterator[tuple[str, str]]:
        """Yield file and reason of each label without a file."""

    def description(self) -> list[str]:
        """Return lines about where the labels are, before the work."""

    def account(self) -> list[str]:
        """Return lines about labels and files that did not meet, after the work."""

    def warnings(self) -> list[str]:
        """Return warnings about the labels, after the work."""

    def origin(self) -> dict[str, Any]:
        """Return what a release has to state about its labels, for the manifest."""


@dataclass(frozen=True)
class FileNames:
    """Labels in the names of files, as UTKFace has them."""

    asked: bool = False
    """Whether the user asked for them, so that a table among the faces does not count."""

    @property
    def advice(self) -> str:
        """Say how to name files."""
        return f"give a hundred or more with names of the form {PATTERN}, or a table of their labels (--labels)"

    def begin(self, database: sqlite3.Connection) -> None:
        """Do nothing."""

    def holds(self, path: str) -> bool:
        """Return False: any file may be a face."""
        return False

    def find(self, path: str) -> Labels:
        """Return the labels in the name.

        Raises:
            LabelError: the name has none.
        """
        return parse(PurePosixPath(path).name)

    def doubtful(self) -> Iterator[tuple[str, str]]:
        """Yield nothing."""
        return iter(())

    def joined(self) -> Iterator[tuple[int, int]]:
        """Yield nothing."""
        return iter(())

    def unused(self) -> Iterator[tuple[str, str]]:
        """Yield nothing."""
        return iter(())

    def description(self) -> list[str]:
        """Return nothing."""
        return []

    def account(self) -> list[str]:
        """Return nothing: every label belongs to a file."""
        return []

    def warnings(self) -> list[str]:
        """Return nothing."""
        return []

    def origin(self) -> dict[str, Any]:
        """Return that the user asked for the names, else nothing: the names are part of the source."""
        return {"labels": label_origin.of_names()} if self.asked else {}


def choose(source: Path, options: LabelOptions) -> Labelling:
    """Return where the labels of a source are: in the tables that are named or found, else in the names of the files.

    Args:
        source: folder or archive of faces.
        options: tables, and how to read them.

    Raises:
        StepError: a table cannot be read or lacks a column, or there is none for the options.
    """
    if options.names:
        files = []
    elif options.tables:
        files = [source_tables.given(path, source) for path in options.tables]
    else:
        files = source_tables.find(source)
    return read(str(source), files, options)


def read(source: str, files: Sequence[TableFile], options: LabelOptions) -> Labelling:
    """Return the labels in tables, or without a table those in the names of the files.

    Args:
        source: name of the faces, for messages.
        files: tables.
        options: how to read them.

    Raises:
        StepError: a table cannot be read or lacks a column, or there is none for the options.
    """
    if files:
        try:
            return TableLabels(files, options)
        except StepError as error:
            if options.tables:
                raise
            raise StepError(f"{error}; `--labels {NAMES}` reads the names of the files instead") from error
    if options.columns or options.values or options.group:
        raise StepError(
            f"--columns, --values and --group are about a table of labels, and {source} has no "
            f"{' or '.join(source_tables.NAMES)}; name the table with --labels"
        )
    return FileNames(options.names)
