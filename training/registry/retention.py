"""Remove old releases and leftovers of interrupted uploads."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from serving.release import MANIFEST
from training.registry.registry import PRUNED, Entry, Pointer, Registry
from training.registry.storage import ConflictError, File

# Longest time from a publisher's first file to its last. An incomplete release is removed at this age. The mark of a
# removed release stays as long.
GRACE = timedelta(days=1)


@dataclass(frozen=True)
class Retention:
    """Releases that are kept although they were never in production."""

    keep: int
    """Number of the newest releases that are kept, production releases included."""
    days: int
    """Days after publication during which a release is kept."""


@dataclass(frozen=True)
class RetentionDecision:
    """Decision about one version."""

    version: str
    """The version."""
    goes: bool
    """Whether it is removed."""
    reason: str
    """Why, in words."""


def prune(registry: Registry, retention: Retention, dry_run: bool) -> Iterator[RetentionDecision]:
    """Decide about every version of a registry, and remove old ones unless it is a dry run.

    The order of reads makes a simultaneous promotion safe. A release that is held after its manifest was read is held
    in the listing that follows, and a release that is held later has another generation.

    Only plain files are removed, and only under names that the publisher or the manifest gives. A version with anything
    else in its folder stays.

    Raises:
        StepError: there is no registry.
    """
    registry.require()
    entries = registry.entries()
    pointer = registry.production() or Pointer("")
    newest = _newest(entries, retention.keep)
    for entry in entries:
        files = registry.storage.files(entry.version)
        if entry.version in pointer.promoted:
            yield RetentionDecision(entry.version, False, _in_production(entry, pointer))
        elif any(file.held for file in files):
            yield RetentionDecision(entry.version, False, "held: a promotion has begun")
        elif foreign := _foreign(registry, entry, files):
            yield RetentionDecision(entry.version, False, foreign)
        elif entry.version in newest:
            yield RetentionDecision(entry.version, False, f"among the newest {retention.keep}")
        elif files:
            yield _judge(registry, entry, files, retention, dry_run)


def _newest(entries: list[Entry], keep: int) -> set[str]:
    """Return the newest complete releases by the time in their manifests."""
    complete = [entry for entry in entries if entry.complete and entry.manifest]
    # A manifest is input: its time may be no text.
    made = sorted(complete, key=lambda entry: (f"{(entry.manifest or {}).get('created')}", entry.version), reverse=True)
    return {entry.version for entry in made[:keep]}


def _foreign(registry: Registry, entry: Entry, files: list[File]) -> str:
    """Return why it may be something else than a publisher's files, or ""."""
    if entry.problem:
        return f"{entry.problem}; look at it, and remove it by hand if it is useless"
    names = registry.own_files(entry)
    if not names:
        return "not made by `publish`: no manifest and no publisher's mark; remove it by hand if you know it"
    others = (file.name for file in files if not file.plain or file.name.partition("/")[2] not in names)
    other = next(others, None)
    return f"has {other!r}, which is no file of a release; move that away first" if other else ""


def _in_production(entry: Entry, pointer: Pointer) -> str:
    reason = "is in production" if entry.version == pointer.version else "was in production"
    return reason if entry.complete else f"{reason}, but its manifest is gone"


def _judge(
    registry: Registry, entry: Entry, files: list[File], retention: Retention, dry_run: bool
) -> RetentionDecision:
    """Decide by age, and remove."""
    manifest = f"{entry.version}/{MANIFEST}"
    rest = [file for file in files if file.name != manifest]
    age = datetime.now(UTC) - max(file.written for file in files)
    if entry.complete:
        goes, reason = age >= timedelta(days=retention.days), f"never in production, published {_spoken(age)} ago"
    elif entry.pruned:
        goes, reason = bool(rest) or age >= GRACE, f"its removal began {_spoken(age)} ago"
    else:
        goes, reason = age >= GRACE, f"incomplete, its last file written {_spoken(age)} ago"
    if not goes or dry_run:
        return RetentionDecision(entry.version, goes, reason)
    try:
        if not entry.pruned:
            registry.storage.replace(manifest, _mark(entry.version), entry.generation)
        for file in rest:
            registry.storage.delete(file.name, file.generation)
        if entry.pruned and entry.generation and age >= GRACE:
            registry.storage.delete(manifest, entry.generation)
            registry.forget(entry.version)
    except ConflictError as error:
        return RetentionDecision(entry.version, False, f"{error}")
    return RetentionDecision(entry.version, True, reason)


def _mark(version: str) -> bytes:
    """Return the file that replaces the manifest, so that the release is gone before its files are."""
    return json.dumps({"version": version, PRUNED: datetime.now(UTC).isoformat(timespec="seconds")}).encode() + b"\n"


def _spoken(age: timedelta) -> str:
    return f"{age.days} days" if age >= timedelta(days=2) else f"{age.total_seconds() / 3600:.0f} hours"
