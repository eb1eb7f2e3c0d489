"""Bounded readers of tar and zip archives.

Every loop is flat, nothing that an archive claims is allocated, and each byte counts against a budget. So a hostile
archive costs neither more memory than its largest allowed file nor more time than an honest one of its size.
"""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from training.errors import StepError

# An archive may unpack to this many times its size, and always to this many bytes. Images hardly compress.
MAX_EXPANSION = 100
ALWAYS_ALLOWED_BYTES = 256 * 2**20

# Memory in bytes that a stream of xz may ask for. `xz -9` asks for 65 MiB.
_XZ_MEMORY = 128 * 2**20

# First bytes of what can be read, and of what people give instead.
_COMPRESSIONS = {b"\x1f\x8b": "gzip", b"BZh": "bzip2", b"\xfd7zXZ\0": "xz"}
_ZIP = (b"PK\3\4", b"PK\5\6", b"PK\7\x08")
_OTHERS = {
    b"7z\xbc\xaf\x27\x1c": "a 7-Zip archive",
    b"Rar!\x1a\x07": "a RAR archive",
    b"\x28\xb5\x2f\xfd": "compressed with Zstandard",
    b"\x1f\x9d": "compressed with compress",
}
# Compression methods of zip (APPNOTE 4.4.5) that Python does not unpack.
_METHODS = {
    1: "Shrink",
    6: "Implode",
    9: "Deflate64",
    93: "Zstandard",
    95: "XZ",
    96: "JPEG",
    97: "WavPack",
    98: "PPMd",
    99: "AES encryption",
}
_UNPACKED_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA)
# What the standard library raises on bytes that it cannot read.
_DAMAGE = (
    *(zipfile.BadZipFile, zlib.error, lzma.LZMAError, struct.error),
    *(EOFError, OSError, NotImplementedError, RuntimeError, ValueError, OverflowError),
)

_BLOCK = 512
# Bytes read at once to skip a file's contents.
_SKIPPED = 2**16
# Compressed bytes that zipfile unpacks at once, whatever they become.
_PIECE = 4096
# Bytes of a name or a pax header, records in a pax header, and such headers before one member.
_MAX_HEADER_BYTES = 2**20
_MAX_RECORDS = 1000
_MAX_HEADERS = 16
_MAX_DIGITS = 20


@dataclass(frozen=True)
class Member:
    """A file or anything else in an archive except a folder."""

    name: str
    """Name as stored. Bytes that are not UTF-8 are surrogates, as in names from the file system."""
    refusal: str
    """Reason why it is not read, or ""."""
    data: bytes = b""
    """Contents."""


class DamageError(Exception):
    """The archive is not well-formed."""


def members(archive: Path, refuse: Callable[[str, int], str], limit: int) -> Iterator[Member]:
    """Yield the members of a tar, plain or compressed, or of a zip. The first bytes decide, not the name.

    Args:
        archive: the file.
        refuse: function from name and stated size of a member to the reason why it is not read, or "".
        limit: bytes of a member that are read at most.

    Raises:
        StepError: the file is no such archive, is damaged, needs another unpacker, or unpacks to too much.
    """
    budget = _Budget(archive)
    try:
        for stored in _stored(archive, budget):
            refusal = refuse(stored.name, stored.size) or stored.refusal
            yield Member(stored.name, refusal, b"" if refusal else stored.read(limit))
    except (DamageError, *_DAMAGE) as error:
        raise StepError(f"{archive} is damaged after {budget.files} files: {error}; fetch it again") from error


def is_archive(path: Path) -> bool:
    """Return whether the first bytes are those of an archive that `members` reads."""
    first = _first_bytes(path)
    return first.startswith((*_ZIP, *_COMPRESSIONS)) or _is_tar(first) or zipfile.is_zipfile(path)


def other_format(path: Path) -> str:
    """Return the name of the format of a file that is no such archive, where its first bytes tell it, else ""."""
    first = _first_bytes(path)
    if first.lstrip()[:9].lower().startswith((b"<!doctype", b"<html")):
        return "a web page, perhaps the warning of a download site"
    return next((name for start, name in _OTHERS.items() if first.startswith(start)), "")


@dataclass(frozen=True)
class _Stored:
    """A member whose contents are not read yet. `read` takes a limit and must be called before the next member."""

    name: str
    size: int
    refusal: str
    read: Callable[[int], bytes]


def _stored(archive: Path, budget: _Budget) -> Iterator[_Stored]:
    first = _first_bytes(archive)
    compression = next((name for start, name in _COMPRESSIONS.items() if first.startswith(start)), "")
    if first.startswith(_ZIP) or not (compression or _is_tar(first)):
        yield from _zip_members(archive, budget)
        return
    with _OPENERS[compression](archive) as stream:
        yield from _tar_members(stream, budget)


