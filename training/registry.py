"""A registry of releases: versions that never change, and one pointer, `production`, that does."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from serving.release import MANIFEST
from training.errors import StepError
from training.storage import Storage, open_storage

POINTER = "production"


@dataclass(frozen=True)
class Pointer:
    """Which version is in production, and which were before, the latest last."""

    version: str
    history: tuple[str, ...] = ()


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
            ConflictError: the version exists with other contents.
        """
        for name in sorted(files, key=lambda name: name == MANIFEST):
            self.storage.create(f"{version}/{name}", files[name])
        return f"{self.uri}/{version}"

    def releases(self) -> list[dict[str, Any]]:
        """The manifests of all complete releases, by version."""
        found = (self.storage.read(f"{version}/{MANIFEST}") for version in self.storage.folders())
        return [json.loads(stored.data) for stored in found if stored]

    def manifest(self, version: str) -> dict[str, Any]:
        """The manifest of one release.

        Raises:
            StepError: there is no such release.
        """
        stored = self.storage.read(f"{version}/{MANIFEST}")
        if stored is None:
            versions = ", ".join(manifest["version"] for manifest in self.releases()) or "none"
            raise StepError(f"{self.uri} holds no release {version}; it holds {versions}")
        manifest: dict[str, Any] = json.loads(stored.data)
        return manifest

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

    def promote(self, version: str) -> Pointer:
        """Point `production` at a release.

        Raises:
            StepError: there is no such release.
            ConflictError: somebody else moved the pointer meanwhile.
        """
        self.manifest(version)
        current, generation = self._pointer()
        if current and current.version == version:
            return current
        history = (*current.history, current.version) if current else ()
        return self._move(Pointer(version, history), generation)

    def rollback(self, version: str = "") -> Pointer:
        """Point `production` at an earlier release, the one before or a named one.

        Raises:
            StepError: there was none before, or the named one never was in production.
            ConflictError: somebody else moved the pointer meanwhile.
        """
        current, generation = self._pointer()
        if current is None or not current.history:
            raise StepError(f"{self.uri} has no earlier release in production to go back to")
        version = version or current.history[-1]
        if version not in current.history:
            earlier = ", ".join(current.history)
            raise StepError(f"{self.uri} had no release {version} in production before; it had {earlier}")
        place = len(current.history) - 1 - current.history[::-1].index(version)
        return self._move(Pointer(version, current.history[:place]), generation)

    def _pointer(self) -> tuple[Pointer | None, int | str | None]:
        stored = self.storage.read(POINTER)
        if stored is None:
            return None, None
        record = json.loads(stored.data)
        return Pointer(record["version"], tuple(record["history"])), stored.generation

    def _move(self, pointer: Pointer, generation: int | str | None) -> Pointer:
        self.storage.replace(POINTER, json.dumps(asdict(pointer), indent=1).encode() + b"\n", generation)
        return pointer


def release_files(folder: Path) -> dict[str, bytes]:
    """The files of a local release, by name."""
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir()) if path.is_file()}
