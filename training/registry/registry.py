"""A registry of releases: versions that never change, and one pointer, `production`, that does."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from serving.release import MANIFEST, parse_manifest
from training.errors import StepError
from training.registry.addresses import open_storage
from training.registry.storage import ConflictError, Storage

POINTER = "production"
# In the place of a manifest: a release that is being removed. It stays for a while, so that a publisher that was
# under way does not complete what is half removed.
PRUNED = "pruned"


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
    # None: its publisher has not come to its end
    manifest: dict[str, Any] | None
    # of the manifest, None without one
    generation: str | None

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
            ConflictError: the version exists with other contents, or is being removed.
        """
        entry = self._entry(version)
        if entry.pruned:
            raise ConflictError(f"{self.uri}/{version} is being removed by prune; publish it under another version")
        # Nothing is added to a release that is another one.
        if entry.complete:
            self.storage.create(f"{version}/{MANIFEST}", files[MANIFEST])
        for name in sorted(files, key=lambda name: name == MANIFEST):
            self.storage.create(f"{version}/{name}", files[name])
        return self.address(version)

    def address(self, version: str) -> str:
        """Where a release of that version lies, or would."""
        return f"{self.uri}/{version}"

    def entries(self) -> list[Entry]:
        """All that is there, by version: releases, what killed publishers left, and what is being removed."""
        return [self._entry(version) for version in self.storage.folders()]

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
        listed = [file.name for file in self.storage.files(version)]
        # What a publisher that was killed left of a file it was about to write is none yet.
        names = [name for name in listed if not name.startswith(f"{version}/.partial-")]
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
        return Entry(version, parse_manifest(stored.data), stored.generation)

    def _release(self, version: str) -> tuple[dict[str, Any], str]:
        """The manifest of a release and its generation, or StepError."""
        entry = self._entry(version)
        if entry.manifest is None or entry.generation is None or entry.pruned:
            versions = ", ".join(manifest["version"] for manifest in self.releases()) or "none"
            raise StepError(f"{self.uri} holds no release {version}; it holds {versions}")
        return entry.manifest, entry.generation

    def _hold(self, version: str) -> None:
        """Keep a release for good. Its manifest comes first: from then on nobody begins to remove it."""
        manifest = f"{version}/{MANIFEST}"
        self.storage.hold(manifest, self._release(version)[1])
        for file in self.storage.files(version):
            if not file.held:
                self.storage.hold(file.name, file.generation)

    def _pointer(self) -> tuple[Pointer | None, str | None]:
        stored = self.storage.read(POINTER)
        if stored is None:
            return None, None
        record = json.loads(stored.data)
        # Pointers of the first format knew of no withdrawn ones.
        withdrawn = tuple(record.get("withdrawn", ()))
        return Pointer(record["version"], tuple(record["history"]), withdrawn), stored.generation

    def _move(self, current: Pointer | None, to: Pointer, generation: str | None) -> Pointer:
        ever = (*current.withdrawn, *current.history, current.version) if current else ()
        gone = dict.fromkeys(version for version in ever if version not in (*to.history, to.version))
        pointer = replace(to, withdrawn=tuple(gone))
        self.storage.replace(POINTER, json.dumps(asdict(pointer), indent=1).encode() + b"\n", generation)
        return pointer


def release_files(folder: Path) -> dict[str, bytes]:
    """The files of a local release, by name."""
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir()) if path.is_file()}
