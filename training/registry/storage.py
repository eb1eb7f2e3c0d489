"""Storage of a registry: a local folder or a bucket, with the same guarantees."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from training.errors import StepError


class ConflictError(StepError):
    """Another writer was first. Nothing was changed."""


@dataclass(frozen=True)
class Stored:
    """Contents of a file and the generation that was read."""

    data: bytes
    """The bytes."""
    generation: str
    """Identifier of these contents in this storage."""


@dataclass(frozen=True)
class File:
    """An entry of a listing."""

    name: str
    """Path in the storage, with slashes."""
    generation: str
    """Identifier of its contents, "" for an entry that is not plain."""
    written: datetime
    """Time of the last write, UTC."""
    held: bool
    """Whether it can be neither replaced nor deleted."""
    plain: bool = True
    """Whether it is a regular file directly in the listed folder, as every file of a release is. A link is not."""


class Storage(Protocol):
    """Small files under names with slashes. A file exists whole or not at all, even if its writer is killed."""

    def read(self, name: str) -> Stored | None:
        """Return the file, or None."""

    def create(self, name: str, data: bytes) -> None:
        """Write a new file.

        Raises:
            ConflictError: it exists with other contents. The same contents are no conflict.
        """

    def replace(self, name: str, data: bytes, generation: str | None) -> None:
        """Write a file if it still has `generation`, or is still absent for None.

        Raises:
            ConflictError: it has changed since, or is held.
        """

    def hold(self, name: str, generation: str) -> None:
        """Protect a file of that generation from replacement and deletion. A held file stays as it is.

        Raises:
            ConflictError: its contents have changed since, or it is gone.
        """

    def delete(self, name: str, generation: str) -> None:
        """Delete a file if it still has `generation`. A missing file is no conflict.

        Raises:
            ConflictError: it has changed since, or is held.
        """

    def folders(self) -> Iterator[str]:
        """Yield the names of the folders at the top that are not empty, sorted."""

    def files(self, folder: str = "") -> list[File]:
        """Return every file below a folder at the top, or below the top itself, sorted by name."""

    def first_name(self) -> str | None:
        """Return a name at the top that the storage did not make for itself, or None."""


def every_file(storage: Storage, where: str, folder: str = "") -> dict[str, Stored]:
    """Read every file of a release once, by its name in the release's folder.

    Args:
        storage: that has the release.
        where: address of the release, for messages.
        folder: of the release in the storage, "" for the top.

    Raises:
        StepError: the folder has a link, a folder or another entry that no release has, or a file cannot be read.
    """
    prefix = f"{folder}/" if folder else ""
    listed = storage.files(folder)
    if odd := [file.name for file in listed if not file.plain]:
        raise StepError(
            f"{where} has {odd[0].removeprefix(prefix)!r}: a release has plain files only, without folders and links; "
            "move that away"
        )
    found = {file.name.removeprefix(prefix): storage.read(file.name) for file in listed}
    return {name: stored for name, stored in found.items() if stored}


def require_name(name: str) -> None:
    """Raise StepError for a name that leads out of the registry."""
    if any(part in ("", ".", "..") or "\0" in part for part in name.split("/")):
        raise StepError(f"{name!r} is no name of a file in a registry")


def require_same(where: str, found: bytes, wanted: bytes) -> None:
    """Raise ConflictError if a published file would change."""
    if found != wanted:
        raise ConflictError(f"{where} exists with other contents; a published file is never overwritten")


def changed(where: str) -> ConflictError:
    """Return the error of a writer that was too late."""
    return ConflictError(f"{where} was changed by another process meanwhile; look at it and try again")


def held(where: str) -> ConflictError:
    """Return the error of an attempt to remove a held file."""
    return ConflictError(f"{where} is held: every file of a release that is or was in production stays")
