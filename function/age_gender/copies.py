"""Files with annotated copies of images: one for each image, in a folder of the user's choice."""

from __future__ import annotations

import os
import threading
from collections.abc import Sequence
from pathlib import Path

from age_gender import annotate
from age_gender.detection import Detection
from age_gender.image_files import STANDARD_INPUT
from serving import images
from serving.images import ImageError
from serving.limits import Limits
from serving.memory import Budget
from serving.timeouts import Deadline

# The name of the copy of what standard input holds.
_FROM_INPUT = "standard-input"


class CopyError(Exception):
    """The copies cannot be written where they should; the message says why and what to do."""


class Copies:
    """Writes annotated copies, from any number of threads. No file that exists is overwritten."""

    def __init__(self, folder: Path, names: Sequence[str], limits: Limits) -> None:
        """Choose the copies' names and make the folder. Subfolders of the images become subfolders of it.

        Args:
            folder: for the copies.
            names: of all images.
            limits: of one image.

        Raises:
            CopyError: the folder cannot be used, or a copy's name is taken.
        """
        self.folder, self._limits = folder, limits
        self._paths = _paths(folder, names)
        self._budget = Budget(limits.max_pixels)
        self._lock = threading.Lock()
        self._written: set[Path] = set()
        self.problems: dict[str, str] = {}
        """Why an image has no copy, by its name."""
        for path in self._paths.values():
            for taken in (path, *(_named(path, kind) for kind in annotate.SUFFIXES)):
                if os.path.lexists(taken):
                    raise CopyError(f"{taken} exists; move it away, or choose another folder for --annotate")
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except FileExistsError as error:
            raise CopyError(f"--annotate takes a folder, and {folder} is none") from error
        except OSError as error:
            raise CopyError(f"cannot make the folder {folder}: {error.strerror}; choose another --annotate") from error

    @property
    def count(self) -> int:
        """How many copies are written."""
        return len(self._written)

    def write(self, name: str, image: bytes, detection: Detection) -> None:
        """Write the copy of one image, or keep the reason in `problems`.

        Args:
            name: of the image.
            image: its file.
            detection: its faces.
        """
        path = self._paths[name]
        with self._lock:
            if path in self._written:
                # The same file under two names.
                return
            self._written.add(path)
        try:
            self._write(path, image, detection)
        except (ImageError, OSError, ValueError) as error:
            self._written.discard(path)
            reason = error.strerror if isinstance(error, OSError) and error.strerror else error
            self.problems[name] = f"no annotated copy: {reason}"

    def _write(self, path: Path, image: bytes, detection: Detection) -> None:
        encoded = images.inspect(image, self._limits)
        # Together, the images at work have at most the pixels of the largest one that is allowed.
        with self._budget.reserve(encoded.container.width * encoded.container.height, _without_end()):
            content, kind = annotate.annotated(encoded, detection)
        path = _named(path, kind)
        path.parent.mkdir(parents=True, exist_ok=True)
        # This fails where the file exists.
        with path.open("xb") as file:
            try:
                file.write(content)
                file.flush()
            except OSError:
                path.unlink()
                raise


def _paths(folder: Path, names: Sequence[str]) -> dict[str, Path]:
    """Return the path of each copy: below `folder` as the images lie below the folder that holds all of them."""
    sources = {name: os.path.abspath(_FROM_INPUT if name == STANDARD_INPUT else name) for name in names}  # noqa: PTH100 - Path.resolve would follow links
    common = os.path.commonpath([os.path.dirname(source) for source in sources.values()])  # noqa: PTH120
    return {name: folder / os.path.relpath(source, common) for name, source in sources.items()}


def _named(path: Path, kind: str) -> Path:
    """Return the path with a suffix of the format."""
    suffixes = annotate.SUFFIXES[kind]
    return path if path.suffix.lower() in suffixes else path.with_name(path.name + suffixes[0])


def _without_end() -> Deadline:
    return Deadline.after(threading.TIMEOUT_MAX)
