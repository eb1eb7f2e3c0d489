"""Where faces come from: a folder, a tar or a zip, read one file at a time and never unpacked to disk."""

from __future__ import annotations

import bz2
import gzip
import hashlib
import lzma
import os
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, Any

from training.errors import StepError

ORIGIN_FILE = "origin.json"
# bytes; a face of 200x200 has about 5,000
MAX_FILE_BYTES = 32 * 2**20
# An archive may unpack to this many times its size, and always to this many bytes: images hardly compress.
MAX_EXPANSION = 100
ALWAYS_ALLOWED_BYTES = 256 * 2**20

# bytes of a member's name or extended header, which tarfile reads whole
_MAX_HEADER_BYTES = 2**20
_EXTENDED_HEADERS = (
    tarfile.GNUTYPE_LONGNAME,
    tarfile.GNUTYPE_LONGLINK,
    tarfile.XHDTYPE,
    tarfile.XGLTYPE,
    tarfile.SOLARIS_XHDTYPE,
)

_TAR_SUFFIXES = (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz")
_OPENERS: dict[str, Callable[[Path, str], Any]] = {
    ".gz": gzip.open,
    ".tgz": gzip.open,
    ".bz2": bz2.open,
    ".xz": lzma.open,
    ".tar": open,
}
# What the archive modules raise on bytes that they cannot read; zipfile's word for an unknown compression is the last.
_DAMAGE = (tarfile.TarError, zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, OSError, NotImplementedError)


@dataclass(frozen=True)
class SourceFile:
    """One file of the source: its path inside it, and its bytes or the reason why there are none."""

    path: str
    data: bytes = b""
    refusal: str = ""


def count(source: Path) -> int | None:
    """How many files `read` will give, where that is cheap to know."""
    return sum(1 for _ in _walk(source)) if source.is_dir() else None


def origin(source: Path) -> dict[str, str]:
    """Name and, of an archive, SHA-256: what a manifest tells of where the faces came from."""
    named = {"name": source.resolve().name}
    if source.is_dir():
        return named
    with source.open("rb") as archive:
        return named | {"sha256": hashlib.file_digest(archive, "sha256").hexdigest()}


def read(source: Path) -> Iterator[SourceFile]:
    """Stream every file of a folder or archive.

    Raises:
        StepError: the source does not exist, is no archive, is damaged, or unpacks to far more than its size.
    """
    if source.is_dir():
        return _read_folder(source)
    if not source.is_file():
        raise StepError(f"{source} does not exist; give a folder of faces or a .tar, .tar.gz or .zip of them")
    if source.name.lower().endswith(_TAR_SUFFIXES):
        return _read_tar(source)
    if source.suffix.lower() == ".zip":
        return _read_zip(source)
    raise StepError(f"{source} is neither a folder nor one of {', '.join((*_TAR_SUFFIXES, '.zip'))}")


def _walk(folder: Path) -> Iterator[os.DirEntry[str]]:
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                yield from _walk(Path(entry.path))
            else:
                yield entry


def _read_folder(folder: Path) -> Iterator[SourceFile]:
    # A Path for each file would take three times as long as reading it.
    start = len(os.path.join(folder, ""))  # noqa: PTH118
    for entry in _walk(folder):
        path = entry.path[start:].replace(os.sep, "/")
        try:
            if not entry.is_file():
                yield SourceFile(path, refusal="not a regular file")
                continue
            # One byte more than allowed tells a file that is too large, also one that grows meanwhile.
            with open(entry.path, "rb", buffering=0) as stream:  # noqa: PTH123
                data = stream.read(MAX_FILE_BYTES + 1)
            if len(data) > MAX_FILE_BYTES:
                yield SourceFile(path, refusal=_too_large(entry.stat().st_size))
            else:
                yield SourceFile(path, data)
        except OSError as error:
            yield SourceFile(path, refusal=f"unreadable: {error.strerror}")


def _read_tar(archive: Path) -> Iterator[SourceFile]:
    budget = _Budget(archive)
    try:
        # tarfile's own decompression unpacks 10 KB at a time, which may be gigabytes; these give what is asked for.
        with (
            _OPENERS[archive.suffix.lower()](archive, "rb") as stream,
            tarfile.open(fileobj=stream, mode="r|", tarinfo=_Header) as tar,
        ):
            for member in tar:
                # Headers come before contents, so a bomb is refused before it is unpacked.
                budget.spend(member.size)
                if member.isdir():
                    continue
                refusal = _refusal(member.name, member.size) or ("" if member.isfile() else "not a regular file")
                yield _read_member(member.name, refusal, tar.extractfile(member) if not refusal else None)
                # tarfile remembers every header; a million faces would fill the memory.
                tar.members.clear()  # type: ignore[attr-defined]
    except _DAMAGE as error:
        raise StepError(f"{archive} is damaged after {budget.files} files: {error}; fetch it again") from error


class _Header(tarfile.TarInfo):
    """A header that is damage where tarfile would take it for the archive's end."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> _Header:
        """See TarInfo; a block of zeros is the true end."""
        try:
            header = super().frombuf(buf, encoding, errors)
        except tarfile.HeaderError as error:
            if len(buf) == tarfile.BLOCKSIZE and not any(buf):
                raise
            raise tarfile.ReadError(str(error)) from error
        if header.type in _EXTENDED_HEADERS and header.size > _MAX_HEADER_BYTES:
            raise tarfile.ReadError(f"a name of {header.size} bytes looks like a decompression bomb")
        return header


def _read_zip(archive: Path) -> Iterator[SourceFile]:
    budget = _Budget(archive)
    try:
        with zipfile.ZipFile(archive) as unzipped:
            for member in unzipped.infolist():
                budget.spend(member.file_size)
                if member.is_dir():
                    continue
                refusal = _refusal(member.filename, member.file_size)
                refusal = refusal or ("encrypted" if member.flag_bits & 0x1 else "")
                yield _read_member(member.filename, refusal, unzipped.open(member) if not refusal else None)
    except _DAMAGE as error:
        raise StepError(f"{archive} is damaged after {budget.files} files: {error}; fetch it again") from error


def _read_member(path: str, refusal: str, stream: IO[bytes] | None) -> SourceFile:
    if stream is None:
        return SourceFile(path, refusal=refusal)
    with stream:
        data = stream.read(MAX_FILE_BYTES + 1)
    return SourceFile(path, refusal=_too_large(len(data))) if len(data) > MAX_FILE_BYTES else SourceFile(path, data)


def _refusal(path: str, size: int) -> str:
    pure = PurePosixPath(path.replace("\\", "/"))
    if pure.is_absolute() or ".." in pure.parts:
        return "unsafe path: it leads outside the archive"
    return _too_large(size) if size > MAX_FILE_BYTES else ""


def _too_large(size: int) -> str:
    return f"too large: {size} bytes, at most {MAX_FILE_BYTES} are read"


class _Budget:
    """What an archive may still unpack to."""

    def __init__(self, archive: Path) -> None:
        self.archive = archive
        self.files = 0
        self.left = max(ALWAYS_ALLOWED_BYTES, MAX_EXPANSION * archive.stat().st_size)

    def spend(self, size: int) -> None:
        self.files += 1
        self.left -= size
        if self.left < 0:
            raise StepError(
                f"{self.archive} unpacks to more than {MAX_EXPANSION} times its size at its file {self.files}: "
                "it looks like a decompression bomb; pack the faces again"
            )