class _Xz(io.RawIOBase):
    """An xz file. `lzma.open` has no bound on the memory that the file asks for."""

    def __init__(self, path: Path) -> None:
        self._path, self._file = path, path.open("rb")
        self._unpacker: lzma.LZMADecompressor | None = None

    def readable(self) -> bool:
        return True

    def close(self) -> None:
        self._file.close()
        super().close()

    def readinto(self, buffer: Any) -> int:
        while True:
            if self._unpacker is None or self._unpacker.eof:
                # Streams follow each other, with zeros between them.
                packed = (self._unpacker.unused_data if self._unpacker else b"").lstrip(b"\0")
                while not packed:
                    if not (piece := self._file.read(_SKIPPED)):
                        return 0
                    packed = piece.lstrip(b"\0")
                self._unpacker = lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=_XZ_MEMORY)
            elif self._unpacker.needs_input:
                packed = self._file.read(_SKIPPED)
                if not packed:
                    raise EOFError("it ends within compressed data")
            else:
                packed = b""
            if data := self._unpack(self._unpacker, packed, len(buffer)):
                buffer[: len(data)] = data
                return len(data)

    def _unpack(self, unpacker: lzma.LZMADecompressor, packed: bytes, limit: int) -> bytes:
        try:
            return unpacker.decompress(packed, limit)
        except lzma.LZMAError as error:
            # The module has one exception for everything.
            if "Memory" not in str(error):
                raise
            raise StepError(
                f"{self._path} needs more than {_XZ_MEMORY // 2**20} MiB to be unpacked; pack the faces again, for "
                "example as .tar.gz"
            ) from error


_OPENERS: dict[str, Callable[[Path], Any]] = {
    "": lambda path: path.open("rb"),
    "gzip": gzip.GzipFile,
    "bzip2": bz2.BZ2File,
    "xz": lambda path: io.BufferedReader(_Xz(path)),
}


def _first_bytes(path: Path) -> bytes:
    with path.open("rb") as stream:
        return stream.read(_BLOCK)


def _is_tar(block: bytes) -> bool:
    try:
        return len(block) == _BLOCK and _Header.parse(block) is not None
    except DamageError:
        return False


class _Budget:
    """The bytes that an archive may still unpack to."""

    def __init__(self, archive: Path) -> None:
        self.archive = archive
        self.files = 0
        self.left = max(ALWAYS_ALLOWED_BYTES, MAX_EXPANSION * archive.stat().st_size)

    def spend(self, size: int) -> None:
        """Count bytes before they are unpacked."""
        self.left -= size
        if self.left < 0:
            raise StepError(
                f"{self.archive} unpacks to more than {MAX_EXPANSION} times its size at file {self.files}: "
                "it looks like a decompression bomb; pack the faces again"
            )


@dataclass(frozen=True)
class _Header:
    """A block of 512 bytes before each member of a tar (POSIX.1-1988 ustar, GNU and V7)."""

    name: str
    size: int
    kind: bytes
    # whether GNU's old sparse map continues in the next block
    extended: bool

    @classmethod
    def parse(cls, block: bytes) -> _Header | None:
        """Return the header, or None for the block of zeros at the end of an archive."""
        if not any(block):
            return None
        stated = _number(block[148:156])
        # The checksum counts its own field as spaces. Old programs added signed bytes.
        counted = block[:148] + b" " * 8 + block[156:]
        unsigned = sum(counted)
        if stated not in (unsigned, unsigned - 256 * sum(byte > 127 for byte in counted)):
            raise DamageError("a header has a wrong checksum")
        name, kind = _text(block[:100]), block[156:157]
        if block[257:263] == b"ustar\0" and (prefix := _text(block[345:500])):
            name = f"{prefix}/{name}"
        if kind == b"\0":
            kind = b"5" if name.endswith("/") else b"0"
        return cls(name, _number(block[124:136]), kind, kind == b"S" and block[482] != 0)


def _text(field: bytes) -> str:
    return field.partition(b"\0")[0].decode("utf-8", "surrogateescape")


def _number(field: bytes) -> int:
    """Return an octal number, or GNU's binary one for sizes above 8 GiB."""
    if field[0] & 0x80:
        if field[0] & 0x40:
            raise DamageError("a header has a negative size")
        return int.from_bytes(bytes([field[0] & 0x3F]) + field[1:], "big")
    digits = field.partition(b"\0")[0].strip()
    if not digits:
        return 0
    if not set(digits) <= set(b"01234567"):
        raise DamageError("a header has an invalid number")
    return int(digits, 8)


# Kinds of headers: files, members without contents, names and attributes of the next member.
_FILES = (b"0", b"7")
_FOLDER = b"5"
_EMPTY = (b"1", b"2", b"3", b"4", b"5", b"6")
_LONG_NAME, _LONG_LINK, _GLOBAL = b"L", b"K", b"g"
_PAX = (b"x", b"X")


