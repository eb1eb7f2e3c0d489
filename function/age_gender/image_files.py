"""The images that a command line names: files, folders, glob patterns, standard input."""

from __future__ import annotations

import glob
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

STANDARD_INPUT = "-"
# Folders are searched for these. A file named on its own may have any name.
SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".avif")


class NothingFoundError(Exception):
    """A name that leads to no image."""


def find(names: Sequence[str]) -> list[str]:
    """Return the images that `names` lead to, each once.

    The images of a folder and its subfolders come in the order of their paths.

    Raises:
        NothingFoundError: a name leads to no image.
    """
    found: dict[str, None] = {}
    for name in names:
        here = list(_expand(name))
        if not here:
            raise NothingFoundError(f"{name}: no image there ({', '.join(SUFFIXES)})")
        found.update(dict.fromkeys(here))
    return list(found)


def read(name: str) -> bytes:
    """Return the bytes of an image.

    Raises:
        OSError: it cannot be read.
    """
    return sys.stdin.buffer.read() if name == STANDARD_INPUT else Path(name).read_bytes()


def is_image(name: str) -> bool:
    """Tell whether a name has the suffix of an image."""
    return name.lower().endswith(SUFFIXES)


def _expand(name: str) -> Iterator[str]:
    path = Path(name)
    if name == STANDARD_INPUT or path.is_file():
        yield name
    elif path.is_dir():
        yield from (str(each) for each in sorted(path.rglob("*")) if is_image(each.name) and each.is_file())
    elif glob.has_magic(name):
        for each in sorted(glob.glob(name, recursive=True)):  # noqa: PTH207 - Path.glob refuses absolute patterns
            yield from _expand(each)
