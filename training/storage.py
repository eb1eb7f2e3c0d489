"""Where a registry lies: a local folder or a bucket, with the same four promises."""

from __future__ import annotations

import fcntl
import hashlib
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from google.api_core.exceptions import GoogleAPIError, NotFound, PreconditionFailed
from google.auth.exceptions import GoogleAuthError
from google.cloud import storage as gcs

from training.errors import StepError

_RETRY_SECONDS = 60


class ConflictError(StepError):
    """Somebody else wrote first; nothing was changed."""


@dataclass(frozen=True)
class Stored:
    """Bytes, and the generation they had when they were read."""

    data: bytes
    generation: int | str


class Storage(Protocol):
    """Small files under names with slashes."""

    def read(self, name: str) -> Stored | None:
        """The file, or None."""

    def create(self, name: str, data: bytes) -> None:
        """Write a new file, whole or not at all.

        Raises:
            ConflictError: it exists with other contents. Writing the same again is no conflict.
        """

    def replace(self, name: str, data: bytes, generation: int | str | None) -> None:
        """Write a file if it still has `generation` (None: is still absent).

        Raises:
            ConflictError: it has changed since.
        """

    def folders(self) -> Iterator[str]:
        """Names at the top that have files under them, in order."""


def open_storage(uri: str) -> Storage:
    """The storage at a folder's path or at gs://bucket/prefix.

    Raises:
        StepError: the bucket cannot be reached.
    """
    return CloudStorage(uri) if uri.startswith("gs://") else LocalStorage(Path(uri))


class LocalStorage:
    """A folder. Generations are digests of the contents."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def read(self, name: str) -> Stored | None:
        """See Storage."""
        path = self.folder / name
        if not path.is_file():
            return None
        data = path.read_bytes()
        return Stored(data, hashlib.sha256(data).hexdigest())

    def create(self, name: str, data: bytes) -> None:
        """See Storage."""
        path = self.folder / name
        with _aside(path, data) as partial:
            try:
                # A link, unlike a rename, fails where the name is taken.
                os.link(partial, path)
            except FileExistsError:
                _require_same(f"{path}", path.read_bytes(), data)

    def replace(self, name: str, data: bytes, generation: int | str | None) -> None:
        """See Storage."""
        path = self.folder / name
        with self._lock(), _aside(path, data) as partial:
            found = self.read(name)
            if (found.generation if found else None) != generation:
                raise _changed(f"{path}")
            partial.replace(path)

    def folders(self) -> Iterator[str]:
        """See Storage."""
        if self.folder.is_dir():
            yield from sorted(path.name for path in self.folder.iterdir() if path.is_dir())

    @contextmanager
    def _lock(self) -> Iterator[None]:
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / ".lock").open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield


class CloudStorage:
    """A bucket, or a prefix in it. Generations are the bucket's own."""

    def __init__(self, uri: str) -> None:
        bucket, _, prefix = uri.removeprefix("gs://").partition("/")
        self.uri = uri.rstrip("/")
        self.prefix = prefix.rstrip("/") + "/" if prefix.rstrip("/") else ""
        if not bucket:
            raise StepError(f"{uri} names no bucket; write gs://bucket or gs://bucket/prefix")
        with cloud_errors(uri):
            self.bucket = gcs.Client().bucket(bucket)

    def read(self, name: str) -> Stored | None:
        """See Storage."""
        blob = self.bucket.blob(self.prefix + name)
        with cloud_errors(f"{self.uri}/{name}"):
            try:
                data = blob.download_as_bytes(timeout=_RETRY_SECONDS)
            except NotFound:
                return None
        return Stored(data, int(blob.generation))

    def create(self, name: str, data: bytes) -> None:
        """See Storage."""
        try:
            self._upload(name, data, 0)
        except PreconditionFailed:
            found = self.read(name)
            _require_same(f"{self.uri}/{name}", found.data if found else b"", data)

    def replace(self, name: str, data: bytes, generation: int | str | None) -> None:
        """See Storage."""
        try:
            self._upload(name, data, int(generation or 0))
        except PreconditionFailed as error:
            found = self.read(name)
            # An upload that succeeded but whose answer was lost is retried by the client and then fails.
            if found is None or found.data != data:
                raise _changed(f"{self.uri}/{name}") from error

    def folders(self) -> Iterator[str]:
        """See Storage."""
        with cloud_errors(self.uri):
            listing = self.bucket.client.list_blobs(self.bucket, prefix=self.prefix, delimiter="/")
            list(listing)
            yield from sorted(prefix.removeprefix(self.prefix).rstrip("/") for prefix in listing.prefixes)

    def _upload(self, name: str, data: bytes, generation: int) -> None:
        with cloud_errors(f"{self.uri}/{name}"):
            self.bucket.blob(self.prefix + name).upload_from_string(
                data, if_generation_match=generation, checksum="crc32c", timeout=_RETRY_SECONDS
            )


@contextmanager
def _aside(path: Path, data: bytes) -> Iterator[Path]:
    """A complete and flushed copy of `data` beside `path`, gone afterwards."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=path.parent, prefix=".partial-", delete=False) as file:
            partial = Path(file.name)
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise StepError(f"{path} cannot be written: {error.strerror}") from error
    partial.chmod(0o644)
    try:
        yield partial
    finally:
        partial.unlink(missing_ok=True)


@contextmanager
def cloud_errors(where: str) -> Iterator[None]:
    """What the cloud's client raises as a StepError; a precondition that failed goes through, for it has a meaning."""
    try:
        yield
    except PreconditionFailed:
        raise
    except NotFound as error:
        raise StepError(f"{where}: the bucket does not exist; create it (infra/) or correct its name") from error
    except (GoogleAPIError, GoogleAuthError, OSError, ValueError) as error:
        raise StepError(f"{where} cannot be reached: {error}") from error


def _require_same(where: str, found: bytes, wanted: bytes) -> None:
    if found != wanted:
        raise ConflictError(f"{where} exists with other contents; a published file is never overwritten")


def _changed(where: str) -> ConflictError:
    return ConflictError(f"{where} was changed by somebody else meanwhile; look at it and try again")
