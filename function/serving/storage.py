"""Where a release lies -> the bytes of its files: a folder, or cloud storage with retries and a cache."""

from __future__ import annotations

import hashlib
import logging
import os
import re
import stat
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from obstore.store import GCSStore

# The name of a file -> its bytes; raises StorageError.
Read = Callable[[str], bytes]

CLOUD = "gs://"
# Parts of the time that the whole fetch has: an attempt that fails in the first half of it is repeated, after a pause
# of a tenth at most; one that is silent for a quarter has failed. So the last one ends before the time is over.
_RETRY, _PAUSE, _SILENCE = 0.5, 0.1, 0.25
# seconds, the first pause; the next ones double, each with jitter
_FIRST_PAUSE = 0.1
# seconds; a file that a killed process left half written is this old before another one removes it
_ABANDONED = 3600
# such a file: the digest, what tempfile puts behind it, and our suffix; the folder may be shared with other programs
_PARTIAL = ".partial"
_PARTIAL_NAME = re.compile(rf"[0-9a-f]{{64}}\.[a-z0-9_]{{8}}{re.escape(_PARTIAL)}")
# characters of a storage's own words that a message repeats
_QUOTED = 300


class StorageError(Exception):
    """A file cannot be had; the message says which, why, and how to mend it."""


def reader(uri: str, seconds: float) -> Read:
    """How the files of the release at `uri` are read.

    Args:
        uri: a folder, or gs://bucket/path.
        seconds: what one file may take, retries included.

    Raises:
        StorageError: the address or the credentials cannot be used.
    """
    return _cloud_reader(uri, seconds) if uri.startswith(CLOUD) else _folder_reader(Path(uri))


def _folder_reader(folder: Path) -> Read:
    def read(name: str) -> bytes:
        try:
            return (folder / name).read_bytes()
        except OSError as error:
            raise StorageError(
                f"cannot read {folder / name}: {error.strerror}; MODEL_URI must name a release"
            ) from error

    return read


def _cloud_reader(uri: str, seconds: float) -> Read:
    # Imported here because a local release needs none of it.
    from obstore.exceptions import BaseError

    try:
        store = _bucket(uri, seconds)
    except (BaseError, ValueError) as error:
        raise StorageError(f"cannot reach {uri}: {_reason(error)}; check its name and the credentials") from error

    def read(name: str) -> bytes:
        try:
            return bytes(store.get(name).bytes())
        except FileNotFoundError as error:
            raise StorageError(f"cannot read {uri}/{name}: it is not there; check MODEL_URI") from error
        except (BaseError, OSError) as error:
            raise StorageError(
                f"cannot read {uri}/{name}: {_reason(error)}; check MODEL_URI and that the runtime may read it"
            ) from error

    return read


def _bucket(uri: str, seconds: float) -> GCSStore:
    from obstore.store import GCSStore

    bucket, _, prefix = uri.removeprefix(CLOUD).partition("/")
    emulator = os.environ.get("STORAGE_EMULATOR_HOST", "")
    options: dict[str, Any] = {"base_url": emulator, "skip_signature": True} if emulator else {}
    silence = timedelta(seconds=seconds * _SILENCE)
    return GCSStore(
        bucket,
        prefix=prefix,
        client_options={
            "timeout": timedelta(seconds=seconds),
            "read_timeout": silence,
            "connect_timeout": silence,
            "allow_http": bool(emulator),
        },
        # 408, 429, 5xx, resets and silence are tried again; a body that broke off is continued where it ended.
        retry_config={
            "max_retries": 100,
            "retry_timeout": timedelta(seconds=seconds * _RETRY),
            "backoff": {
                "init_backoff": timedelta(seconds=_FIRST_PAUSE),
                "max_backoff": timedelta(seconds=seconds * _PAUSE),
            },
        },
        **options,
    )


def _reason(error: Exception) -> str:
    """The first line of what the storage's library says, which adds its whole state below it."""
    lines = str(error).splitlines()
    return lines[0][:_QUOTED].strip() if lines else type(error).__name__


class Cache(NamedTuple):
    """Files by their SHA-256 in a folder that any number of processes may share, and lose at any time."""

    folder: Path

    def get(self, sha256: str, fetch: Callable[[], bytes]) -> bytes:
        """The bytes of that digest, kept or fetched; fetched ones are kept only if they have it."""
        path = self.folder / sha256
        try:
            kept = path.read_bytes()
        except OSError:
            kept = b""
        if digest(kept) == sha256:
            return kept
        data = fetch()
        if digest(data) == sha256:
            self._keep(path, data)
        return data

    def _keep(self, path: Path, data: bytes) -> None:
        import tempfile

        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            self._remove_abandoned()
            descriptor, partial = tempfile.mkstemp(_PARTIAL, f"{path.name}.", self.folder)
            with os.fdopen(descriptor, "wb") as file:
                file.write(data)
            # Nobody ever sees half a file under its final name.
            Path(partial).replace(path)
        except OSError as error:
            logging.warning("cannot keep the model in MODEL_CACHE %s: %s", self.folder, error.strerror)

    def _remove_abandoned(self) -> None:
        for path in self.folder.glob(f"*{_PARTIAL}"):
            if not _PARTIAL_NAME.fullmatch(path.name):
                continue
            try:
                status = path.lstat()
                if stat.S_ISREG(status.st_mode) and time.time() - status.st_mtime > _ABANDONED:
                    path.unlink()
            except FileNotFoundError:
                # Another process was quicker.
                continue


def digest(data: bytes) -> str:
    """Hex SHA-256."""
    return hashlib.sha256(data).hexdigest()
