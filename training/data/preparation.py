"""Labelled faces -> index, splits, shards, fingerprint and exploration page, wherever the files are decoded."""

from __future__ import annotations

import csv
import hashlib
import json
import re
import shutil
from collections.abc import Generator, Iterable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np

from serving import images
from serving.text import encodable, printable, spreadsheet_cell
from training import labels
from training.config import PrepareConfig
from training.data import duplicates, exploration, shards
from training.data.decoding import DecodedFile, LabelledFile
from training.data.labelling import Labelling
from training.data.readers import SourceFile
from training.data.shards import Fingerprint
from training.data.staging import Face, Staging
from training.errors import StepError
from training.files import OwnFolder, write_text

FOLDER = OwnFolder(
    "prepare",
    re.compile(
        r"(index|rejected)\.csv|(fingerprint|origin|key)\.json|staging\.(sqlite(-journal)?|pixels)"
        rf"|({'|'.join(shards.SPLITS)})-\d+\.(pixels|labels)\.npy|exploration/(index\.html|[a-z-]+\.png)|\..+\.partial"
    ),
    {"fingerprint.json": ("sha256", "faces"), "staging.sqlite": ()},
)


class ShardFaces(NamedTuple):
    """The faces of one shard, in order."""

    split: str
    number: int
    faces: list[Face]


class Processing(Protocol):
    """Where files are decoded and shards are written: on this machine, or on the workers of a Beam runner."""

    def decode(self, files: Iterable[LabelledFile]) -> Generator[DecodedFile, None, None]:
        """Yield a result for each file, in order. The row of a result is the number of its file."""

    def write(self, chosen: Iterable[ShardFaces]) -> None:
        """Write the pixels of each shard. Its labels are written already."""


@dataclass(frozen=True)
class Source:
    """Where the faces come from."""

    name: str
    """Name for messages."""
    files: Iterable[SourceFile]
    """Every file."""
    origin: dict[str, str]
    """What a manifest states about it."""


@contextmanager
def replaced(folder: Path) -> Iterator[Path]:
    """Yield an empty folder that replaces `folder` in one move, so an interrupted run keeps the former data.

    Raises:
        StepError: `folder` holds files that `prepare` did not write.
    """
    unfinished = folder.with_name(folder.name + ".partial")
    # Before the work, so that an obstacle costs no time.
    FOLDER.require(folder)
    FOLDER.clear(unfinished)
    unfinished.mkdir(parents=True)
    try:
        yield unfinished
    except BaseException:
        shutil.rmtree(unfinished)
        raise
    FOLDER.clear(folder)
    unfinished.rename(folder)


def fill(
    source: Source, processing: Processing, folder: Path, config: PrepareConfig, labelling: Labelling, expected: str
) -> Fingerprint:
    """Write the input of later steps into an empty folder, all but the pixels of `processing`.

    Args:
        source: labelled files.
        processing: decodes them, and writes their pixels.
        folder: output folder.
        config: configuration of the step.
        labelling: where the labels are.
        expected: required fingerprint, or "" for any.

    Raises:
        StepError: the source has too few faces for three splits, or another fingerprint.
    """
    staging = Staging(folder)
    try:
        labelling.begin(staging.database)
        _collect(source.files, processing, staging, labelling)
        staging.withdraw(labelling.doubtful())
        roots = duplicates.groups(staging.images(), staging.thumbnails, config.near_duplicate, labelling.joined())
        # The earliest member names a group, so later files move no earlier face to another split.
        staging.group(map(int, roots), partial(_split_of, config=config))
        staging.reject_contradictions()
        fingerprint = _write(staging, processing, folder, config, labelling)
        exploration.write(folder, "; ".join([summary(fingerprint), *labelling.account()]))
    finally:
        staging.remove()
    if expected and fingerprint.sha256 != expected:
        raise StepError(
            f"{source.name} has the fingerprint {fingerprint.sha256}, not {expected}: these are other faces, or they "
            f"are prepared in another way ({summary(fingerprint)}); if that is intended, expect the new fingerprint"
        )
    write_text(folder / shards.ORIGIN_FILE, json.dumps(source.origin | labelling.origin()) + "\n")
    return fingerprint


def summary(fingerprint: Fingerprint) -> str:
    """Return a line that accounts for every file."""
    accepted = sum(fingerprint.faces.values())
    splits = ", ".join(f"{count} {split}" for split, count in fingerprint.faces.items())
    copies = f" + {fingerprint.copies} copies of these" if fingerprint.copies else ""
    files = accepted + fingerprint.copies + fingerprint.rejected
    return f"{files} files = {accepted} accepted ({splits}){copies} + {fingerprint.rejected} rejected"


def _collect(files: Iterable[SourceFile], processing: Processing, staging: Staging, labelling: Labelling) -> None:
    with closing(processing.decode(_labelled(files, labelling))) as decoded:
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


def _split_of(group: str, config: PrepareConfig) -> str:
    """Return the split of a whole group, from a hash of its name."""
    position = int(hashlib.sha256(group.encode()).hexdigest()[:8], 16) / 2**32
    if position < config.test:
        return "test"
    return "validation" if position < config.test + config.validation else "train"


def _write(
    staging: Staging, processing: Processing, folder: Path, config: PrepareConfig, labelling: Labelling
) -> Fingerprint:
    aligned = _alignment(config)
    rule = f"{images.RESIZE_RULE} {json.dumps(aligned, sort_keys=True)}" if aligned else images.RESIZE_RULE
    digest = hashlib.sha256(f"{config.size} {rule}\n".encode())
    counts = dict.fromkeys(shards.SPLITS, 0)
    copies = 0

    def chosen(index: Any) -> Iterator[ShardFaces]:
        """Yield the faces of each shard in order, write their labels, and add them to index, counts and digest."""
        nonlocal copies
        for split in shards.SPLITS:
            for number, block in enumerate(_blocks(staging.faces(split), config.shard_faces)):
                for position, face in enumerate(block):
                    # The index lists every accepted file. Copies share a place in the shards.
                    index.writerows([spreadsheet_cell(path), *face.cells, number, position] for path in face.paths)
                    digest.update(f"{face.identity}\n".encode())
                    copies += len(face.paths) - 1
                counts[split] += len(block)
                columns = np.array([face.labels for face in block], np.uint8)
                np.save(shards.place(folder, split, number).labels, columns)
                yield ShardFaces(split, number, block)

    with (folder / "index.csv").open("w", newline="", encoding="utf-8") as stream:
        index = csv.writer(stream)
        index.writerow(["path", *labels.ROW, "group", "split", "digest", "shard", "position"])
        processing.write(chosen(index))
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