def _tar_members(stream: IO[bytes], budget: _Budget) -> Iterator[_Stored]:
    name, size, sparse, headers = "", -1, False, 0
    while (header := _Header.parse(_exactly(stream, _BLOCK, budget))) is not None:
        if header.kind in (_LONG_NAME, _LONG_LINK, _GLOBAL, *_PAX):
            headers += 1
            contents = _attributes(stream, header, headers, budget)
            if header.kind == _LONG_NAME:
                name = _text(contents)
            elif header.kind in _PAX:
                records = _records(contents)
                name = records.get("GNU.sparse.name", records.get("path", name))
                size = _decimal(records["size"]) if "size" in records else size
                sparse = sparse or any(key.startswith("GNU.sparse.") for key in records)
            continue
        extended = header.extended
        while extended:
            extended = _exactly(stream, _BLOCK, budget)[504] != 0
        budget.files += 1
        body = 0 if header.kind in _EMPTY else header.size if size < 0 else size
        budget.spend(body)
        contents_left = _Contents(stream, body)
        if header.kind != _FOLDER:
            refusal = "" if header.kind in _FILES else "not a regular file"
            if sparse or header.kind == b"S":
                refusal = "a sparse file; pack it without --sparse"
            yield _Stored(name or header.name, body, refusal, contents_left.read)
        contents_left.skip()
        name, size, sparse, headers = "", -1, False, 0


def _attributes(stream: IO[bytes], header: _Header, headers: int, budget: _Budget) -> bytes:
    """Return the contents of a header that describes the next member."""
    if headers > _MAX_HEADERS:
        raise DamageError(f"more than {_MAX_HEADERS} headers describe one file")
    if header.size > _MAX_HEADER_BYTES:
        raise DamageError(f"a name or header of {header.size} bytes looks like a decompression bomb")
    contents = _exactly(stream, header.size, budget)
    _exactly(stream, -header.size % _BLOCK, budget)
    return contents


def _records(contents: bytes) -> dict[str, str]:
    """Return the records `length key=value` of a pax header (POSIX.1-2001)."""
    found: dict[str, str] = {}
    place = 0
    while place < len(contents) and contents[place]:
        digits = contents[place : place + _MAX_DIGITS].partition(b" ")[0]
        length = _decimal(digits.decode("ascii", "replace"))
        record = contents[place + len(digits) + 1 : place + length]
        key, equals, value = record.partition(b"=")
        if not equals or not value.endswith(b"\n") or place + length > len(contents) or len(found) == _MAX_RECORDS:
            raise DamageError("a pax header is invalid")
        found[key.decode("utf-8", "replace")] = value[:-1].decode("utf-8", "surrogateescape")
        place += length
    return found


def _decimal(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= _MAX_DIGITS):
        raise DamageError("a pax header has an invalid number")
    return int(text)


def _exactly(stream: IO[bytes], size: int, budget: _Budget) -> bytes:
    budget.spend(size)
    data = stream.read(size)
    if len(data) < size:
        raise DamageError("it ends within a header")
    return data


class _Contents:
    """The contents of a member, and the padding to the next block."""

    def __init__(self, stream: IO[bytes], size: int) -> None:
        self._stream = stream
        self._left = size
        self._padding = -size % _BLOCK

    def read(self, limit: int) -> bytes:
        data = self._take(min(limit, self._left))
        self._left -= len(data)
        return data

    def skip(self) -> None:
        """Move to the next header."""
        self._left += self._padding
        while self._left:
            self._left -= len(self._take(min(self._left, _SKIPPED)))

    def _take(self, size: int) -> bytes:
        data = self._stream.read(size)
        if len(data) < size:
            raise DamageError("it ends within a file")
        return data


def _zip_members(archive: Path, budget: _Budget) -> Iterator[_Stored]:
    with zipfile.ZipFile(archive) as unzipped:
        for entry in unzipped.infolist():
            budget.files += 1
            budget.spend(entry.file_size)
            name = entry.filename
            if entry.is_dir() or name.endswith("\\"):
                continue
            encrypted = bool(entry.flag_bits & 0x1)
            if not encrypted and entry.compress_type not in _UNPACKED_METHODS:
                method = _METHODS.get(entry.compress_type, f"method {entry.compress_type}")
                raise StepError(
                    f"{archive} is compressed with {method}, which this program cannot unpack; unpack it with another "
                    "program and give the folder, or pack the faces again with Deflate"
                )
            read = _reader(unzipped, entry)
            yield _Stored(name, entry.file_size, "encrypted" if encrypted else "", read)


def _reader(unzipped: zipfile.ZipFile, entry: zipfile.ZipInfo) -> Callable[[int], bytes]:
    def read(limit: int) -> bytes:
        data = bytearray()
        with unzipped.open(entry) as stream:
            while len(data) < limit and (piece := stream.read(min(_PIECE, limit - len(data)))):
                data += piece
        return bytes(data)

    return read
