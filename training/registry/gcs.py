"""Storage of a registry in Google Cloud Storage."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from google.api_core.exceptions import Forbidden, GoogleAPIError, NotFound, PreconditionFailed
from google.auth.exceptions import DefaultCredentialsError, GoogleAuthError
from google.cloud import storage as gcs
from google.cloud.storage.exceptions import DataCorruption
from google.cloud.storage.retry import DEFAULT_RETRY

from serving import addresses
from serving.addresses import Address
from training.errors import StepError
from training.registry.storage import File, Stored, changed, held, require_name, require_same

# seconds; a request on a connection without data for so long is retried
_SILENCE = 60
# seconds that a request may take, retries included
_PATIENCE = 120
# seconds, bound of the first pause before a retry; each next one is twice as long
_FIRST_PAUSE = 1.0
# bytes, a multiple of 256 KiB; a larger file is sent in parts, and only a failed part is sent again
_PART = 8 * 1024 * 1024
_ABSENT = "0"


class CloudStorage:
    """A bucket, or a prefix in it.

    A generation is Cloud Storage's generation and metageneration. A hold raises the metageneration. Therefore a
    replacement or deletion fails if the file was held meanwhile, with and without versioning of the bucket.
    """

    def __init__(self, address: Address) -> None:
        """Raise StepError if there are no credentials."""
        self.uri = f"{address}"
        self.prefix = f"{address.path}/" if address.path else ""
        self.bucket = client(self.uri).bucket(address.bucket)

    def read(self, name: str) -> Stored | None:
        """See Storage."""
        blob = self._blob(name)
        with cloud_errors(self._where(name)):
            try:
                # The library does not retry a request whose error response breaks off.
                data = _calls()["retry"](blob.download_as_bytes)(**_calls())
            except NotFound:
                return None
        return Stored(data, _generation(blob))

    def create(self, name: str, data: bytes) -> None:
        """See Storage."""
        with cloud_errors(self._where(name)):
            try:
                self._upload(name, data, _ABSENT)
            except (PreconditionFailed, Forbidden) as error:
                # Permissions to create but not to overwrite may be refused before the precondition.
                found = self.read(name)
                if found is None:
                    raise _refused(self._where(name), error) from error
                require_same(self._where(name), found.data, data)

    def replace(self, name: str, data: bytes, generation: str | None) -> None:
        """See Storage."""
        with cloud_errors(self._where(name)):
            try:
                self._upload(name, data, generation or _ABSENT)
            except PreconditionFailed as error:
                found = self.read(name)
                # The client retries an upload whose response was lost. The retry then fails.
                if found is None or found.data != data:
                    raise changed(self._where(name)) from error
            except Forbidden as error:
                raise self._kept(name, error) from error

    def hold(self, name: str, generation: str) -> None:
        """See Storage."""
        blob = self._blob(name)
        blob.temporary_hold = True
        # Without the metageneration: the first try, whose response was lost, has raised it.
        condition = {"if_generation_match": _conditions(generation)["if_generation_match"]}
        with cloud_errors(self._where(name)):
            try:
                blob.patch(**condition, **_calls())
            except (NotFound, PreconditionFailed) as error:
                raise changed(self._where(name)) from error

    def delete(self, name: str, generation: str) -> None:
        """See Storage."""
        with cloud_errors(self._where(name)):
            try:
                self._blob(name).delete(**_conditions(generation), **_calls())
            except NotFound:
                return
            except PreconditionFailed as error:
                raise changed(self._where(name)) from error
            except Forbidden as error:
                raise self._kept(name, error) from error

    def folders(self) -> Iterator[str]:
        """See Storage."""
        with cloud_errors(self.uri):
            listing = self.bucket.list_blobs(prefix=self.prefix, delimiter="/", **_calls())
            list(listing)
            yield from sorted(prefix.removeprefix(self.prefix).rstrip("/") for prefix in listing.prefixes)

    def files(self, folder: str = "") -> list[File]:
        """See Storage."""
        prefix = f"{self.prefix}{folder}/" if folder else self.prefix
        with cloud_errors(f"{self.uri}/{folder}".rstrip("/")):
            return [self._file(blob, prefix) for blob in self.bucket.list_blobs(prefix=prefix, **_calls())]

    def first_name(self) -> str | None:
        """See Storage."""
        with cloud_errors(self.uri):
            found = next(iter(self.bucket.list_blobs(prefix=self.prefix, max_results=1, **_calls())), None)
        return None if found is None else found.name.removeprefix(self.prefix)

    def _blob(self, name: str) -> Any:
        require_name(name)
        return self.bucket.blob(self.prefix + name)

    def _where(self, name: str) -> str:
        return f"{self.uri}/{name}"

    def _file(self, blob: Any, folder: str) -> File:
        inner = blob.name.removeprefix(folder)
        plain = bool(inner) and "/" not in inner
        return File(blob.name.removeprefix(self.prefix), _generation(blob), blob.time_created, _is_held(blob), plain)

    def _upload(self, name: str, data: bytes, generation: str) -> None:
        blob = self.bucket.blob(self.prefix + name, chunk_size=_PART)
        blob.upload_from_string(data, checksum="crc32c", **_conditions(generation), **_calls())

    def _kept(self, name: str, error: Forbidden) -> StepError:
        """Return why a file cannot be removed: it is held, or the permission is missing."""
        blob = self.bucket.get_blob(self.prefix + name, **_calls())
        is_held = blob is not None and _is_held(blob)
        return held(self._where(name)) if is_held else _refused(self._where(name), error)


def _calls() -> dict[str, Any]:
    """Return the options of every request. Each write has a precondition, so that retries are safe."""
    retry = DEFAULT_RETRY.with_delay(initial=_FIRST_PAUSE).with_timeout(_PATIENCE)
    return {"timeout": _SILENCE, "retry": retry}


def _generation(blob: Any) -> str:
    return f"{blob.generation}/{blob.metageneration}" if blob.metageneration else f"{blob.generation}"


def _is_held(blob: Any) -> bool:
    return bool(blob.temporary_hold or blob.event_based_hold)


def _conditions(generation: str) -> dict[str, int]:
    of_contents, _, of_metadata = generation.partition("/")
    conditions = {"if_generation_match": int(of_contents)}
    return {**conditions, "if_metageneration_match": int(of_metadata)} if of_metadata else conditions


def client(where: str) -> gcs.Client:
    """Return a client of Cloud Storage, or of the emulator that STORAGE_EMULATOR_HOST names.

    Args:
        where: address to be opened, for messages.

    Raises:
        StepError: there are no credentials, or STORAGE_EMULATOR_HOST is no URL.
    """
    with cloud_errors(where):
        if emulator := addresses.emulator(os.environ):
            # The library needs the scheme, other clients of the same variable do not.
            os.environ["STORAGE_EMULATOR_HOST"] = emulator
        else:
            os.environ.pop("STORAGE_EMULATOR_HOST", None)
        return gcs.Client()


@contextmanager
def cloud_errors(where: str) -> Iterator[None]:
    """Raise the errors of Google's client as a StepError that names `where`."""
    try:
        yield
    except NotFound as error:
        raise StepError(f"{where}: the bucket does not exist; create it (infra/) or correct its name") from error
    except Forbidden as error:
        raise _refused(where, error) from error
    except (GoogleAPIError, GoogleAuthError, DataCorruption, OSError, ValueError) as error:
        raise StepError(f"{where} cannot be reached: {told(error)}") from error


def told(error: Exception) -> str:
    """Return the message of Google's client, with the remedy for missing credentials."""
    message = getattr(error, "message", "") or str(error)
    if isinstance(error, DefaultCredentialsError):
        return f"{message.split('. ')[0].rstrip('.')}; `gcloud auth application-default login` makes credentials"
    return message


def _refused(where: str, error: GoogleAPIError) -> StepError:
    return StepError(f"{where}: Cloud Storage denies access, see the account's roles in infra/: {error}")
