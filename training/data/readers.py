"""Sources of faces: a folder, a tar or a zip, read one file at a time and never unpacked to disk."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from serving.text import printable
from training.data import archives
from training.errors import StepError

# Largest size of a file in bytes. A face of 200x200 pixels has about 5,000.
MAX_FILE_BYTES = 32 * 2**20
# Longest path in characters.
_MAX_PATH = 4096

_SUFFIXES = (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz", ".zip")


@dataclass(frozen=True)
class SourceFile:
    """A file of a source: its contents, their place, or the reason why they cannot be read."""

    path: str
    """Path in the source, with "/" between folders."""
    data: bytes = b""
    """Contents."""
    refusal: str = ""
    """Reason for a refusal, or ""."""
    place: str = ""
    """File whose contents are not read yet, or ""."""


def count(source: Path) -> int | None:
    """Return the number of files in a folder, None for an archive."""
    return sum(1 for _ in _walk(source)) if source.is_dir() else None


def origin(source: Path) -> dict[str, str]:
    """Return the name of a source and, for an archive, its SHA-256, for the manifest."""
    named = {"name": printable(source.resolve().name)}
    if source.is_dir():
        return named
    with source.open("rb") as archive:
        return named | {"sha256": hashlib.file_digest(archive, "sha256").hexdigest()}


def state(source: Path) -> str:
    """Return a digest that changes with a source: of an archive's bytes, or of a folder's names, sizes and times."""
    if source.is_file():
        with source.open("rb") as archive:
            return hashlib.file_digest(archive, "sha256").hexdigest()
    total = 0
    for entry in _walk(source):
        try:
            found = entry.stat()
        except OSError:
            # A link to nothing.
            found = entry.stat(follow_symlinks=False)
        described = f"{entry.path[len(str(source)) :]} {found.st_size} {found.st_mtime_ns}"
        # A sum does not depend on the order, so no list of all names is in memory.
        total += int.from_bytes(hashlib.sha256(os.fsencode(described)).digest())
    return f"{total % 2**256:064x}"


def require(source: Path) -> None:
    """Check that a source is a folder or an archive that can be read.

    Raises:
        StepError: it is neither.
    """
    if source.is_dir():
        return
    if not source.is_file():
        raise StepError(f"{source} does not exist; give a folder of faces or a .tar, .tar.gz or .zip of them")
    if archives.is_archive(source):
        return
    if other := archives.other_format(source):
        raise StepError(
            f"{source} is {other}, and neither a folder nor one of {', '.join(_SUFFIXES)}; give one of these"
        )
    if source.name.lower().endswith(_SUFFIXES):
        raise StepError(f"{source} is damaged after 0 files: it does not begin as an archive does; fetch it again")
    raise StepError(f"{source} is neither a folder nor one of {', '.join(_SUFFIXES)}")


def read(source: Path) -> Iterator[SourceFile]:
    """Stream every file of a folder or archive.

    Raises:
        StepError: as `require`, or an archive is damaged, needs another unpacker, or unpacks to far more than its size.
    """
    return map(load, find(source))


def find(source: Path) -> Iterator[SourceFile]:
    """Stream every file of a folder or archive as `read` does, but leave the files of a folder to `load`.

    Raises:
        StepError: as `read`.
    """
    require(source)
    return _find_in_folder(source) if source.is_dir() else _read_archive(source)


def load(file: SourceFile) -> SourceFile:
    """Return a file with its contents, or with the reason why they cannot be read."""
    if not file.place:
        return file
    try:
        # A Path for each file would take three times as long as reading it.
        with open(file.place, "rb", buffering=0) as stream:  # noqa: PTH123
            size = os.fstat(stream.fileno()).st_size
            # One byte more than allowed shows that a file is too large, even if it grows meanwhile.
            data = stream.read(min(size, MAX_FILE_BYTES) + 1)
            if len(data) > size:
                data += stream.read(MAX_FILE_BYTES + 1 - len(data))
    except OSError as error:
        return SourceFile(file.path, refusal=f"unreadable: {error.strerror}")
    if len(data) > MAX_FILE_BYTES:
        return SourceFile(file.path, refusal=too_large(max(size, len(data))))
    return SourceFile(file.path, data)


def _find_in_folder(folder: Path) -> Iterator[SourceFile]:
    start = len(os.path.join(folder, ""))  # noqa: PTH118
    for entry in _walk(folder):
        # The same name in every locale, and in an archive.
        path = os.fsencode(entry.path[start:]).decode("utf-8", "surrogateescape").replace(os.sep, "/")
        try:
            regular = entry.is_file()
        except OSError as error:
            yield SourceFile(path, refusal=f"unreadable: {error.strerror}")
        else:
            yield SourceFile(path, place=entry.path) if regular else SourceFile(path, refusal=_kind(entry))


def _walk(folder: Path) -> Iterator[os.DirEntry[str]]:
    """Yield all entries below `folder` except folders that can be read."""
    waiting = [str(folder)]
    while waiting:
        with os.scandir(waiting.pop()) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False) and os.access(entry.path, os.R_OK | os.X_OK):
                    waiting.append(entry.path)
                else:
                    yield entry


def _kind(entry: os.DirEntry[str]) -> str:
    """Return the reason why an entry is not read."""
    if not entry.is_dir():
        return "not a regular file"
    return "a link to a folder: give that folder as --data" if entry.is_symlink() else "unreadable: Permission denied"


def _read_archive(archive: Path) -> Iterator[SourceFile]:
    for member in archives.members(archive, _refusal, MAX_FILE_BYTES + 1):
        if member.refusal:
            shown = member.name if len(member.name) <= _MAX_PATH else f"{member.name[:100]}…"
            yield SourceFile(shown, refusal=member.refusal)
        elif len(member.data) > MAX_FILE_BYTES:
            yield SourceFile(member.name, refusal=too_large(len(member.data)))
        else:
            yield SourceFile(_path(member.name), member.data)


def _refusal(name: str, size: int) -> str:
    if len(name) > _MAX_PATH:
        return f"name too long: {len(name)} characters, at most {_MAX_PATH} are read"
    pure = PurePosixPath(_path(name))
    if pure.is_absolute() or ".." in pure.parts:
        return "unsafe path: it leads outside the archive"
    return too_large(size) if size > MAX_FILE_BYTES else ""


def _path(name: str) -> str:
    """Return a member's path with "/" between folders. Programs for Windows write backslashes."""
    return name.replace("\\", "/")


def too_large(size: int) -> str:
    """Return the reason why a file of `size` bytes is not read."""
    return f"too large: {size} bytes, at most {MAX_FILE_BYTES} are read"
