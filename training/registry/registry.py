"""Registry of releases: versions that never change, and one pointer, `production`, that does."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, replace
from typing import Any

from serving.release import IDENTIFIER, MANIFEST, identifier, parse_json, parse_manifest
from training.errors import StepError
from training.registry import releases
from training.registry.addresses import open_storage, parse
from training.registry.releases import StoredRelease
from training.registry.signatures import PLAIN
from training.registry.signing import Trust
from training.registry.storage import ConflictError, Storage

POINTER = "production"
# Member that replaces the manifest of a release while `prune` removes it. It stays for a day: until then, a publisher
# that is still running could complete the half-removed release.
PRUNED = "pruned"
# Written with the first release or refusal. Nothing is written or removed in a place without it.
REGISTRY = ".registry"
# Written before a release's first file. It identifies the leftovers of a killed publisher.
PUBLICATIONS = ".publications"
# Verdicts of the gate on states that may not be published, by their digest. Nothing removes them.
REFUSALS = ".refusals"
# Attestations of images, by digest and build. `deploy` writes them, and nothing removes them.
IMAGES = ".images"
# Files of a release. Its publisher and its manifest may name others.
MODEL_FILE = "model.tflite"
REPORT_FILE = "report.html"
RELEASE_FILES = (
    "card.md",
    "comparison.json",
    "gate.json",
    MANIFEST,
    "metrics.json",
    "model.sig",
    MODEL_FILE,
    "provenance.json",
    REPORT_FILE,
    "sbom.json",
    "weights.npz",
)


@dataclass(frozen=True)
class Pointer:
    """The version in production, and those before it."""

    version: str
    """Version in production."""
    history: tuple[str, ...] = ()
    """Earlier versions that a rollback can return to, the latest last."""
    withdrawn: tuple[str, ...] = ()
    """Versions that were rolled back since, in that order."""

    @property
    def promoted(self) -> tuple[str, ...]:
        """Every version that is or was in production, once."""
        return tuple(dict.fromkeys((*self.history, self.version, *self.withdrawn)))


@dataclass(frozen=True)
class Entry:
    """A version's folder in the registry, in any state."""

    version: str
    """Name of the folder."""
    manifest: dict[str, Any] | None
    """Its manifest, None if there is none of this version."""
    generation: str | None
    """Generation of the manifest file, None without one."""
    problem: str = ""
    """Why the file is no manifest of this version, "" if it is."""

    @property
    def pruned(self) -> bool:
        """Whether `prune` is removing it."""
        return self.manifest is not None and PRUNED in self.manifest

    @property
    def complete(self) -> bool:
        """Whether it is a whole release."""
        return self.manifest is not None and not self.pruned


