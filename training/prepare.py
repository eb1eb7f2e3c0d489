"""Step `prepare`: labelled faces -> index, splits, shards, fingerprint and exploration page."""

from __future__ import annotations

import csv
import hashlib
import json
import os
import re
import shutil
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import chain
from pathlib import Path, PurePosixPath
from typing import Any, TypeVar

import numpy as np

from serving import images
from serving.text import encodable, printable, spreadsheet_cell
from training import labels
from training.config import PrepareConfig
from training.data import duplicates, exploration, readers, shards
from training.data.readers import SourceFile
from training.data.shards import Fingerprint
from training.data.staging import Face, Staging
from training.errors import StepError
from training.files import OwnFolder, write_text
from training.progress import progress

_Task = TypeVar("_Task")
_Result = TypeVar("_Result")

# Files in one decoding task, and their bytes unless a single file has more.
_CHUNK = 32
_CHUNK_BYTES = 32 * 2**20
_FOLDER = OwnFolder(
    "prepare",
    re.compile(
        r"(index|rejected)\.csv|(fingerprint|origin|key)\.json|staging\.(sqlite(-journal)?|pixels)"
        rf"|({'|'.join(shards.SPLITS)})-\d+\.(pixels|labels)\.npy|exploration/(index\.html|[a-z-]+\.png)|\..+\.partial"
    ),
    {"fingerprint.json": ("sha256", "faces"), "staging.sqlite": ()},
)


@dataclass(frozen=True)
class _Decoded:
    """A decoded file: a face, or the reason for its rejection."""

    path: str
    reason: str = ""
    face: tuple[labels.Labels, str, images.Pixels, bytes] | None = None


def prepare(source: Path, folder: Path, config: PrepareConfig, expected: str = "") -> Fingerprint:
    """Read every face of `source` once and write the input of later steps into `folder`.

    The files are written beside `folder` and replace it in one move, so an interrupted run keeps the former data.

    Args:
        source: folder or archive of faces.
        folder: output folder.
        config: configuration of the step.
        expected: required fingerprint, or "" for any.

    Raises:
        StepError: the source cannot be read, has too few faces for three splits, or has another fingerprint.
    """
    unfinished = folder.with_name(folder.name + ".partial")
    # Before the work, so that an obstacle costs no time.
    _FOLDER.require(folder)
    _FOLDER.clear(unfinished)
    unfinished.mkdir(parents=True)
    try:
        fingerprint = _fill(source, unfinished, config)
        if expected and fingerprint.sha256 != expected:
            raise StepError(
                f"{source} has the fingerprint {fingerprint.sha256}, not {expected}: these are other faces, or they "
                f"are prepared in another way ({summary(fingerprint)}); if that is intended, expect the new fingerprint"
            )
        write_text(unfinished / shards.ORIGIN_FILE, json.dumps(readers.origin(source)) + "\n")
    except BaseException:
        shutil.rmtree(unfinished)
        raise
    _FOLDER.clear(folder)
    unfinished.rename(folder)
    return fingerprint


def _fill(source: Path, folder: Path, config: PrepareConfig) -> Fingerprint:
    staging = Staging(folder, config.size)
    try:
        _collect(source, staging, config.size)
        roots = duplicates.groups(staging.images(), staging.thumbnails, config.near_duplicate)
        # The earliest member names a group, so later files move no earlier face to another split.
        staging.group(map(int, roots), partial(_split_of, config=config))
        staging.reject_contradictions()
        fingerprint = _write(staging, folder, config)
        exploration.write(folder, summary(fingerprint))
    finally:
        staging.remove()
    return fingerprint


def summary(fingerprint: Fingerprint) -> str:
    """Return a line that accounts for every file."""
    accepted = sum(fingerprint.faces.values())
    splits = ", ".join(f"{count} {split}" for split, count in fingerprint.faces.items())
    copies = f" + {fingerprint.copies} copies of these" if fingerprint.copies else ""
    files = accepted + fingerprint.copies + fingerprint.rejected
    return f"{files} files = {accepted} accepted ({splits}){copies} + {fingerprint.rejected} rejected"


def _collect(source: Path, staging: Staging, size: int) -> None:
    files = progress(readers.read(source), "prepare", "face", readers.count(source))
    for decoded in _decode_all(files, size):
        if decoded.face is None:
            staging.reject(decoded.path, decoded.reason)
        else:
            staging.accept(decoded.path, *decoded.face)


def _decode_all(files: Iterable[SourceFile], size: int) -> Iterator[_Decoded]:
    """Decode on all cores, in order, with a bounded number of files in memory."""
    # A task for each file would cost as much again as the file.
    chunks = _chunks(files)
    return chain.from_iterable(_on_all_cores(lambda chunk: [_decode(file, size) for file in chunk], chunks))


