"""What is named on the command line -> images: files, folders, glob patterns, standard input."""

from __future__ import annotations

import glob
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

STANDARD_INPUT = "-"
# Of a folder, what bears one of these is taken; a file that is named itself is taken whatever it is called.
SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".avif")


class NothingFoundError(Exception):
    """A name that leads to no image."""


def find(names: Sequence[str]) -> list[str]:
    """The images that `names` lead to, each once: a folder's in the order of their names, with its subfolders'.

    Raises:
        NothingFoundError: one of the names leads to none.
    """
    found: dict[str, None] = {}
    for name in names:
        here = list(_expand(name))
        if not here:
            raise NothingFoundError(f"{name}: no image there ({', '.join(SUFFIXES)})")
        found.update(dict.fromkeys(here))
    return list(found)


def read(name: str) -> bytes:
    """The bytes of an image.

    Raises:
        OSError: it cannot be read.
    """
    return sys.stdin.buffer.read() if name == STANDARD_INPUT else Path(name).read_bytes()


def is_image(name: str) -> bool:
    """Whether a name ends as an image's does."""
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
