"""Atomic writes, and folders that a step may replace because it made them."""

from __future__ import annotations

import json
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from training.errors import StepError

_NEW_FILE = 0o666


def write_text(path: Path, text: str) -> None:
    """Write a UTF-8 file atomically. A link in its place is replaced and never followed.

    Raises:
        StepError: the file cannot be written.
    """
    try:
        descriptor, partial = tempfile.mkstemp(".partial", f".{path.name}.", path.parent)
        try:
            with os.fdopen(descriptor, "w", encoding="utf-8", newline="") as file:
                file.write(text)
            Path(partial).chmod(_NEW_FILE & ~_umask())
            Path(partial).replace(path)
        except BaseException:
            with suppress(FileNotFoundError):
                Path(partial).unlink()
            raise
    except OSError as error:
        raise StepError(f"{path} cannot be written: {error.strerror}") from error


@dataclass(frozen=True)
class OwnFolder:
    """A folder that a step replaces at each run, and the rules by which the step recognizes it."""

    step: str
    """Name of the command, for messages."""
    names: re.Pattern[str]
    """Pattern of the relative paths that the step writes."""
    marks: dict[str, tuple[str, ...]]
    """Files of which at least one must exist, as a JSON object with these members. Without members, any file counts."""

    def clear(self, folder: Path) -> None:
        """Remove the folder if it exists.

        Raises:
            StepError: the folder holds files that the step did not write. Nothing is removed then.
        """
        self.require(folder)
        if folder.exists():
            shutil.rmtree(folder)

    def require(self, folder: Path) -> None:
        """Check that the folder is absent, empty, or written by the step alone.

        Raises:
            StepError: it is none of these.
        """
        if folder.is_symlink() or (folder.exists() and not folder.is_dir()):
            raise self._refusal(folder, "is not a plain folder")
        found = list(_entries(folder)) if folder.is_dir() else []
        for path in found:
            name = path.relative_to(folder).as_posix()
            if path.is_symlink() or not self.names.fullmatch(name):
                raise self._refusal(folder, f"holds {name!r}, which `{self.step}` did not write")
        if found and not any(_is_marked(folder / name, members) for name, members in self.marks.items()):
            raise self._refusal(folder, f"lacks {' and '.join(self.marks)}, which `{self.step}` always writes")

    def _refusal(self, folder: Path, found: str) -> StepError:
        return StepError(
            f"{folder} {found}; `{self.step}` would replace the whole folder: move that away, or choose another work "
            "folder (--work, make: WORK=…)"
        )


def _entries(folder: Path) -> Iterator[Path]:
    """Yield all files, links and empty folders below `folder`."""
    for parent, folders, names in os.walk(folder):
        yield from (Path(parent, name) for name in names)
        paths = [Path(parent, name) for name in folders]
        yield from (path for path in paths if path.is_symlink() or not any(path.iterdir()))


def _is_marked(path: Path, members: tuple[str, ...]) -> bool:
    if not path.is_file():
        return False
    try:
        found = json.loads(path.read_bytes()) if members else {}
    except (ValueError, RecursionError):
        return False
    return isinstance(found, dict) and set(members) <= found.keys()


def _umask() -> int:
    """Return the umask of this process. Reading it requires setting it."""
    mask = os.umask(0)
    os.umask(mask)
    return mask
