"""Local and gs:// files of a batch, through Apache Beam's file systems."""

from __future__ import annotations

import os
import posixpath
import re
import shutil
import uuid
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryFile
from typing import BinaryIO

from apache_beam.io.filesystem import CompressionTypes
from apache_beam.io.filesystems import FileSystems
from apache_beam.options.pipeline_options import PipelineOptions

from age_gender.image_files import Found, in_folder, is_image, kind

_UNCOMPRESSED = CompressionTypes.UNCOMPRESSED
# Concurrent deletions; each is a request.
_DELETIONS = 16


def find(pattern: str) -> Found:
    """Find the images of a folder and its subfolders, or all files of a pattern, in the order of their paths."""
    passed_over: Counter[str] = Counter()
    if os.path.isdir(pattern):  # noqa: PTH112 - Path.is_dir raises for a name that is too long
        return Found(sorted(map(str, in_folder(Path(pattern), passed_over))), passed_over)
    if _literal(pattern) != pattern and (found := _match(pattern)):
        return Found(found, passed_over)
    # In cloud storage a folder is only a prefix of names.
    below = _match(posixpath.join(_literal(pattern), "**")) or _match(_literal(pattern))
    passed_over.update(kind(path) for path in below if not is_image(path))
    return Found([path for path in below if is_image(path)], passed_over)


def _literal(path: str) -> str:
    """Return the pattern that matches this path alone."""
    return re.sub(r"[*?[]", r"[\g<0>]", path)


def read(path: str) -> bytes:
    """Return the bytes of a file.

    Raises:
        OSError: it cannot be read.
    """
    try:
        with FileSystems.open(path, compression_type=_UNCOMPRESSED) as file:
            return bytes(file.read())
    except Exception as error:
        # Cloud storage has its own errors. A temporary one, such as a broken connection, must not become a result.
        if type(error).__name__ in ("NotFound", "Forbidden"):
            raise FileNotFoundError(2, f"missing, or not readable: {path}") from error
        raise


def lines(path: str) -> Iterator[str]:
    """Yield the lines of a text file, without line breaks."""
    with FileSystems.open(path, compression_type=_UNCOMPRESSED) as file:
        for line in file:
            yield line.decode().rstrip("\n")


def exists(path: str) -> bool:
    """Tell whether a file exists."""
    return bool(FileSystems.exists(path))


@contextmanager
def written(path: str, scratch: str) -> Iterator[BinaryIO]:
    """Open a file for writing. It appears at `path` complete, or on failure not at all.

    Args:
        path: the file.
        scratch: a folder on the same disk for the incomplete file.
    """
    with TemporaryFile() as filled:
        yield filled
        filled.seek(0)
        # An object appears when its upload ends. A file is visible while it grows.
        target = path if "://" in path else posixpath.join(scratch, f"{uuid.uuid4().hex}.tmp")
        with FileSystems.create(target, compression_type=_UNCOMPRESSED) as file:
            shutil.copyfileobj(filled, file)
    if target != path:
        FileSystems.rename([target], [path])


def write(path: str, data: bytes, scratch: str) -> None:
    """Write a complete file, or none."""
    with written(path, scratch) as file:
        file.write(data)


def remove(folder: str, names: re.Pattern[str], options: PipelineOptions) -> list[str]:
    """Remove the files directly in a folder whose names match, then the folder if it is empty.

    Returns:
        the files that remain.
    """
    found = list_folder(folder)
    removed = [path for path in found if names.fullmatch(path.removeprefix(folder).lstrip("/"))]
    if folder.startswith("gs://"):
        from apache_beam.io.gcp.gcsio import GcsIO

        delete = GcsIO(pipeline_options=options).delete
    else:
        delete = os.unlink
    with ThreadPoolExecutor(_DELETIONS) as pool:
        list(pool.map(delete, removed))
    if not folder.startswith("gs://"):
        # A folder that is not empty remains.
        with suppress(OSError):
            Path(folder).rmdir()
    return sorted({*found} - {*removed})


def below(address: str) -> tuple[str, list[tuple[str, int]]]:
    """Find the objects below a gs:// folder, or those of a gs:// pattern.

    Returns:
        the folder, with "/" at its end, and the path and bytes of each object, in the order of their paths.
    """
    if _literal(address) != address and (found := _sizes(address)):
        return re.split(r"[*?[]", address, maxsplit=1)[0].rpartition("/")[0] + "/", found
    folder = posixpath.join(address, "")
    # An empty object with a slash at its end is a folder that a program made visible.
    return folder, [(path, size) for path, size in _sizes(f"{_literal(folder)}**") if not path.endswith("/")]


def list_folder(folder: str) -> list[str]:
    """Return the files of a folder and its subfolders, in the order of their paths."""
    if "://" in folder:
        return _match(posixpath.join(_literal(folder), "**"))
    files = (path for path in Path(folder).rglob("*") if path.is_symlink() or not path.is_dir())
    return sorted(posixpath.join(folder, path.relative_to(folder)) for path in files)


def _match(pattern: str) -> list[str]:
    return [path for path, _ in _sizes(pattern)]


def _sizes(pattern: str) -> list[tuple[str, int]]:
    return sorted((each.path, each.size_in_bytes) for each in FileSystems.match([pattern])[0].metadata_list)
