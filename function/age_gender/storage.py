"""Files of a batch, on a disk or under gs://, through Apache Beam's file systems."""

from __future__ import annotations

import os
import posixpath
import re
import shutil
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryFile
from typing import BinaryIO

from apache_beam.io.filesystem import CompressionTypes
from apache_beam.io.filesystems import FileSystems
from apache_beam.options.pipeline_options import PipelineOptions

from age_gender.image_files import is_image

_AS_IT_IS = CompressionTypes.UNCOMPRESSED
# at once, each a request
_DELETIONS = 16


def find(pattern: str) -> list[str]:
    """The images of a folder with its subfolders, or all files of a pattern, in the order of their paths."""
    if any(sign in pattern for sign in "*?["):
        return _match(pattern)
    # A folder of cloud storage is nothing but the beginning of names.
    below = [path for path in _match(posixpath.join(pattern, "**")) if is_image(path)]
    return below or [path for path in _match(pattern) if is_image(path)]


def read(path: str) -> bytes:
    """A whole file.

    Raises:
        OSError: it cannot be read.
    """
    try:
        with FileSystems.open(path, compression_type=_AS_IT_IS) as file:
            return bytes(file.read())
    except Exception as error:
        # Cloud storage has errors of its own. One that passes, such as a broken connection, must not become an answer.
        if type(error).__name__ in ("NotFound", "Forbidden"):
            raise FileNotFoundError(2, f"not there, or not to be read: {path}") from error
        raise


def exists(path: str) -> bool:
    """Whether there is such a file."""
    return bool(FileSystems.exists(path))


@contextmanager
def written(path: str, scratch: str) -> Iterator[BinaryIO]:
    """A file to fill, which then appears at `path` whole; when that fails, not at all.

    Args:
        path: the file.
        scratch: a folder on the same disk, for what is not whole yet.
    """
    with TemporaryFile() as filled:
        yield filled
        filled.seek(0)
        # An object of cloud storage appears when its upload has ended; a file grows in sight.
        target = path if "://" in path else posixpath.join(scratch, f"{uuid.uuid4().hex}.tmp")
        with FileSystems.create(target, compression_type=_AS_IT_IS) as file:
            shutil.copyfileobj(filled, file)
    if target != path:
        FileSystems.rename([target], [path])


def write(path: str, data: bytes, scratch: str) -> None:
    """Write a whole file, or none."""
    with written(path, scratch) as file:
        file.write(data)


def remove(folder: str, names: re.Pattern[str], options: PipelineOptions) -> list[str]:
    """Remove the files directly in a folder whose names match, and the folder once it is empty.

    Returns:
        the files that stay.
    """
    found = _match(posixpath.join(folder, "**"))
    going = [path for path in found if names.fullmatch(path.removeprefix(folder).lstrip("/"))]
    if folder.startswith("gs://"):
        from apache_beam.io.gcp.gcsio import GcsIO

        delete = GcsIO(pipeline_options=options).delete
    else:
        delete = os.unlink
    with ThreadPoolExecutor(_DELETIONS) as pool:
        list(pool.map(delete, going))
    if not folder.startswith("gs://"):
        # What is not empty stays.
        with suppress(OSError):
            Path(folder).rmdir()
    return sorted({*found} - {*going})


def _match(pattern: str) -> list[str]:
    return sorted(each.path for each in FileSystems.match([pattern])[0].metadata_list)
