"""A registry of releases: versions that never change, and one pointer, `production`, that does."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from serving.release import IDENTIFIER, MANIFEST, parse_manifest
from training.errors import StepError
from training.registry.addresses import open_storage
from training.registry.storage import ConflictError, Storage

POINTER = "production"
# In the place of a manifest: a release that is being removed. It stays for a while, so that a publisher that was
# under way does not complete what is half removed.
PRUNED = "pruned"
# Written with a registry's first release: a place without it is none, and nothing is written or removed there.
REGISTRY = ".registry"
# Written before a release's first file: what a killed publisher left is known by it.
PUBLICATIONS = ".publications"
# Beside these, a release may have files that its publisher or its manifest names.
RELEASE_FILES = (
    "card.md",
    "comparison.json",
    "gate.json",
    MANIFEST,
    "metrics.json",
    "model.sig",
    "model.tflite",
    "report.html",
    "weights.npz",
)


@dataclass(frozen=True)
class Pointer:
    """Which version is in production, which it can be rolled back to, and which ever were in production."""

    version: str
    # the latest last
    history: tuple[str, ...] = ()
    # rolled back since, in the order in which it happened
    withdrawn: tuple[str, ...] = ()

    @property
    def promoted(self) -> tuple[str, ...]:
        """All that ever were in production, each once."""
        return tuple(dict.fromkeys((*self.history, self.version, *self.withdrawn)))


@dataclass(frozen=True)
class Entry:
    """A version's folder in the registry, whatever its state."""

    version: str
    # None: its publisher has not come to its end, or what lies there is no manifest of this version
    manifest: dict[str, Any] | None
    # of the file, None without one
    generation: str | None
    # why the file is no manifest of this version, or ""
    problem: str = ""

    @property
    def pruned(self) -> bool:
        """Whether it is being removed."""
        return self.manifest is not None and PRUNED in self.manifest

    @property
    def complete(self) -> bool:
        """Whether it is a release."""
        return self.manifest is not None and not self.pruned


