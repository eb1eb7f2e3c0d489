"""Storage of a registry in a local folder."""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import stat
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

from training.errors import StepError
from training.registry.storage import File, Stored, changed, every_file, held, require_name, require_same

LOCK = ".lock"
_PARTIAL = ".release-partial-"
# the prefix and tempfile's random part
_PARTIAL_NAME = re.compile(rf"{re.escape(_PARTIAL)}[a-z0-9_]{{8}}")
# seconds; another writer removes the partial file of a killed one at this age
_ABANDONED = 86400
_FREE, _HELD = 0o644, 0o444


class LocalStorage:
    """A folder. A generation is the digest of the contents. A held file is read-only."""

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)

    def read(self, name: str) -> Stored | None:
        """See Storage."""
        path = self._path(name)
        try:
            data = path.read_bytes()
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
            return None
        except OSError as error:
            raise StepError(f"{path} cannot be read: {error.strerror}") from error
        return Stored(data, _generation(data))

    def create(self, name: str, data: bytes) -> None:
        """See Storage."""
        path = self._path(name)
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
        path = self._path(name)
        with self._writing(path), self._aside(data) as partial, self._lock():
            self._require(name, generation)
            _make_folder(path.parent)
            partial.replace(path)
            _flush(path.parent)

    def hold(self, name: str, generation: str) -> None:
        """See Storage."""
        path = self._path(name)
        with self._writing(path), self._lock():
            found = self.read(name)
            if found is None or found.generation != generation:
                raise changed(f"{path}")
            path.chmod(_HELD)

    def delete(self, name: str, generation: str) -> None:
        """See Storage."""
        path = self._path(name)
        with self._writing(path), self._lock():
            if path.exists():
                self._require(name, generation)
                path.unlink()
            # Only the last file's folder is empty; the registry's own stays.
            if path.parent != self.folder:
                with suppress(OSError):
                    path.parent.rmdir()

    def folders(self) -> Iterator[str]:
        """See Storage."""
        if self.folder.is_dir():
            with self._reading(self.folder):
                yield from sorted(path.name for path in self.folder.iterdir() if _is_filled(path))

    def files(self, folder: str = "") -> list[File]:
        """See Storage."""
        if folder:
            require_name(folder)
        top = self.folder / folder
        if top.is_symlink():
            return []
        with self._reading(top):
            found = (Path(parent, name) for parent, _, names in _walk(top) for name in names)
            return [self._file(path, top) for path in sorted(found)]

    def first_name(self) -> str | None:
        """See Storage."""
        if not self.folder.is_dir():
            return None
        with self._reading(self.folder):
            names = (path.name for path in self.folder.iterdir())
            return next((name for name in sorted(names) if name != LOCK and not _PARTIAL_NAME.fullmatch(name)), None)

    def _path(self, name: str) -> Path:
        """Return the path of a file. A link on the way is refused: it leads out of the registry."""
        require_name(name)
        path = self.folder
        for part in name.split("/"):
            path /= part
            if path.is_symlink():
                raise StepError(f"{path} is a link; a registry has plain files in plain folders: put those there")
        return path

    def _file(self, path: Path, top: Path) -> File:
        status = path.lstat()
        plain = path.parent == top and stat.S_ISREG(status.st_mode)
        written = datetime.fromtimestamp(status.st_mtime, UTC)
        name = path.relative_to(self.folder).as_posix()
        # Only plain files are read: another entry may be anything.
        return File(name, _generation(path.read_bytes()) if plain else "", written, plain and _is_held(path), plain)

    def _require(self, name: str, generation: str | None) -> None:
        """Raise ConflictError unless the file still has `generation` and is not held."""
        found = self.read(name)
        if (found.generation if found else None) != generation:
            raise changed(f"{self.folder / name}")
        if found and _is_held(self.folder / name):
            raise held(f"{self.folder / name}")

    @contextmanager
    def _aside(self, data: bytes) -> Iterator[Path]:
        """Write `data` to a flushed file outside of every release, and remove it afterwards."""
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
                status = path.lstat()
                ours = _PARTIAL_NAME.fullmatch(path.name) and stat.S_ISREG(status.st_mode)
                if ours and time.time() - status.st_mtime > _ABANDONED:
                    path.unlink()

    @contextmanager
    def _lock(self) -> Iterator[None]:
        """Admit one process at a time. The kernel releases the lock of a killed one."""
        # A link is not followed and a file with contents is not truncated.
        descriptor = os.open(self.folder / LOCK, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, _FREE)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)

    @contextmanager
    def _writing(self, path: Path) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise StepError(f"{path} cannot be written: {error.strerror}") from error

    @contextmanager
    def _reading(self, path: Path) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise StepError(f"{path} cannot be read: {error.strerror}") from error


def _walk(top: Path) -> Iterator[tuple[str, list[str], list[str]]]:
    """Run os.walk, with links and empty folders among the files."""
    for parent, folders, names in os.walk(top):
        odd = [name for name in folders if not _is_filled(Path(parent, name))]
        yield parent, folders, [*names, *odd]


def _is_filled(path: Path) -> bool:
    """Return whether it is a folder, not a link, and not empty."""
    return path.is_dir() and not path.is_symlink() and any(path.iterdir())


def _generation(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _is_held(path: Path) -> bool:
    return not path.stat().st_mode & stat.S_IWUSR


def _make_folder(folder: Path) -> None:
    if not folder.is_dir():
        folder.mkdir(parents=True, exist_ok=True)
        _flush(folder.parent)


def _flush(folder: Path) -> None:
    """Make the names in a folder durable: after a power cut, no manifest exists without its model."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def release_files(folder: Path) -> dict[str, bytes]:
    """Return the files of a local release by name.

    Raises:
        StepError: the folder has a link or another folder in it, or a file cannot be read.
    """
    return {name: stored.data for name, stored in every_file(LocalStorage(folder), f"{folder}").items()}