class Registry:
    """The releases in a folder or under gs://bucket/prefix."""

    def __init__(self, uri: str) -> None:
        """Raise StepError if `uri` is no address or the bucket cannot be reached."""
        self.uri = f"{parse(uri)}"
        self.storage: Storage = open_storage(uri)

    def publish(self, version: str, files: dict[str, bytes]) -> str:
        """Write a release and return its address.

        The manifest is the last file. A release without it is incomplete, and publishing it again completes it.

        Raises:
            StepError: the version, the name or a file's name is invalid, or the place has something else than a
                registry in it.
            ConflictError: the version exists with other contents, or is being removed.
        """
        require_version(version)
        manifest = _parsed(files[MANIFEST])
        if (stated := manifest.get("version")) != version:
            raise StepError(f"the release to be published as {version} states the version {stated!r}")
        _require_names(manifest, files)
        # The second check is for another publisher that has begun the registry since the first.
        if not self.exists() and (other := self.storage.first_name()) and not self.exists():
            raise StepError(
                f"{self.uri} is no registry: it has {other!r} and no release; name an empty folder or "
                f"prefix, such as {self.uri}/releases"
            )
        entry = self.entry(version)
        if entry.pruned:
            raise ConflictError(f"{self.uri}/{version} is being removed by prune; publish it under another version")
        if entry.problem:
            raise ConflictError(f"{self.uri}/{version} is taken: {entry.problem}; publish under another version")
        self.begin(version, files)
        # A conflict of the manifest comes before files are added to another release.
        if entry.complete:
            self.storage.create(f"{version}/{MANIFEST}", files[MANIFEST])
        for name in sorted(files, key=lambda name: name == MANIFEST):
            self.storage.create(f"{version}/{name}", files[name])
        return self.address(version)

    def begin(self, version: str, files: Iterable[str]) -> None:
        """Mark the place as a registry and announce a version's files, before the first of them is written."""
        self._mark()
        if self.storage.read(f"{PUBLICATIONS}/{version}") is None:
            named = {"version": version, "files": sorted(files)}
            try:
                self.storage.create(f"{PUBLICATIONS}/{version}", json.dumps(named).encode() + b"\n")
            except ConflictError:
                # Another publisher of this version was faster. The files decide which of the two succeeds.
                return

    def exists(self) -> bool:
        """Return whether there is a registry: by its mark, or by a pointer or release if it is older than marks."""
        if self.storage.read(REGISTRY) is not None:
            return True
        return self.production() is not None or any(entry.manifest for entry in self.entries())

    def require(self) -> None:
        """Raise StepError if there is no registry."""
        if self.exists():
            return
        found = self.storage.first_name()
        below = [name for name in self.storage.folders() if self.storage.read(f"{name}/{POINTER}")]
        remedy = f"is it {self.uri}/{below[0]}?" if below else "correct the address, or publish the first release there"
        there = f"has {found!r}" if found else "is empty or absent"
        raise StepError(f"{self.uri} is no registry: it {there}; {remedy}")

    def own_files(self, entry: Entry) -> frozenset[str]:
        """Return the names of files that a version may have, none if there is no sign of a publisher."""
        stored = self.storage.read(f"{PUBLICATIONS}/{entry.version}")
        if stored is None and entry.manifest is None:
            return frozenset()
        begun = _parsed(stored.data) if stored else {}
        named = [_part(entry.manifest or {}, part).get("file") for part in ("model", "weights")]
        return frozenset((*RELEASE_FILES, *_strings(named), *_strings(begun.get("files"))))

    def forget(self, version: str) -> None:
        """Remove the announcement of a version whose files are gone."""
        stored = self.storage.read(f"{PUBLICATIONS}/{version}")
        if stored is not None:
            self.storage.delete(f"{PUBLICATIONS}/{version}", stored.generation)

    def made_from(self, state: str) -> dict[str, Any] | None:
        """Return the manifest of the newest release that was made from the state with this digest, None without one."""
        same = [each for each in self.releases() if _part(each, "provenance").get("made_from") == state]
        return max(same, key=lambda each: str(each.get("created")), default=None)

    def refuse(self, made_from: str, reason: str) -> None:
        """Record that the gate refused what was made from the state with this digest. The first record stays."""
        if not self.refusal(made_from):
            # The first training of a project may be refused.
            self._mark()
            self.storage.create(f"{REFUSALS}/{made_from}", json.dumps({"reason": reason}).encode() + b"\n")

    def refusal(self, made_from: str) -> str:
        """Return why the gate refused what was made from the state with this digest, "" if it did not."""
        stored = self.storage.read(f"{REFUSALS}/{made_from}")
        return str(_parsed(stored.data).get("reason", "")) if stored else ""

    def address(self, version: str) -> str:
        """Return the address of a release of that version, whether it exists or not."""
        return f"{self.uri}/{version}"

    def entries(self) -> list[Entry]:
        """Return every version: releases, leftovers of killed publishers, and those that are being removed."""
        return [self.entry(version) for version in self.storage.folders() if re.fullmatch(IDENTIFIER, version)]

    def releases(self) -> list[dict[str, Any]]:
        """Return the manifests of all complete releases, sorted by version."""
        return [entry.manifest for entry in self.entries() if entry.complete and entry.manifest]

    def read(self, version: str, trust: Trust | None = None) -> StoredRelease:
        """Read every file of one release once and verify it.

        Args:
            version: of the release.
            trust: whose signature is required, None for nobody's.

        Raises:
            StepError: there is no such release, a digest or the signature does not match, or it has files that no
                release has.
        """
        self._require_release(version)
        found = releases.read_from(self.storage, self.address(version), version, trust)
        if found.version != version:
            raise StepError(f"{self.address(version)} has the release {found.version}; publish another version")
        return found

    def production(self) -> Pointer | None:
        """Return the pointer, or None before the first promotion.

        Raises:
            StepError: the file is no pointer.
        """
        return self._pointer()[0]

    def in_production(self) -> str:
        """Return the version in production.

        Raises:
            StepError: there is no registry, or no version is in production yet.
        """
        self.require()
        pointer = self.production()
        if pointer is None:
            raise StepError(f"{self.uri} has no release in production yet; `promote` one, or name one by --release")
        return pointer.version

    def promote(self, version: str, trust: Trust | None = None) -> Pointer:
        """Verify a release, hold its files and point `production` at it.

        Raises:
            StepError: as `read`.
            ConflictError: another process moved the pointer, or removed the release, meanwhile.
        """
        self._hold(self.read(version, trust))
        current, generation = self._pointer()
        if current and current.version == version:
            return current
        history = (*current.history, current.version) if current else ()
        return self._move(current, Pointer(version, history), generation)

    def rollback(self, version: str = "", trust: Trust | None = None) -> Pointer:
        """Verify an earlier release, the previous or a named one, and point `production` at it.

        Raises:
            StepError: there is no earlier release, the named one was never in production, or as `read`.
            ConflictError: another process moved the pointer meanwhile.
        """
        self.require()
        current, generation = self._pointer()
        current, version = self._before(current, version)
        self._hold(self.read(version, trust))
        place = len(current.history) - 1 - current.history[::-1].index(version)
        return self._move(current, Pointer(version, current.history[:place]), generation)

    def earlier(self, version: str = "") -> str:
        """Return the version that a rollback would return to.

        Raises:
            StepError: there is no earlier release, or the named one was never in production.
        """
        return self._before(self.production(), version)[1]

    def _mark(self) -> None:
        """Mark the place as a registry."""
        if self.storage.read(REGISTRY) is None:
            self.storage.create(REGISTRY, b'{"format": 1}\n')

    def _before(self, current: Pointer | None, version: str) -> tuple[Pointer, str]:
        if current is None or not current.history:
            raise StepError(f"{self.uri} has no earlier production release to roll back to")
        version = version or current.history[-1]
        if version not in current.history:
            earlier = ", ".join(current.history)
            raise StepError(f"{self.uri} had no release {version} in production before; it had {earlier}")
        return current, version

    def entry(self, version: str) -> Entry:
        """Return one version, in any state."""
        stored = self.storage.read(f"{version}/{MANIFEST}")
        if stored is None:
            return Entry(version, None, None)
        if version == POINTER:
            return Entry(version, None, stored.generation, "its name is that of the pointer")
        manifest = _parsed(stored.data, parse_manifest)
        if manifest.get("version") == version:
            return Entry(version, manifest, stored.generation)
        found = f"is that of {manifest['version']!r}" if "version" in manifest else "is garbled"
        return Entry(version, None, stored.generation, f"its {MANIFEST} {found}")

    def _require_release(self, version: str) -> None:
        """Raise StepError unless there is a complete release of that version."""
        require_version(version)
        self.require()
        entry = self.entry(version)
        if not entry.complete:
            versions = ", ".join(manifest["version"] for manifest in self.releases()) or "none"
            if entry.problem:
                raise StepError(f"{self.uri}/{version} is no release: {entry.problem}; {self.uri} has {versions}")
            raise StepError(f"{self.uri} has no release {version}; it has {versions}")

    def _hold(self, found: StoredRelease) -> None:
        """Hold the files as they were read. The manifest is first: from then on, `prune` does not begin to remove."""
        names = self.own_files(self.entry(found.version)) & found.generations.keys()
        for name in sorted(names, key=lambda name: name != MANIFEST):
            self.storage.hold(f"{found.version}/{name}", found.generations[name])

    def _pointer(self) -> tuple[Pointer | None, str | None]:
        stored = self.storage.read(POINTER)
        if stored is None:
            if POINTER in self.storage.folders():
                raise StepError(f"{self.uri}/{POINTER} is a folder, but the pointer is a file of that name; rename it")
            return None, None
        record = _parsed(stored.data)
        # Pointers of the first format have no withdrawn versions.
        lists = [record.get("history", []), record.get("withdrawn", [])]
        named = [record.get("version"), *(version for each in lists if isinstance(each, list) for version in each)]
        if not all(isinstance(each, list) for each in lists) or not all(map(_is_version, named)):
            raise StepError(
                f"{self.uri}/{POINTER} is no pointer of a registry: it must name versions, each member once; "
                "restore it, nothing is changed there"
            )
        return Pointer(named[0], tuple(lists[0]), tuple(lists[1])), stored.generation

    def _move(self, current: Pointer | None, to: Pointer, generation: str | None) -> Pointer:
        ever = (*current.withdrawn, *current.history, current.version) if current else ()
        gone = dict.fromkeys(version for version in ever if version not in (*to.history, to.version))
        pointer = replace(to, withdrawn=tuple(gone))
        self.storage.replace(POINTER, json.dumps(asdict(pointer), indent=1).encode() + b"\n", generation)
        return pointer


