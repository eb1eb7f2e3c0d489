"""Tables of labels that lie among the faces: Hugging Face's ImageFolder has a metadata.csv beside the images."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from functools import partial
from pathlib import Path, PurePosixPath

from serving.text import encodable
from training.data import archives, label_tables, readers
from training.data.label_tables import TableFile
from training.errors import StepError
from training.labels import LabelError, parse

NAMES = ("metadata.csv", "metadata.jsonl", "metadata.parquet")
# An archive that begins with as many UTKFace names is not searched to its end, because that means to unpack it twice.
_ENOUGH = 100


def find(source: Path) -> list[TableFile]:
    """Return the tables that a folder or an archive of faces holds under one of NAMES, in the order of their paths.

    Raises:
        StepError: the source cannot be read.
    """
    found = _in_folder(source) if source.is_dir() else _in_archive(source)
    return sorted(found, key=lambda each: each.source_path)


def given(path: Path, source: Path) -> TableFile:
    """Return the table at a path that the user names.

    Raises:
        StepError: there is no such file.
    """
    found = label_tables.local(path)
    if not path.resolve().is_relative_to(source.resolve()):
        return found
    inside = path.resolve().relative_to(source.resolve()).as_posix()
    # Others than these state paths from a place of their own.
    return table(inside, found.open, own_folder=path.name in NAMES)


def table(path: str, opened: label_tables.Opener, own_folder: bool = True) -> TableFile:
    """Return the table at a path of the source. Its file names are relative to its folder, or to the source."""
    name = encodable(path)
    folder = str(PurePosixPath(name).parent) + "/" if own_folder and "/" in name else ""
    return TableFile(name, opened, folder, name)


def _in_folder(source: Path) -> Iterator[TableFile]:
    for folder, _, names in os.walk(source):
        for name in set(names) & set(NAMES):
            path = Path(folder, name)
            if path.is_file():
                yield table(path.relative_to(source).as_posix(), label_tables.local(path).open)


def _in_archive(source: Path) -> Iterator[TableFile]:
    faces, found = 0, False
    for member in archives.members(source, _refusal, readers.MAX_FILE_BYTES):
        path = _path(member.name)
        faces += _names_labels(path)
        if faces == _ENOUGH and not found:
            return
        if path.name in NAMES and not member.refusal:
            found = True
            yield table(str(path), partial(io.BytesIO, member.data))


def _refusal(name: str, size: int) -> str:
    path = _path(name)
    if path.name not in NAMES or path.is_absolute() or ".." in path.parts:
        return "no table"
    if size > readers.MAX_FILE_BYTES:
        raise StepError(
            f"{name} in the archive has {size} bytes, at most {readers.MAX_FILE_BYTES} are read; unpack it and name it "
            "with --labels"
        )
    return ""


def _path(name: str) -> PurePosixPath:
    return PurePosixPath(name.replace("\\", "/"))


def _names_labels(path: PurePosixPath) -> bool:
    try:
        parse(path.name)
    except LabelError:
        return False
    return True
