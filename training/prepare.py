"""Step `prepare`: labelled faces -> index, splits, shards, fingerprint and exploration page."""

from __future__ import annotations

import csv
import hashlib
import json
import re
import shutil
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from serving import images
from serving.text import encodable, printable, spreadsheet_cell
from training import labels
from training.config import PrepareConfig
from training.data import decoding, duplicates, exploration, readers, shards
from training.data.decoding import LabelledFile
from training.data.labelling import FileNames, Labelling
from training.data.readers import SourceFile
from training.data.shards import Fingerprint
from training.data.staging import Face, Staging
from training.data.workers import processors
from training.errors import StepError
from training.files import OwnFolder, write_text
from training.progress import progress

_Task = TypeVar("_Task")
_Result = TypeVar("_Result")

_FOLDER = OwnFolder(
    "prepare",
    re.compile(
        r"(index|rejected)\.csv|(fingerprint|origin|key)\.json|staging\.(sqlite(-journal)?|pixels)"
        rf"|({'|'.join(shards.SPLITS)})-\d+\.(pixels|labels)\.npy|exploration/(index\.html|[a-z-]+\.png)|\..+\.partial"
    ),
    {"fingerprint.json": ("sha256", "faces"), "staging.sqlite": ()},
)


def prepare(
    source: Path, folder: Path, config: PrepareConfig, expected: str = "", labelling: Labelling | None = None
) -> Fingerprint:
    """Read every face of `source` once and write the input of later steps into `folder`.

    The files are written beside `folder` and replace it in one move, so an interrupted run keeps the former data.

    Args:
        source: folder or archive of faces.
        folder: output folder.
        config: configuration of the step.
        expected: required fingerprint, or "" for any.
        labelling: where the labels are, or None for the names of the files.

    Raises:
        StepError: the source cannot be read, has too few faces for three splits, or has another fingerprint.
    """
    labelling = labelling or FileNames()
    unfinished = folder.with_name(folder.name + ".partial")
    # Before the work, so that an obstacle costs no time.
    _FOLDER.require(folder)
    _FOLDER.clear(unfinished)
    unfinished.mkdir(parents=True)
    try:
        fingerprint = _fill(source, unfinished, config, labelling)
        if expected and fingerprint.sha256 != expected:
            raise StepError(
                f"{source} has the fingerprint {fingerprint.sha256}, not {expected}: these are other faces, or they "
                f"are prepared in another way ({summary(fingerprint)}); if that is intended, expect the new fingerprint"
            )
        write_text(unfinished / shards.ORIGIN_FILE, json.dumps(readers.origin(source) | labelling.origin()) + "\n")
    except BaseException:
        shutil.rmtree(unfinished)
        raise
    _FOLDER.clear(folder)
    unfinished.rename(folder)
    return fingerprint


def _fill(source: Path, folder: Path, config: PrepareConfig, labelling: Labelling) -> Fingerprint:
    staging = Staging(folder, config.size)
    try:
        labelling.begin(staging.database)
        _collect(source, staging, config, labelling)
        staging.withdraw(labelling.doubtful())
        roots = duplicates.groups(staging.images(), staging.thumbnails, config.near_duplicate, labelling.joined())
        # The earliest member names a group, so later files move no earlier face to another split.
        staging.group(map(int, roots), partial(_split_of, config=config))
        staging.reject_contradictions()
        fingerprint = _write(staging, folder, config, labelling)
        exploration.write(folder, "; ".join([summary(fingerprint), *labelling.account()]))
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


def _collect(source: Path, staging: Staging, config: PrepareConfig, labelling: Labelling) -> None:
    files = progress(_labelled(readers.find(source), labelling), "prepare", "face", readers.count(source))
    with closing(decoding.decode(files, staging.pixels_path, config)) as decoded:
        for face in decoded:
            if face.labels is None or face.reason:
                staging.reject(face.path, face.reason)
            else:
                staging.accept(face.row, face.path, face.labels, face.digest, face.thumbnail)


def _labelled(files: Iterable[SourceFile], labelling: Labelling) -> Iterator[LabelledFile]:
    for file in files:
        path = encodable(file.path)
        if labelling.holds(path):
            continue
        try:
            yield LabelledFile(path, file, labelling.find(path))
        except labels.LabelError as error:
            yield LabelledFile(path, file, None, str(error))


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


def _split_of(group: str, config: PrepareConfig) -> str:
    """Return the split of a whole group, from a hash of its name."""
    position = int(hashlib.sha256(group.encode()).hexdigest()[:8], 16) / 2**32
    if position < config.test:
        return "test"
    return "validation" if position < config.test + config.validation else "train"


def _write(staging: Staging, folder: Path, config: PrepareConfig, labelling: Labelling) -> Fingerprint:
    aligned = _alignment(config)
    rule = f"{images.RESIZE_RULE} {json.dumps(aligned, sort_keys=True)}" if aligned else images.RESIZE_RULE
    digest = hashlib.sha256(f"{config.size} {rule}\n".encode())
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
        for _ in _on_all_cores(lambda block: _write_shard(staging, folder, *block), blocks(index)):
            pass
    rejected = _write_rejected(folder, staging.rejected(), labelling.unused())
    fingerprint = Fingerprint(digest.hexdigest(), config.size, images.RESIZE_RULE, counts, rejected, copies, aligned)
    if not all(counts.values()):
        raise StepError(_too_few(fingerprint, next(staging.rejected(), None), labelling.advice))
    fingerprint.save(folder)
    return fingerprint


def _alignment(config: PrepareConfig) -> dict[str, Any]:
    """Return how photographs are aligned, empty if they are not."""
    if not config.align:
        return {}
    # Imported only then: it loads the runtime of the detector's networks.
    from training.data import alignment

    return alignment.identity(config)


def _too_few(fingerprint: Fingerprint, rejected: tuple[str, str] | None, advice: str) -> str:
    """Return the message for too few faces, with the first row of rejected.csv, which is removed."""
    example = f", for example {printable(rejected[0])}: {printable(rejected[1])}" if rejected else ""
    return f"too few faces for three splits: {summary(fingerprint)}{example}; {advice}"


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


def _write_rejected(folder: Path, files: Iterator[tuple[str, str]], rows: Iterator[tuple[str, str]]) -> int:
    """Write rejected.csv and return the number of files in it. Rows of tables without a file follow."""
    count = 0
    with (folder / "rejected.csv").open("w", newline="", encoding="utf-8") as stream:
        rejected = csv.writer(stream)
        rejected.writerow(["path", "reason"])
        for count, row in enumerate(files, start=1):  # noqa: B007 - read after the loop
            rejected.writerow(map(spreadsheet_cell, row))
        rejected.writerows(map(spreadsheet_cell, row) for row in rows)
    return count