def require_version(version: str) -> None:
    """Raise StepError for a text that is no version of a release."""
    if not _is_version(version):
        raise StepError(
            f"{version!r} is no version of a release: use 1 to 63 small letters, digits, dots, hyphens and "
            f"underscores, a letter or digit first and last, and not {POINTER!r}"
        )


def _is_version(version: object) -> bool:
    return isinstance(version, str) and version != POINTER and bool(re.fullmatch(IDENTIFIER, version))


def _require_names(manifest: dict[str, Any], files: Iterable[str]) -> None:
    """Raise StepError for a release with an invalid name, or with files in folders."""
    try:
        if "name" in manifest:
            identifier(manifest, "name")
    except ValueError as error:
        raise StepError(f"the release has {error}; convert it again") from error
    if odd := [name for name in files if not PLAIN.fullmatch(name)]:
        raise StepError(f"{odd[0]!r} is no name of a file of a release; move it away")


def _parsed(data: bytes, parse: Callable[[bytes], Any] = parse_json) -> dict[str, Any]:
    """Return a JSON object, an empty one for other contents."""
    try:
        found = parse(data)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _part(manifest: dict[str, Any], name: str) -> dict[str, Any]:
    found = manifest.get(name)
    return found if isinstance(found, dict) else {}


def _strings(found: object) -> tuple[str, ...]:
    return tuple(each for each in found if isinstance(each, str)) if isinstance(found, list) else ()
