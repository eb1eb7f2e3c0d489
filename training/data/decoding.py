"""Files -> pixels in one flat file. The processes that decode write them there, so pixels pass through no pipe."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Generator, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from serving import images
from serving.images import DecodedImage, Pixels
from training.config import PrepareConfig
from training.data import readers, workers
from training.data.readers import SourceFile
from training.errors import RejectedFileError
from training.labels import Labels

if TYPE_CHECKING:
    from training.data.alignment import Aligner

# Files in one task, and their bytes unless a single file has more.
_TASK_FILES = 32
_TASK_BYTES = 4 * 2**20
# Tasks from which worker processes save more time than their start takes. Alignment takes fifteen times as long.
_FEW, _FEW_TO_ALIGN = 32, 2
# The end of the names of UTKFace's crops, which are aligned already.
_CHIP = ".chip.jpg"


class LabelledFile(NamedTuple):
    """A file of the source with its labels."""

    path: str
    """Path for the index."""
    file: SourceFile
    labels: Labels | None
    """Its labels, or None."""
    reason: str = ""
    """Reason why it has no labels, or ""."""


@dataclass(frozen=True)
class DecodedFile:
    """A decoded file: a face, or the reason for its rejection."""

    path: str
    labels: Labels | None
    reason: str
    """Reason for its rejection, or "" for a face."""
    row: int
    """Index of the face in the file of pixels."""
    digest: str
    """SHA-256 of the file."""
    thumbnail: bytes
    """THUMBNAIL_SIDE**2 gray values."""


def decode(files: Iterable[LabelledFile], pixels: Path, config: PrepareConfig) -> Generator[DecodedFile, None, None]:
    """Decode files on all processors and write each face to its row of `pixels`.

    Close the iterator to end the work early.

    Args:
        files: at most a few tasks of them are in memory at a time.
        pixels: existing file. A row has size * size * 3 bytes. Rows of rejected files have no meaning.
        config: configuration of the step.

    Yields:
        a result for each file, in order.

    Raises:
        StepError: a process that decodes was killed, or a file of the detector is missing or damaged.
        OSError: the pixels cannot be written.
    """
    tasks = _tasks(files)
    setup = partial(_Writer, pixels, config)
    few = _FEW_TO_ALIGN if config.align else _FEW
    first = list(islice(tasks, few))
    if len(first) < few:
        write = setup()
        done: Generator[tuple[_Task, list[Outcome]], None, None] = ((task, write(task)) for task in first)
    else:
        done = workers.in_order(setup, chain(first, tasks))
    try:
        for task, outcomes in done:
            for row, (labelled, outcome) in enumerate(zip(task.files, outcomes, strict=True), start=task.row):
                yield DecodedFile(
                    labelled.path, labelled.labels, outcome.reason, row, outcome.digest, outcome.thumbnail
                )
    finally:
        done.close()


class _Task(NamedTuple):
    """Some files, for consecutive rows."""

    row: int
    """Row of the first file."""
    files: list[LabelledFile]


class Outcome(NamedTuple):
    """What is told of a decoded file."""

    reason: str = ""
    """Reason for its rejection, or "" for a face."""
    digest: str = ""
    """SHA-256 of the file."""
    thumbnail: bytes = b""
    """THUMBNAIL_SIDE**2 gray values."""


class Decoder:
    """Decodes files, and aligns their faces where the configuration says so."""

    def __init__(self, config: PrepareConfig) -> None:
        """Load the detector where it is needed.

        Raises:
            StepError: a file of the detector is missing or damaged.
        """
        self._size = config.size
        self._aligner: Aligner | None = None
        if config.align:
            # Imported only then: other workers need neither its networks nor their runtime.
            from training.data.alignment import Aligner

            self._aligner = Aligner(config)

    def read(self, file: SourceFile) -> DecodedImage:
        """Return the face of a file whose contents are read.

        Raises:
            RejectedFileError: it has no usable face.
        """
        if file.refusal:
            raise RejectedFileError(file.refusal)
        try:
            if self._aligner is None or file.path.lower().endswith(_CHIP):
                return images.read(file.data, self._size)
            return self._aligner.read(file.data)
        except images.ImageError as error:
            raise RejectedFileError(f"undecodable: {error}") from error


def accepted(file: SourceFile, image: DecodedImage) -> Outcome:
    """Return what is told of a face."""
    return Outcome("", hashlib.sha256(file.data).hexdigest(), image.thumbnail.tobytes())


def _tasks(files: Iterable[LabelledFile]) -> Iterator[_Task]:
    task = _Task(0, [])
    left = _TASK_BYTES
    for labelled in files:
        task.files.append(labelled)
        left -= len(labelled.file.data)
        if len(task.files) == _TASK_FILES or left <= 0:
            yield task
            task, left = _Task(task.row + len(task.files), []), _TASK_BYTES
    if task.files:
        yield task


class _Writer:
    """Decodes files and writes their pixels."""

    def __init__(self, pixels: Path, config: PrepareConfig) -> None:
        self._pixels, self._decoder = pixels, Decoder(config)

    def __call__(self, task: _Task) -> list[Outcome]:
        with self._pixels.open("r+b", buffering=0) as stream:
            return [
                self._decode(labelled, stream.fileno(), row) for row, labelled in enumerate(task.files, start=task.row)
            ]

    def _decode(self, labelled: LabelledFile, descriptor: int, row: int) -> Outcome:
        if labelled.reason:
            # A file without labels is not read.
            return Outcome(labelled.file.refusal or labelled.reason)
        file = readers.load(labelled.file)
        try:
            image = self._decoder.read(file)
        except RejectedFileError as error:
            return Outcome(str(error))
        _write(descriptor, row, image.pixels)
        return accepted(file, image)


def _write(descriptor: int, row: int, pixels: Pixels) -> None:
    left, place = pixels.data.cast("B"), row * pixels.nbytes
    # The last bytes on a disk are written before the error that it is full.
    while left:
        written = os.pwrite(descriptor, left, place)
        left, place = left[written:], place + written
