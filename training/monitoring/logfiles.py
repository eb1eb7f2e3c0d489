"""Read the function's log line by line, from a file, a folder, or gs:// where a Cloud Logging sink writes it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from io import BufferedReader
from pathlib import Path
from typing import IO

from serving.storage import CLOUD
from training.errors import StepError

# bytes; the largest entry of Cloud Logging. A longer line is damaged.
MAX_LINE = 256 * 1024
# bytes fetched from cloud storage at once
_CHUNK = 4 * 2**20


def lines(location: str, since: datetime | None = None) -> Iterator[bytes]:
    """Yield every line of every file without its line end, in the order of the file names; long lines are cut.

    Args:
        location: a file, a folder with all its subfolders, or gs://bucket/folder.
        since: files last modified before this moment are skipped.

    Raises:
        StepError: there is no file, or it cannot be read.
    """
    return _in_cloud(location, since) if location.startswith(CLOUD) else _local(Path(location), since)


def _local(place: Path, since: datetime | None) -> Iterator[bytes]:
    paths = sorted(path for path in place.rglob("*") if path.is_file()) if place.is_dir() else [place]
    if not paths:
        raise StepError(f"{place} contains no file")
    for path in paths:
        try:
            if since is None or datetime.fromtimestamp(path.stat().st_mtime, UTC) >= since:
                with path.open("rb") as file:
                    yield from _lines(file)
        except OSError as error:
            raise StepError(f"{path} cannot be read: {error.strerror}") from error


def _in_cloud(uri: str, since: datetime | None) -> Iterator[bytes]:
    # Slow to import, and not needed for a local log.
    from google.api_core.exceptions import GoogleAPIError
    from google.auth.exceptions import GoogleAuthError
    from google.cloud.storage import Client

    bucket, _, folder = uri.removeprefix(CLOUD).rstrip("/").partition("/")
    found = False
    try:
        for blob in Client().list_blobs(bucket, prefix=folder):
            # The prefix 2026/11/2 also matches 2026/11/20.
            if folder and blob.name != folder and not blob.name.startswith(f"{folder}/"):
                continue
            found = True
            if since is None or blob.updated >= since:
                # The file object of the library searches for line ends byte by byte.
                with BufferedReader(blob.open("rb", chunk_size=_CHUNK), _CHUNK) as file:
                    yield from _lines(file)
    except (GoogleAPIError, GoogleAuthError, OSError, ValueError) as error:
        raise StepError(f"{uri} cannot be read: {error}") from error
    if not found:
        raise StepError(f"{uri} contains no file; Cloud Logging writes the file of an hour up to three hours later")


def _lines(file: IO[bytes]) -> Iterator[bytes]:
    begins = True
    while piece := file.readline(MAX_LINE):
        if begins and piece.strip():
            yield piece.rstrip()
        begins = piece.endswith(b"\n")
