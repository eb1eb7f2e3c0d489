"""Where a registry lies: a local folder or a bucket, with the same promises."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from training.errors import StepError


class ConflictError(StepError):
    """Somebody else wrote first; nothing was changed."""


@dataclass(frozen=True)
class Stored:
    """Bytes, and the generation they had when they were read."""

    data: bytes
    generation: str


@dataclass(frozen=True)
class File:
    """A file as a listing shows it."""

    name: str
    generation: str
    # UTC
    written: datetime
    # it can be neither replaced nor deleted
    held: bool
    # a regular file directly in its folder; a link, or what lies in a folder below, is no file of a release
    plain: bool = True


class Storage(Protocol):
    """Small files under names with slashes. A file exists whole or not at all, whenever its writer is killed."""

    def read(self, name: str) -> Stored | None:
        """The file, or None."""

    def create(self, name: str, data: bytes) -> None:
        """Write a new file.

        Raises:
            ConflictError: it exists with other contents. Writing the same again is no conflict.
        """

    def replace(self, name: str, data: bytes, generation: str | None) -> None:
        """Write a file if it still has `generation` (None: is still absent).

        Raises:
            ConflictError: it has changed since, or is held.
        """

    def hold(self, name: str, generation: str) -> None:
        """Keep a file of that generation from being replaced or deleted; a second time changes nothing.

        Raises:
            ConflictError: its contents have changed since, or it is gone.
        """

    def delete(self, name: str, generation: str) -> None:
        """Delete a file if it still has `generation`; one that is gone already is no conflict.

        Raises:
            ConflictError: it has changed since, or is held.
        """

    def folders(self) -> Iterator[str]:
        """Names at the top that have files under them, in order."""

    def files(self, folder: str) -> list[File]:
        """All files under one of them, by name."""

    def first_name(self) -> str | None:
        """A name at the top that the storage did not make for itself, or None where there is none."""


def require_name(name: str) -> None:
    """Raises StepError for a name that leads out of the registry."""
    if any(part in ("", ".", "..") or "\0" in part for part in name.split("/")):
        raise StepError(f"{name!r} is no name of a file in a registry")


def require_same(where: str, found: bytes, wanted: bytes) -> None:
    """Raises ConflictError where a published file would become another one."""
    if found != wanted:
        raise ConflictError(f"{where} exists with other contents; a published file is never overwritten")


def changed(where: str) -> ConflictError:
    """The error of who comes too late."""
    return ConflictError(f"{where} was changed by somebody else meanwhile; look at it and try again")


def held(where: str) -> ConflictError:
    """The error of who would remove what is to stay."""
    return ConflictError(f"{where} is held, as every file of a release that is or was in production; it stays")
