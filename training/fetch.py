"""Download of an archive of faces from a bucket."""

from __future__ import annotations

import base64
import os
from pathlib import Path
from typing import Any

import google_crc32c

from training.errors import StepError
from training.files import write_text
from training.registry.addresses import parse
from training.registry.gcs import client, cloud_errors

_BLOCK_BYTES = 2**20
_DOWNLOAD_SECONDS = 600


def fetch(uri: str, folder: Path) -> tuple[Path, bool]:
    """Download the object at gs://bucket/path into `folder`, under its own name.

    Returns:
        The path of the copy, and whether it was downloaded. A copy with the object's size and CRC32C is kept.

    Raises:
        StepError: there is no such object, the download is damaged, or the folder has a file of that name that was not
            downloaded.
    """
    found = _object(uri)
    copy = folder / Path(found.name).name
    if copy.is_file() and _difference(copy, found) == "":
        return copy, False
    record = copy.with_name(f".{copy.name}.fetched")
    _require_fetched(copy, record)
    folder.mkdir(parents=True, exist_ok=True)
    partial = copy.with_name(f".{copy.name}.partial")
    with cloud_errors(uri):
        # The generation keeps a concurrent replacement from mixing two archives.
        found.download_to_filename(str(partial), if_generation_match=found.generation, timeout=_DOWNLOAD_SECONDS)
    if difference := _difference(partial, found):
        partial.unlink()
        raise StepError(f"{uri} arrived with {difference}; run fetch again")
    partial.replace(copy)
    write_text(record, f"{found.crc32c}\n")
    return copy, True


def state(uri: str) -> list[Any]:
    """Return what changes with the content of the object at gs://bucket/path: its size and its CRC32C.

    Raises:
        StepError: there is no such object.
    """
    found = _object(uri)
    return [found.size, found.crc32c]


def _object(uri: str) -> Any:
    """Return the metadata of an object. Raise StepError if there is none."""
    address = parse(uri)
    if not (address.bucket and address.path):
        raise StepError(f"{uri!r} names no object; give gs://bucket/path/to/faces.tar.gz")
    with cloud_errors(uri):
        found = client(uri).bucket(address.bucket).get_blob(address.path)
    if found is None:
        raise StepError(
            f"{uri} does not exist; upload the archive of faces, or correct DATA_BUCKET and DATASET_ARCHIVE"
        )
    return found


def _require_fetched(copy: Path, record: Path) -> None:
    """Raise StepError if `copy` exists and no earlier run downloaded it."""
    if os.path.lexists(copy) and not (copy.is_file() and not copy.is_symlink() and record.is_file()):
        raise StepError(f"{copy} already exists and was not fetched; move it away, or choose another folder")


def _difference(copy: Path, stored: Any) -> str:
    """Return the difference between a file and the object, or ""."""
    size = copy.stat().st_size
    if size != stored.size:
        return f"{size} bytes instead of {stored.size}"
    crc32c = _crc32c(copy)
    return f"CRC32C {crc32c} instead of {stored.crc32c}" if crc32c != stored.crc32c else ""


def _crc32c(path: Path) -> str:
    """Return the CRC32C as Cloud Storage does: four bytes, big-endian, in base64."""
    checksum = google_crc32c.Checksum()
    with path.open("rb") as file:
        while block := file.read(_BLOCK_BYTES):
            checksum.update(block)
    return base64.b64encode(checksum.digest()).decode()