class Registry:
    """The releases in a folder or under gs://bucket/prefix."""

    def __init__(self, uri: str) -> None:
        """Raises StepError where the bucket cannot be reached."""
        self.uri = uri.rstrip("/")
        self.storage: Storage = open_storage(uri)

    def publish(self, version: str, files: dict[str, bytes]) -> str:
        """Write a release and return its address.

        The manifest comes last: a release without it is not there yet, and publishing again completes it.

        Raises:
            StepError: the version is no name of a release, or the place holds something else than a registry.
            ConflictError: the version exists with other contents, or is being removed.
        """
        require_version(version)
        if (stated := _parsed(files[MANIFEST]).get("version")) != version:
            raise StepError(f"the release to be published as {version} says that it is {stated!r}")
        # Asked again, since another publisher may have begun the registry between the two questions.
        if not self.exists() and (other := self.storage.first_name()) and not self.exists():
            raise StepError(
                f"{self.uri} is no registry: it holds {other!r} and no release; name an empty folder or "
                f"prefix, such as {self.uri}/releases"
            )
        entry = self._entry(version)
        if entry.pruned:
            raise ConflictError(f"{self.uri}/{version} is being removed by prune; publish it under another version")
        if entry.problem:
            raise ConflictError(f"{self.uri}/{version} is taken: {entry.problem}; publish under another version")
        self.begin(version, files)
        # Nothing is added to a release that is another one.
        if entry.complete:
            self.storage.create(f"{version}/{MANIFEST}", files[MANIFEST])
        for name in sorted(files, key=lambda name: name == MANIFEST):
            self.storage.create(f"{version}/{name}", files[name])
        return self.address(version)

    def begin(self, version: str, files: Iterable[str]) -> None:
        """Mark the place as a registry, and a version's files as a publisher's: before the first of them is written."""
        if self.storage.read(REGISTRY) is None:
            self.storage.create(REGISTRY, b'{"format": 1}\n')
        if self.storage.read(f"{PUBLICATIONS}/{version}") is None:
            named = {"version": version, "files": sorted(files)}
            try:
                self.storage.create(f"{PUBLICATIONS}/{version}", json.dumps(named).encode() + b"\n")
            except ConflictError:
                # Another publisher of the same version was quicker; the files tell which of the two succeeds.
                return

    def exists(self) -> bool:
        """Whether there is a registry: by its mark, or, for one that is older than marks, by pointer or release."""
        if self.storage.read(REGISTRY) is not None:
            return True
        return self.production() is not None or any(entry.manifest for entry in self.entries())

    def require(self) -> None:
        """Raises StepError where there is no registry."""
        if self.exists():
            return
        found = self.storage.first_name()
        below = [name for name in self.storage.folders() if self.storage.read(f"{name}/{POINTER}")]
        cure = f"is it {self.uri}/{below[0]}?" if below else "correct the address, or publish the first release there"
        there = f"holds {found!r}" if found else "is empty or absent"
        raise StepError(f"{self.uri} is no registry: it {there}; {cure}")

    def own_files(self, entry: Entry) -> frozenset[str]:
        """Names that files of a version have; empty where nothing shows that a publisher made it."""
        stored = self.storage.read(f"{PUBLICATIONS}/{entry.version}")
        if stored is None and entry.manifest is None:
            return frozenset()
        begun = _parsed(stored.data) if stored else {}
        named = [_part(entry.manifest or {}, part).get("file") for part in ("model", "weights")]
        return frozenset((*RELEASE_FILES, *_strings(named), *_strings(begun.get("files"))))

    def forget(self, version: str) -> None:
        """Remove the mark of a version whose files are gone."""
        stored = self.storage.read(f"{PUBLICATIONS}/{version}")
        if stored is not None:
            self.storage.delete(f"{PUBLICATIONS}/{version}", stored.generation)

    def address(self, version: str) -> str:
        """Where a release of that version lies, or would."""
        return f"{self.uri}/{version}"

    def entries(self) -> list[Entry]:
        """All that is there, by version: releases, what killed publishers left, and what is being removed."""
        return [self._entry(version) for version in self.storage.folders() if re.fullmatch(IDENTIFIER, version)]

    def releases(self) -> list[dict[str, Any]]:
        """The manifests of all complete releases, by version."""
        return [entry.manifest for entry in self.entries() if entry.complete and entry.manifest]

    def manifest(self, version: str) -> dict[str, Any]:
        """The manifest of one release.

        Raises:
            StepError: there is no such release.
        """
        return self._release(version)[0]

    def files(self, version: str) -> dict[str, bytes]:
        """Every file of one release, by name.

        Raises:
            StepError: there is no such release.
        """
        self.manifest(version)
        names = [file.name for file in self.storage.files(version) if file.plain]
        stored = {name.removeprefix(f"{version}/"): self.storage.read(name) for name in names}
        return {name: found.data for name, found in stored.items() if found}

    def production(self) -> Pointer | None:
        """What the pointer says, or None before the first promotion."""
        return self._pointer()[0]

    def in_production(self) -> str:
        """The version that the pointer names.

        Raises:
            StepError: none is in production yet.
        """
        pointer = self.production()
        if pointer is None:
            raise StepError(f"{self.uri} has no release in production yet; `promote` one, or name one by --release")
        return pointer.version

    def promote(self, version: str) -> Pointer:
        """Point `production` at a release, which is held from then on.

        Raises:
            StepError: there is no such release.
            ConflictError: somebody else moved the pointer, or removed the release, meanwhile.
        """
        self._hold(version)
        current, generation = self._pointer()
        if current and current.version == version:
            return current
        history = (*current.history, current.version) if current else ()
        return self._move(current, Pointer(version, history), generation)

    def rollback(self, version: str = "") -> Pointer:
        """Point `production` at an earlier release, the one before or a named one.

        Raises:
            StepError: there was none before, the named one never was in production, or it is gone.
            ConflictError: somebody else moved the pointer meanwhile.
        """
        current, generation = self._pointer()
        current, version = self._before(current, version)
        self._hold(version)
        place = len(current.history) - 1 - current.history[::-1].index(version)
        return self._move(current, Pointer(version, current.history[:place]), generation)

    def earlier(self, version: str = "") -> str:
        """Which version a rollback would go back to.

        Raises:
            StepError: there was none before, or the named one never was in production.
        """
        return self._before(self.production(), version)[1]

    def _before(self, current: Pointer | None, version: str) -> tuple[Pointer, str]:
        if current is None or not current.history:
            raise StepError(f"{self.uri} has no earlier release in production to go back to")
        version = version or current.history[-1]
        if version not in current.history:
            earlier = ", ".join(current.history)
            raise StepError(f"{self.uri} had no release {version} in production before; it had {earlier}")
        return current, version

    def _entry(self, version: str) -> Entry:
        stored = self.storage.read(f"{version}/{MANIFEST}")
        if stored is None:
            return Entry(version, None, None)
        manifest = _parsed(stored.data, parse_manifest)
        if manifest.get("version") == version:
            return Entry(version, manifest, stored.generation)
        found = f"is that of {manifest['version']!r}" if "version" in manifest else "is garbled"
        return Entry(version, None, stored.generation, f"its {MANIFEST} {found}")

    def _release(self, version: str) -> tuple[dict[str, Any], str]:
        """The manifest of a release and its generation, or StepError."""
        require_version(version)
        self.require()
        entry = self._entry(version)
        if entry.manifest is None or entry.generation is None or entry.pruned:
            versions = ", ".join(manifest["version"] for manifest in self.releases()) or "none"
            if entry.problem:
                raise StepError(f"{self.uri}/{version} is no release: {entry.problem}; {self.uri} holds {versions}")
            raise StepError(f"{self.uri} holds no release {version}; it holds {versions}")
        return entry.manifest, entry.generation

    def _hold(self, version: str) -> None:
        """Keep a release for good. Its manifest comes first: from then on nobody begins to remove it."""
        manifest = f"{version}/{MANIFEST}"
        self.storage.hold(manifest, self._release(version)[1])
        names = self.own_files(self._entry(version))
        for file in self.storage.files(version):
            if file.plain and not file.held and file.name.partition("/")[2] in names:
                self.storage.hold(file.name, file.generation)

    def _pointer(self) -> tuple[Pointer | None, str | None]:
        stored = self.storage.read(POINTER)
        if stored is None:
            return None, None
        record = _parsed(stored.data)
        if not isinstance(record.get("version"), str):
            raise StepError(f"{self.uri}/{POINTER} is no registry's pointer; nothing is changed there")
        # Pointers of the first format knew of no withdrawn ones.
        history, withdrawn = (_strings(record.get(name)) for name in ("history", "withdrawn"))
        return Pointer(record["version"], history, withdrawn), stored.generation

    def _move(self, current: Pointer | None, to: Pointer, generation: str | None) -> Pointer:
        ever = (*current.withdrawn, *current.history, current.version) if current else ()
        gone = dict.fromkeys(version for version in ever if version not in (*to.history, to.version))
        pointer = replace(to, withdrawn=tuple(gone))
        self.storage.replace(POINTER, json.dumps(asdict(pointer), indent=1).encode() + b"\n", generation)
        return pointer


def require_version(version: str) -> None:
    """Raises StepError for what cannot be the name of a release."""
    if version == POINTER or not re.fullmatch(IDENTIFIER, version):
        raise StepError(
            f"{version!r} is no version of a release: 1 to 63 small letters, digits, dots, hyphens and underscores, "
            f"a letter or digit first and last, and not {POINTER!r}"
        )


def _parsed(data: bytes, parse: Callable[[bytes], Any] = json.loads) -> dict[str, Any]:
    """A JSON object, or an empty one for what is none."""
    try:
        found = parse(data)
    except (AttributeError, KeyError, RecursionError, TypeError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _part(manifest: dict[str, Any], name: str) -> dict[str, Any]:
    found = manifest.get(name)
    return found if isinstance(found, dict) else {}


def _strings(found: object) -> tuple[str, ...]:
    return tuple(each for each in found if isinstance(each, str)) if isinstance(found, list) else ()


def release_files(folder: Path) -> dict[str, bytes]:
    """The files of a local release, by name."""
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir()) if path.is_file()}
