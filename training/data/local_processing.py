"""Decode and write shards on this machine: pixels wait in one flat file, so that memory does not grow with the data."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

import numpy as np

from serving.images import Pixels
from training.config import PrepareConfig
from training.data import decoding, shards
from training.data.decoding import DecodedFile, LabelledFile
from training.data.preparation import ShardFaces
from training.data.workers import processors

_Task = TypeVar("_Task")
_Result = TypeVar("_Result")


class LocalProcessing:
    """`preparation.Processing` on all processors."""

    def __init__(self, folder: Path, config: PrepareConfig) -> None:
        """Create the file of pixels in the folder that gets the shards."""
        self._folder, self._config = folder, config
        self._path = folder / "staging.pixels"
        self._pixels = self._path.open("w+b")

    def decode(self, files: Iterable[LabelledFile]) -> Generator[DecodedFile, None, None]:
        """Yield a result for each file, in order, and keep the pixels of the faces."""
        return decoding.decode(files, self._path, self._config)

    def write(self, chosen: Iterable[ShardFaces]) -> None:
        """Write the pixels of each shard."""
        for _ in _on_all_cores(self._write, chosen):
            pass

    def close(self) -> None:
        """Remove the file of pixels."""
        self._pixels.close()
        self._path.unlink()

    def _write(self, shard: ShardFaces) -> None:
        np.save(
            shards.place(self._folder, shard.split, shard.number).pixels, self._load([face.row for face in shard.faces])
        )

    def _load(self, rows: list[int]) -> Pixels:
        """Return (n, size, size, 3) uint8 pixels of some rows, from any thread."""
        faces = np.empty((len(rows), self._config.size, self._config.size, 3), np.uint8)
        for face, row in zip(faces, rows, strict=True):
            os.preadv(self._pixels.fileno(), [face.data], row * face.nbytes)
        return faces


def _on_all_cores(work: Callable[[_Task], _Result], tasks: Iterable[_Task]) -> Iterator[_Result]:
    """Yield the results in the order of the tasks, and start a few tasks ahead."""
    workers = processors()
    with ThreadPoolExecutor(workers) as pool:
        window: deque[Future[_Result]] = deque()
        for task in tasks:
            window.append(pool.submit(work, task))
            if len(window) > 2 * workers:
                yield window.popleft().result()
        while window:
            yield window.popleft().result()
