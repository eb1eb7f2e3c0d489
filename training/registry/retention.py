"""Which releases of a registry are kept, and the removal of the others."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from serving.release import MANIFEST
from training.registry.registry import PRUNED, Entry, Pointer, Registry
from training.registry.storage import ConflictError, File

# What a publisher left goes when nothing was added to it for so long, and so long stays the mark of what was removed:
# no publisher takes longer from its first file to its last.
GRACE = timedelta(days=1)


@dataclass(frozen=True)
class Retention:
    """Releases that were never in production stay while they are among the newest, or young."""

    # releases, those that were in production counted in
    keep: int
    # days since it was published
    days: int


@dataclass(frozen=True)
class RetentionDecision:
    """What becomes of one version."""

    version: str
    goes: bool
    reason: str


def prune(registry: Registry, retention: Retention, dry_run: bool) -> Iterator[RetentionDecision]:
    """Judge every version of a registry, and remove those that go unless it is a dry run.

    The order of reading is what makes a promotion at the same time safe: a release that is held after its manifest was
    read is seen in the listing that follows, and one that is held later has another generation.

    Only plain files are removed, by names that the release's publisher or its manifest gives. A version that holds
    anything else stays as it is.

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
    """The last complete releases by the time in their manifests."""
    complete = [entry for entry in entries if entry.complete and entry.manifest]
    made = sorted(complete, key=lambda entry: ((entry.manifest or {}).get("created", ""), entry.version), reverse=True)
    return {entry.version for entry in made[:keep]}


def _foreign(registry: Registry, entry: Entry, files: list[File]) -> str:
    """Why it is not known to be a publisher's, file by file, or ""."""
    if entry.problem:
        return f"{entry.problem}; look at it, and remove it by hand if it is none of yours"
    names = registry.own_files(entry)
    if not names:
        return "no publisher's: it has neither a manifest nor a publisher's mark; remove it by hand if you know it"
    others = (file.name for file in files if not file.plain or file.name.partition("/")[2] not in names)
    other = next(others, None)
    return f"holds {other!r}, which is no file of a release; move that away first" if other else ""


def _in_production(entry: Entry, pointer: Pointer) -> str:
    reason = "is in production" if entry.version == pointer.version else "was in production"
    return reason if entry.complete else f"{reason}, but its manifest is gone"


def _judge(
    registry: Registry, entry: Entry, files: list[File], retention: Retention, dry_run: bool
) -> RetentionDecision:
    """Look at the age of what nothing else keeps."""
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
    """What takes the manifest's place first, so that there is no release any more before its files go."""
    return json.dumps({"version": version, PRUNED: datetime.now(UTC).isoformat(timespec="seconds")}).encode() + b"\n"


def _spoken(age: timedelta) -> str:
    return f"{age.days} days" if age >= timedelta(days=2) else f"{age.total_seconds() / 3600:.0f} hours"
