"""Images to predict: those that a command line names, and those that a caller passes to a predictor."""

from __future__ import annotations

import errno
import glob
import os
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import BinaryIO, NamedTuple, TypeGuard

STANDARD_INPUT = "-"
# Folders are searched for these. A file named on its own may have any name: its bytes tell the format.
SUFFIXES = (".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".avif")
# What to do about files that a folder holds and that are not predicted.
_LINK = "link to a folder"
# macOS keeps metadata of each file on foreign disks under this prefix.
_MACOS = "._"
_HINTS = {
    ".heic": "convert HEIC to JPEG first",
    ".heif": "convert HEIC to JPEG first",
    _LINK: "to follow a link, name it as an image argument",
}

# An image: its bytes, the path of its file, or a file opened in binary mode.
Image = bytes | bytearray | memoryview | str | os.PathLike[str] | BinaryIO


class NothingFoundError(Exception):
    """A name that leads to no image."""


class Found(NamedTuple):
    """The images of a command line."""

    names: list[str]
    """Each image once, in order."""
    passed_over: Counter[str]
    """What folders hold besides: how many files of each suffix, links to folders, and so on."""


def find(names: Sequence[str]) -> Found:
    """Find the images that `names` lead to.

    The images of a folder and its subfolders come in the order of their paths.

    Raises:
        NothingFoundError: a name leads to no image.
    """
    found: dict[str, None] = {}
    passed_over: Counter[str] = Counter()
    for name in names:
        others: Counter[str] = Counter()
        here = list(_expand(name, others))
        if not here:
            reason = f"passed over: {listed(others)}" if others else ", ".join(SUFFIXES)
            raise NothingFoundError(f"{name}: no image there ({reason})")
        found.update(dict.fromkeys(here))
        passed_over += others
    return Found(list(found), passed_over)


def listed(passed_over: Counter[str]) -> str:
    """Return the counts as text, such as `1 .heic, 2 .txt`, with a hint where there is one."""
    counts = ", ".join(f"{count} {kind}" for kind, count in sorted(passed_over.items()))
    hints = sorted({_HINTS[kind] for kind in passed_over if kind in _HINTS})
    return "; ".join([counts, *hints])


def read(name: str) -> bytes:
    """Return the bytes of an image.

    Raises:
        OSError: it cannot be read.
    """
    if name != STANDARD_INPUT:
        return Path(name).read_bytes()
    if sys.stdin is None:
        raise OSError(errno.EBADF, "standard input is closed")
    return sys.stdin.buffer.read()


def contents(images: Image | Iterable[Image]) -> Iterator[bytes]:
    """Return the bytes of one image or several, each read when its turn comes.

    Raises:
        TypeError: something is no image. This is checked before the first one is read.
        OSError: a file cannot be read.
    """
    if _is_one(images):
        return iter([_load(images)])
    if not isinstance(images, Iterable):
        raise TypeError(f"{_EXPECTED}; got {type(images).__name__}")
    several: list[Image] = []
    for number, image in enumerate[object](images):
        if not _is_one(image):
            raise TypeError(f"{_EXPECTED}; item {number} is {type(image).__name__}")
        several.append(image)
    return map(_load, several)


_EXPECTED = "an image is bytes, a path, or a file opened in binary mode; pass one or several"


def _is_one(image: object) -> TypeGuard[Image]:
    return isinstance(image, bytes | bytearray | memoryview | str | os.PathLike) or hasattr(image, "read")


def _load(image: Image) -> bytes:
    if isinstance(image, bytes | bytearray | memoryview):
        return bytes(image)
    if isinstance(image, str | os.PathLike):
        return Path(image).read_bytes()
    data: object = image.read()
    if not isinstance(data, bytes):
        raise TypeError(f"{_EXPECTED}; read() of the file returned {type(data).__name__}")
    return data


def is_image(path: str) -> bool:
    """Tell whether a file's name has the suffix of an image and is no metadata of macOS."""
    return path.lower().endswith(SUFFIXES) and not _name(path).startswith(_MACOS)


def kind(path: str) -> str:
    """Return how a file that is passed over is counted: by its suffix in lower case, if it has one."""
    name = _name(path)
    return f"{_MACOS}* of macOS" if name.startswith(_MACOS) else Path(name).suffix.lower() or "without a suffix"


def _name(path: str) -> str:
    return path.rpartition("/")[2]


def _expand(name: str, passed_over: Counter[str]) -> Iterator[str]:
    if name == STANDARD_INPUT:
        yield name
    elif os.path.isdir(name):  # noqa: PTH112 - Path.is_dir raises for a name that is too long
        yield from map(str, sorted(in_folder(Path(name), passed_over)))
    elif os.path.exists(name):  # noqa: PTH110 - the same
        # A pipe or a device, such as /dev/stdin or a shell's <(…), is read like a file.
        yield name
    elif glob.has_magic(name):
        for each in sorted(glob.glob(name, recursive=True)):  # noqa: PTH207 - Path.glob refuses absolute patterns
            yield from _expand(each, passed_over)


def in_folder(folder: Path, passed_over: Counter[str]) -> Iterator[Path]:
    """Yield the images of a folder and its subfolders, and count everything else."""

    def unreadable(_: OSError) -> None:
        passed_over["unreadable folder"] += 1

    for parent, folders, files in os.walk(folder, onerror=unreadable):
        passed_over.update(_LINK for each in folders if (Path(parent) / each).is_symlink())
        for file in files:
            path = Path(parent) / file
            if not path.is_file():
                passed_over["broken link or special file"] += 1
            elif is_image(file):
                yield path
            else:
                passed_over[kind(file)] += 1
