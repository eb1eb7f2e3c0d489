"""A registry's storage in a local folder."""

from __future__ import annotations

import fcntl
import hashlib
import os
import stat
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

from training.errors import StepError
from training.registry.storage import File, Stored, changed, held, require_same

_PARTIAL = ".partial-"
# seconds; a file that a killed writer left half written is this old before another writer removes it
_ABANDONED = 86400
_FREE, _HELD = 0o644, 0o444


class LocalStorage:
    """A folder. Generations are digests of the contents; a held file is a read-only one."""

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)

    def read(self, name: str) -> Stored | None:
        """See Storage."""
        try:
            data = (self.folder / name).read_bytes()
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
            return None
        return Stored(data, _generation(data))

    def create(self, name: str, data: bytes) -> None:
        """See Storage."""
        path = self.folder / name
        with self._writing(path), self._aside(data) as partial, self._lock():
            _make_folder(path.parent)
            try:
                # A link, unlike a rename, fails where the name is taken.
                os.link(partial, path)
            except FileExistsError:
                require_same(f"{path}", path.read_bytes(), data)
            _flush(path.parent)

    def replace(self, name: str, data: bytes, generation: str | None) -> None:
        """See Storage."""
        path = self.folder / name
        with self._writing(path), self._aside(data) as partial, self._lock():
            self._require(name, generation)
            _make_folder(path.parent)
            partial.replace(path)
            _flush(path.parent)

    def hold(self, name: str, generation: str) -> None:
        """See Storage."""
        path = self.folder / name
        with self._writing(path), self._lock():
            found = self.read(name)
            if found is None or found.generation != generation:
                raise changed(f"{path}")
            path.chmod(_HELD)

    def delete(self, name: str, generation: str) -> None:
        """See Storage."""
        path = self.folder / name
        with self._writing(path), self._lock():
            if path.exists():
                self._require(name, generation)
                path.unlink()
            # Only the last file's folder is empty.
            with suppress(OSError):
                path.parent.rmdir()

    def folders(self) -> Iterator[str]:
        """See Storage."""
        if self.folder.is_dir():
            yield from sorted(path.name for path in self.folder.iterdir() if path.is_dir() and any(path.iterdir()))

    def files(self, folder: str) -> list[File]:
        """See Storage."""
        paths = sorted(path for path in (self.folder / folder).rglob("*") if path.is_file())
        return [self._file(path) for path in paths]

    def _file(self, path: Path) -> File:
        written = datetime.fromtimestamp(path.stat().st_mtime, UTC)
        name = path.relative_to(self.folder).as_posix()
        return File(name, _generation(path.read_bytes()), written, _is_held(path))

    def _require(self, name: str, generation: str | None) -> None:
        """Raises ConflictError unless the file still has `generation` and is free."""
        found = self.read(name)
        if (found.generation if found else None) != generation:
            raise changed(f"{self.folder / name}")
        if found and _is_held(self.folder / name):
            raise held(f"{self.folder / name}")

    @contextmanager
    def _aside(self, data: bytes) -> Iterator[Path]:
        """A complete and flushed copy of `data` outside of every release, gone afterwards."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self._remove_abandoned()
        with tempfile.NamedTemporaryFile(dir=self.folder, prefix=_PARTIAL, delete=False) as file:
            partial = Path(file.name)
            try:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
                partial.chmod(_FREE)
                yield partial
            finally:
                partial.unlink(missing_ok=True)

    def _remove_abandoned(self) -> None:
        for path in self.folder.glob(f"{_PARTIAL}*"):
            # Another writer may be quicker.
            with suppress(FileNotFoundError):
                if time.time() - path.stat().st_mtime > _ABANDONED:
                    path.unlink()

    @contextmanager
    def _lock(self) -> Iterator[None]:
        """One process at a time; the kernel frees it when that one is killed."""
        with (self.folder / ".lock").open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield

    @contextmanager
    def _writing(self, path: Path) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise StepError(f"{path} cannot be written: {error.strerror}") from error


def _generation(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _is_held(path: Path) -> bool:
    return not path.stat().st_mode & stat.S_IWUSR


def _make_folder(folder: Path) -> None:
    if not folder.is_dir():
        folder.mkdir(parents=True, exist_ok=True)
        _flush(folder.parent)


def _flush(folder: Path) -> None:
    """Make the names in a folder as durable as the files: after a power cut no manifest precedes its model."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
