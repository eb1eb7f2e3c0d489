"""Copies of folders in a bucket: what one job leaves for another, or for its own next attempt.

Each file is an object that its SHA-256 names. A listing, written last, names the files of one folder. So a copy that is
interrupted leaves the former one as it was, and folders share equal files.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path, PurePosixPath
from typing import Any

from google.cloud.storage import transfer_manager

from training.errors import StepError
from training.registry.addresses import parse
from training.registry.gcs import client, cloud_errors
from training.skipping import digest

# The bucket may delete objects by their age (infra/): older ones are uploaded again.
_FRESH = timedelta(days=1)
_OBJECTS = "objects"
_TRANSFERS = 8


def store(folder: Path, uri: str) -> int:
    """Copy the files of a folder to gs://bucket/prefix/name, and return how many objects were uploaded.

    Raises:
        StepError: `folder` has no file, or the bucket cannot be written.
    """
    files = {path.relative_to(folder).as_posix(): path for path in sorted(folder.rglob("*")) if path.is_file()}
    if not files:
        raise StepError(f"{folder} has no file; run the step that writes it first")
    bucket, prefix, name = _place(uri)
    digests = {each: digest(path) for each, path in files.items()}
    with cloud_errors(uri):
        since = datetime.now(UTC) - _FRESH
        listed = bucket.list_blobs(prefix=f"{prefix}{_OBJECTS}/")
        there = {PurePosixPath(blob.name).name for blob in listed if blob.time_created > since}
        missing = {digests[each]: path for each, path in files.items() if digests[each] not in there}
        pairs = [(str(path), bucket.blob(f"{prefix}{_OBJECTS}/{sha256}")) for sha256, path in missing.items()]
        _run(transfer_manager.upload_many, pairs)
        bucket.blob(f"{prefix}{name}.json").upload_from_string(json.dumps(digests), content_type="application/json")
    return len(missing)


def restore(uri: str, folder: Path) -> int | None:
    """Copy the files at gs://bucket/prefix/name into a folder that does not exist or is empty.

    Returns:
        How many files there are, or None if there is no complete copy: none was made, or it is too old.

    Raises:
        StepError: `folder` has files, the bucket cannot be read, or a file arrived damaged.
    """
    if folder.is_dir() and any(folder.iterdir()):
        raise StepError(f"{folder} has files already; move them away, or name another folder")
    bucket, prefix, name = _place(uri)
    with cloud_errors(uri):
        listing = bucket.get_blob(f"{prefix}{name}.json")
        if listing is None:
            return None
        digests: dict[str, str] = json.loads(listing.download_as_bytes())
        there = {PurePosixPath(blob.name).name for blob in bucket.list_blobs(prefix=f"{prefix}{_OBJECTS}/")}
        if not set(digests.values()) <= there:
            return None
        targets = {each: folder / each for each in digests}
        for path in targets.values():
            path.parent.mkdir(parents=True, exist_ok=True)
        pairs = [(bucket.blob(f"{prefix}{_OBJECTS}/{digests[each]}"), str(path)) for each, path in targets.items()]
        _run(transfer_manager.download_many, pairs)
    if damaged := [each for each, path in targets.items() if digest(path) != digests[each]]:
        raise StepError(f"{damaged[0]} of {uri} arrived damaged; run the job again")
    return len(digests)


def _place(uri: str) -> tuple[Any, str, str]:
    """Return the bucket, the prefix that folders share, and the name of one folder."""
    address = parse(uri)
    prefix, _, name = address.path.rpartition("/")
    if not (address.bucket and name):
        raise StepError(f"{uri!r} names no folder in a bucket; give gs://bucket/path/name")
    return client(uri).bucket(address.bucket), f"{prefix}/" if prefix else "", name


def _run(transfer: Any, pairs: list[tuple[Any, Any]]) -> None:
    transfer(pairs, worker_type=transfer_manager.THREAD, max_workers=_TRANSFERS, raise_exception=True)
