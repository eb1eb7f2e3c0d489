"""A registry's storage in Google Cloud Storage."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from google.api_core.exceptions import Forbidden, GoogleAPIError, NotFound, PreconditionFailed
from google.auth.exceptions import DefaultCredentialsError, GoogleAuthError
from google.cloud import storage as gcs
from google.cloud.storage.exceptions import DataCorruption
from google.cloud.storage.retry import DEFAULT_RETRY

from serving.storage import CLOUD
from training.errors import StepError
from training.registry.storage import File, Stored, changed, held, require_name, require_same

# seconds; a connection that says nothing for so long is given up and the request repeated
_SILENCE = 60
# seconds; a request that fails after so long, its repetitions counted in, has failed
_PATIENCE = 120
# seconds, the bound of the first pause before a repetition; each next one is twice that
_FIRST_PAUSE = 1.0
# bytes; a larger file goes in parts, of which only the one that failed is sent again: a multiple of 256 KiB
_PART = 8 * 1024 * 1024
_ABSENT = "0"


class CloudStorage:
    """A bucket, or a prefix in it.

    A generation is Cloud Storage's own with the metageneration, which a hold raises: who replaces or deletes a file
    that was held meanwhile comes too late, whatever the bucket's versioning makes of holds.
    """

    def __init__(self, uri: str) -> None:
        bucket, _, prefix = uri.removeprefix(CLOUD).partition("/")
        self.uri = uri.rstrip("/")
        self.prefix = prefix.rstrip("/") + "/" if prefix.rstrip("/") else ""
        if not bucket:
            raise StepError(f"{uri} names no bucket; write gs://bucket or gs://bucket/prefix")
        with cloud_errors(uri):
            self.bucket = gcs.Client().bucket(bucket)

    def read(self, name: str) -> Stored | None:
        """See Storage."""
        blob = self._blob(name)
        with cloud_errors(self._where(name)):
            try:
                # The library itself does not repeat a request where the text of a refusal breaks off.
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
                # Who may create but not overwrite may be told so before the precondition is looked at.
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
                # An upload that succeeded but whose answer was lost is retried by the client and then fails.
                if found is None or found.data != data:
                    raise changed(self._where(name)) from error
            except Forbidden as error:
                raise self._kept(name, error) from error

    def hold(self, name: str, generation: str) -> None:
        """See Storage."""
        blob = self._blob(name)
        blob.temporary_hold = True
        # Without the metageneration: a repetition after a lost answer finds it raised by itself.
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

    def files(self, folder: str) -> list[File]:
        """See Storage."""
        with cloud_errors(f"{self.uri}/{folder}"):
            listing = self.bucket.list_blobs(prefix=f"{self.prefix}{folder}/", **_calls())
            return [self._file(blob) for blob in listing]

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

    def _file(self, blob: Any) -> File:
        kept = bool(blob.temporary_hold or blob.event_based_hold)
        name = blob.name.removeprefix(self.prefix)
        plain = name.count("/") <= 1 and not name.endswith("/")
        return File(name, _generation(blob), blob.time_created, kept, plain)

    def _upload(self, name: str, data: bytes, generation: str) -> None:
        blob = self.bucket.blob(self.prefix + name, chunk_size=_PART)
        blob.upload_from_string(data, checksum="crc32c", **_conditions(generation), **_calls())

    def _kept(self, name: str, error: Forbidden) -> StepError:
        """Why a file may not be removed: it is held, or the right is missing."""
        blob = self.bucket.get_blob(self.prefix + name, **_calls())
        is_held = blob is not None and self._file(blob).held
        return held(self._where(name)) if is_held else _refused(self._where(name), error)


def _calls() -> dict[str, Any]:
    """What every request takes; all of them may be repeated, since each write has a precondition."""
    retry = DEFAULT_RETRY.with_delay(initial=_FIRST_PAUSE).with_timeout(_PATIENCE)
    return {"timeout": _SILENCE, "retry": retry}


def _generation(blob: Any) -> str:
    return f"{blob.generation}/{blob.metageneration}" if blob.metageneration else f"{blob.generation}"


def _conditions(generation: str) -> dict[str, int]:
    of_contents, _, of_metadata = generation.partition("/")
    conditions = {"if_generation_match": int(of_contents)}
    return {**conditions, "if_metageneration_match": int(of_metadata)} if of_metadata else conditions


@contextmanager
def cloud_errors(where: str) -> Iterator[None]:
    """What the cloud's client raises, as a StepError that names `where`."""
    try:
        yield
    except NotFound as error:
        raise StepError(f"{where}: the bucket does not exist; create it (infra/) or correct its name") from error
    except Forbidden as error:
        raise _refused(where, error) from error
    except (GoogleAPIError, GoogleAuthError, DataCorruption, OSError, ValueError) as error:
        raise StepError(f"{where} cannot be reached: {told(error)}") from error


def told(error: Exception) -> str:
    """What Google's client says, with the cure where it has no credentials."""
    message = getattr(error, "message", "") or str(error)
    if isinstance(error, DefaultCredentialsError):
        return f"{message.split('. ')[0].rstrip('.')}; `gcloud auth application-default login` makes credentials"
    return message


def _refused(where: str, error: GoogleAPIError) -> StepError:
    return StepError(f"{where}: Cloud Storage refuses it, see the rights of the account in infra/: {error}")
