"""Read the files of a release: from a folder, or from Cloud Storage with retries and a cache."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import re
import stat
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from serving import addresses
from serving.addresses import Address, AddressError

if TYPE_CHECKING:
    from obstore.store import GCSStore

# Name of a file -> its bytes; raises StorageError.
Read = Callable[[str], bytes]

# Shares of the time for the whole fetch. A failed attempt is retried during the first half, after a pause of at most
# a tenth. An attempt without data for a quarter has failed. The last attempt therefore ends in time.
_RETRY, _PAUSE, _SILENCE = 0.5, 0.1, 0.25
# seconds, the first pause; each next one is twice as long, with jitter
_FIRST_PAUSE = 0.1
# seconds; another process removes the partial file of a killed one at this age
_ABANDONED = 3600
# Name of a partial file: the digest, tempfile's random part, our suffix. Other programs may use the same folder.
_PARTIAL = ".partial"
_PARTIAL_NAME = rf"[0-9a-f]{{64}}\.[a-z0-9_]{{8}}{re.escape(_PARTIAL)}"
# characters of the storage library's message that our message quotes
_QUOTED = 300
_CREDENTIALS = "GOOGLE_APPLICATION_CREDENTIALS"
_GCLOUD_FILE = "~/.config/gcloud/application_default_credentials.json"
# Types of credentials that the storage library reads.
_READABLE = ("service_account", "authorized_user")


class StorageError(Exception):
    """A file cannot be read. The message names the file, the reason and the remedy."""


def reader(address: Address, seconds: float) -> Read:
    """Return a function that reads the files of the release at `address`.

    Args:
        address: of the release.
        seconds: the longest that one file may take, retries included.

    Raises:
        StorageError: the address or the credentials cannot be used.
    """
    return _cloud_reader(address, seconds) if address.bucket else _folder_reader(Path(address.path))


def _folder_reader(folder: Path) -> Read:
    def read(name: str) -> bytes:
        try:
            return (folder / name).read_bytes()
        except OSError as error:
            raise StorageError(
                f"cannot read {folder / name}: {error.strerror}; MODEL_URI must name a release"
            ) from error

    return read


def _cloud_reader(address: Address, seconds: float) -> Read:
    # A local release needs no cloud library.
    from obstore.exceptions import BaseError

    try:
        emulator = addresses.emulator(os.environ)
        if not emulator:
            _require_credentials()
        store = _bucket(address, emulator, seconds)
    except (BaseError, AddressError) as error:
        raise StorageError(f"cannot reach {address}: {_reason(error)}; check its name and the credentials") from error

    def read(name: str) -> bytes:
        try:
            return bytes(store.get(name).bytes())
        except FileNotFoundError as error:
            raise StorageError(f"{address}/{name} does not exist; check MODEL_URI") from error
        except (BaseError, OSError) as error:
            raise StorageError(
                f"cannot read {address}/{name}: {_reason(error)}; check MODEL_URI and the read permission of the "
                "runtime's service account"
            ) from error

    return read


def _bucket(address: Address, emulator: str, seconds: float) -> GCSStore:
    from obstore.store import GCSStore

    options: dict[str, Any] = {"base_url": emulator, "skip_signature": True} if emulator else {}
    silence = timedelta(seconds=seconds * _SILENCE)
    return GCSStore(
        address.bucket,
        prefix=address.path,
        client_options={
            "timeout": timedelta(seconds=seconds),
            "read_timeout": silence,
            "connect_timeout": silence,
            "allow_http": bool(emulator),
        },
        # Retries cover 408, 429, 5xx, resets and silence. A body that broke off continues at the same byte.
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


def _require_credentials() -> None:
    """Refuse credentials that the storage library does not read, and treat an empty variable as unset.

    Raises:
        StorageError: the credentials are of another type, or their file is missing or damaged.
    """
    named = os.environ.get(_CREDENTIALS, "").strip()
    if not named:
        # The storage library would take "" for the name of a file.
        os.environ.pop(_CREDENTIALS, None)
    path = Path(named or os.path.expanduser(_GCLOUD_FILE))  # noqa: PTH111 - unlike Path.home, never an error
    try:
        found = json.loads(path.read_bytes())
        kind = found["type"]
    except OSError as error:
        if named:
            raise StorageError(f"{_CREDENTIALS} names {path}: {error.strerror}; correct it or unset it") from error
        # The runtime's own service account is used.
        return
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise StorageError(f"the credentials in {path} are no JSON file of Google Cloud; create them again") from error
    if kind not in _READABLE:
        raise StorageError(
            f"the credentials in {path} have the type {kind!r}, which the function cannot use; copy the release with "
            "`gcloud storage cp -r` and set MODEL_URI to the folder, or use a service account's key"
        )


def _reason(error: Exception) -> str:
    """Return the first line of a message. The storage library adds its whole state below it."""
    lines = str(error).splitlines()
    return lines[0][:_QUOTED].strip() if lines else type(error).__name__


class Cache(NamedTuple):
    """Files named by their SHA-256, in a folder that any number of processes may share and empty at any time."""

    folder: Path

    def get(self, sha256: str, fetch: Callable[[], bytes]) -> bytes:
        """Return the bytes with that digest from the cache, or fetch them. Only bytes with the digest are cached."""
        path = self.folder / sha256
        try:
            cached = path.read_bytes()
        except OSError:
            cached = b""
        if digest(cached) == sha256:
            return cached
        data = fetch()
        if digest(data) == sha256:
            self._add(path, data)
        return data

    def _add(self, path: Path, data: bytes) -> None:
        import tempfile

        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            self._remove_abandoned()
            descriptor, partial = tempfile.mkstemp(_PARTIAL, f"{path.name}.", self.folder)
            with os.fdopen(descriptor, "wb") as file:
                file.write(data)
            # Other processes see the whole file or none.
            Path(partial).replace(path)
        except OSError as error:
            logging.warning("cannot write the model into MODEL_CACHE %s: %s", self.folder, error.strerror)

    def _remove_abandoned(self) -> None:
        for path in self.folder.glob(f"*{_PARTIAL}"):
            if not re.fullmatch(_PARTIAL_NAME, path.name):
                continue
            try:
                status = path.lstat()
                if stat.S_ISREG(status.st_mode) and time.time() - status.st_mtime > _ABANDONED:
                    path.unlink()
            except FileNotFoundError:
                # Another process has removed it.
                continue


def digest(data: bytes) -> str:
    """Return the SHA-256 in hex."""
    return hashlib.sha256(data).hexdigest()