def _chunks(files: Iterable[SourceFile]) -> Iterator[list[SourceFile]]:
    chunk: list[SourceFile] = []
    left = _CHUNK_BYTES
    for file in files:
        chunk.append(file)
        left -= len(file.data)
        if len(chunk) == _CHUNK or left <= 0:
            yield chunk
            chunk, left = [], _CHUNK_BYTES
    if chunk:
        yield chunk


def _on_all_cores(work: Callable[[_Task], _Result], tasks: Iterable[_Task]) -> Iterator[_Result]:
    """Yield the results in the order of the tasks, and start a few tasks ahead."""
    workers = os.cpu_count() or 1
    with ThreadPoolExecutor(workers) as pool:
        window: deque[Future[_Result]] = deque()
        for task in tasks:
            window.append(pool.submit(work, task))
            if len(window) > 2 * workers:
                yield window.popleft().result()
        while window:
            yield window.popleft().result()


def _decode(file: SourceFile, size: int) -> _Decoded:
    path = encodable(file.path)
    if file.refusal:
        return _Decoded(path, file.refusal)
    try:
        found = labels.parse(PurePosixPath(path).name)
        image = images.read(file.data, size)
    except labels.LabelError as error:
        return _Decoded(path, str(error))
    except images.ImageError as error:
        return _Decoded(path, f"undecodable: {error}")
    digest = hashlib.sha256(file.data).hexdigest()
    return _Decoded(path, face=(found, digest, image.pixels, image.thumbnail.tobytes()))


def _split_of(group: str, config: PrepareConfig) -> str:
    """Return the split of a whole group, from a hash of its name."""
    position = int(hashlib.sha256(group.encode()).hexdigest()[:8], 16) / 2**32
    if position < config.test:
        return "test"
    return "validation" if position < config.test + config.validation else "train"


def _write(staging: Staging, folder: Path, config: PrepareConfig) -> Fingerprint:
    digest = hashlib.sha256(f"{config.size} {images.RESIZE_RULE}\n".encode())
    counts = dict.fromkeys(shards.SPLITS, 0)
    copies = 0

    def blocks(index: Any) -> Iterator[tuple[str, int, list[Face]]]:
        """Yield the faces of each shard in order, and add them to index, counts and digest."""
        nonlocal copies
        for split in shards.SPLITS:
            for number, block in enumerate(_blocks(staging.faces(split), config.shard_faces)):
                for position, face in enumerate(block):
                    # The index lists every accepted file. Copies share a place in the shards.
                    index.writerows([spreadsheet_cell(path), *face.cells, number, position] for path in face.paths)
                    digest.update(f"{face.identity}\n".encode())
                    copies += len(face.paths) - 1
                counts[split] += len(block)
                yield split, number, block

    with (folder / "index.csv").open("w", newline="", encoding="utf-8") as stream:
        index = csv.writer(stream)
        index.writerow(["path", *labels.ROW, "group", "split", "digest", "shard", "position"])
        staging.pixels.flush()
        for _ in _on_all_cores(lambda block: _write_shard(staging, folder, *block), blocks(index)):
            pass
    rejected = _write_rejected(staging, folder)
    fingerprint = Fingerprint(digest.hexdigest(), config.size, images.RESIZE_RULE, counts, rejected, copies)
    if not all(counts.values()):
        raise StepError(_too_few(fingerprint, next(staging.rejected(), None)))
    fingerprint.save(folder)
    return fingerprint


def _too_few(fingerprint: Fingerprint, rejected: tuple[str, str] | None) -> str:
    """Return the message for too few faces, with the first row of rejected.csv, which is removed."""
    example = f", for example {printable(rejected[0])}: {printable(rejected[1])}" if rejected else ""
    return (
        f"too few faces for three splits: {summary(fingerprint)}{example}; give a hundred or more with names of the "
        f"form {labels.PATTERN}"
    )


def _write_shard(staging: Staging, folder: Path, split: str, number: int, block: list[Face]) -> None:
    pixels = staging.load([face.row for face in block])
    columns = np.array([face.labels for face in block], np.uint8)
    shards.write(folder, split, number, pixels, columns)


def _blocks(faces: Iterator[Face], length: int) -> Iterator[list[Face]]:
    block: list[Face] = []
    for face in faces:
        block.append(face)
        if len(block) == length:
            yield block
            block = []
    if block:
        yield block


def _write_rejected(staging: Staging, folder: Path) -> int:
    count = 0
    with (folder / "rejected.csv").open("w", newline="", encoding="utf-8") as stream:
        rejected = csv.writer(stream)
        rejected.writerow(["path", "reason"])
        for count, row in enumerate(staging.rejected(), start=1):  # noqa: B007 - read after the loop
            rejected.writerow(map(spreadsheet_cell, row))
    return count
