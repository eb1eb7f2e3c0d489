"""Read the function's log entry by entry, from a file, a folder, or gs:// where a Cloud Logging sink writes it."""

from __future__ import annotations

import gzip
import json
import re
import zlib
from collections.abc import Iterator
from datetime import UTC, datetime
from io import BufferedReader, TextIOWrapper
from pathlib import Path

from serving.addresses import Address
from training.errors import StepError
from training.registry.addresses import parse

# bytes; the largest entry of Cloud Logging. A longer line is damaged.
MAX_LINE = 256 * 1024
# bytes; the same entry, indented.
MAX_ENTRY = 4 * MAX_LINE
# bytes fetched from cloud storage at once
_CHUNK = 4 * 2**20
# bytes of an indented file read at once
_PIECE = 64 * 1024
_GZIP = b"\x1f\x8b"
# A JSON array of objects, or indented objects: an entry of such a file spans several lines.
_SPANNING = re.compile(rb"(\xef\xbb\xbf)?\s*(\[\s*[{\]]|\{\s*\n)")


def lines(location: str, since: datetime | None = None) -> Iterator[bytes]:
    """Yield every entry of every file, in the order of the file names: a line, or an object of a JSON array.

    A compressed file (gzip) is unpacked. Too long entries are cut.

    Args:
        location: a file, a folder with all its subfolders, or gs://bucket/folder.
        since: files last modified before this moment are skipped.

    Raises:
        StepError: there is no file, or it cannot be read.
    """
    address = parse(location)
    return _in_cloud(address, since) if address.bucket else _local(Path(address.path), since)


def _local(place: Path, since: datetime | None) -> Iterator[bytes]:
    paths = sorted(path for path in place.rglob("*") if path.is_file()) if place.is_dir() else [place]
    if not paths:
        raise StepError(f"{place} contains no file")
    for path in paths:
        try:
            if since is None or datetime.fromtimestamp(path.stat().st_mtime, UTC) >= since:
                with path.open("rb") as file:
                    yield from _read(file)
        except (OSError, EOFError, ValueError, zlib.error) as error:
            raise StepError(f"{path} cannot be read: {getattr(error, 'strerror', None) or error}") from error


def _in_cloud(address: Address, since: datetime | None) -> Iterator[bytes]:
    # Slow to import, and not needed for a local log.
    from google.api_core.exceptions import GoogleAPIError
    from google.auth.exceptions import GoogleAuthError

    from training.registry.gcs import client

    uri, folder = f"{address}", address.path
    found = False
    try:
        for blob in client(uri).list_blobs(address.bucket, prefix=folder):
            # The prefix 2026/11/2 also matches 2026/11/20.
            if folder and blob.name != folder and not blob.name.startswith(f"{folder}/"):
                continue
            found = True
            if since is None or blob.updated >= since:
                # The file object of the library searches for line ends byte by byte.
                with BufferedReader(blob.open("rb", chunk_size=_CHUNK), _CHUNK) as file:
                    yield from _read(file)
    except (GoogleAPIError, GoogleAuthError, OSError, EOFError, ValueError, zlib.error) as error:
        raise StepError(f"{uri} cannot be read: {error}") from error
    if not found:
        raise StepError(f"{uri} contains no file; Cloud Logging writes the file of an hour up to three hours later")


def _read(file: BufferedReader) -> Iterator[bytes]:
    """Yield the entries of one file, in whatever form it is."""
    if file.peek(len(_GZIP)).startswith(_GZIP):
        file = BufferedReader(gzip.GzipFile(fileobj=file))
    yield from _objects(file) if _SPANNING.match(file.peek(_PIECE)) else _lines(file)


def _lines(file: BufferedReader) -> Iterator[bytes]:
    begins = True
    while piece := file.readline(MAX_LINE):
        if begins and piece.strip():
            yield piece.rstrip()
        begins = piece.endswith(b"\n")


def _objects(file: BufferedReader) -> Iterator[bytes]:
    """Yield every outermost JSON object of a file; what is between two of them is skipped."""
    text = TextIOWrapper(file, "utf-8-sig", errors="replace")
    decoder, unread = json.JSONDecoder(), ""
    while piece := text.read(_PIECE):
        unread += piece
        end = 0
        while (begin := unread.find("{", end)) >= 0:
            try:
                _, end = decoder.raw_decode(unread, begin)
            except (ValueError, RecursionError):
                # Damaged, or not read to its end yet.
                break
            yield unread[begin:end].encode()
        unread = unread[begin:] if begin >= 0 else ""
        if len(unread) > MAX_ENTRY:
            break
    if unread:
        raise ValueError(f"the JSON is damaged or cut off at {unread[:60]!r}")
