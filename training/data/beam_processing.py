"""Decode and write shards on the workers of a Beam runner.

A first pipeline decodes parts of the files and writes what `prepare` has to know of each into a folder of parts. The
machine that starts it decides about the shards. A second pipeline reads the faces of each shard again and writes their
pixels. Each worker writes complete files, so a part that runs twice writes the same file twice.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Generator, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import astuple
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import apache_beam as beam
import numpy as np
from apache_beam.options.pipeline_options import PipelineOptions

from age_gender import pipelines, storage
from training.config import PrepareConfig
from training.data import beam_source, decoding, shards
from training.data.decoding import DecodedFile, Decoder, LabelledFile, Outcome
from training.data.readers import SourceFile
from training.errors import RejectedFileError, StepError
from training.labels import Labels

if TYPE_CHECKING:
    # The workers do not need its plots.
    from training.data.preparation import ShardFaces

# Files in one part. A worker decodes a part at a time.
_PART_FILES = 256
# Concurrent reads of one worker, because cloud storage has a high latency.
_READERS = 16
# Names of the files in the folder of parts.
_NAMES = re.compile(r"(files|shards)\.jsonl|decoded-\d{6,}\.jsonl|[0-9a-f]{32}\.tmp")


class BeamProcessing:
    """`preparation.Processing` on a Beam runner."""

    def __init__(self, parts: str, target: str, config: PrepareConfig, options: PipelineOptions) -> None:
        """Choose the folders.

        Args:
            parts: folder for what the pipelines exchange, local or gs://. `close` removes it.
            target: folder for the pixels, local or gs://.
            config: configuration of the step.
            options: Beam's pipeline options.
        """
        self._parts, self._target, self._config, self._options = parts, target, config, options
        self._places: list[str] = []

    def decode(self, files: Iterable[LabelledFile]) -> Generator[DecodedFile, None, None]:
        """Yield a result for each file, in order.

        Raises:
            StepError: the pipeline failed.
        """
        # The parts of a run that was killed must not count.
        self.close()
        listed = f"{self._parts}/files.jsonl"
        count = self._write_lines(listed, _parts(files))
        self._run(listed, _DecodePart(self._parts, self._config), {_decoded(self._parts, n) for n in range(count)})
        for line in storage.lines(listed):
            number, part = json.loads(line)
            outcomes = map(json.loads, storage.lines(_decoded(self._parts, number)))
            for (path, place, labels, reason), (refusal, digest, thumbnail) in zip(part, outcomes, strict=True):
                row = len(self._places)
                self._places.append(place)
                found = base64.b64decode(thumbnail)
                yield DecodedFile(path, _labels(labels), reason or refusal, row, digest, found)

    def write(self, chosen: Iterable[ShardFaces]) -> None:
        """Write the pixels of each shard.

        Raises:
            StepError: the pipeline failed, or a file changed since it was decoded.
        """
        listed = f"{self._parts}/shards.jsonl"
        written: set[str] = set()

        def described() -> Iterator[Any]:
            for shard in chosen:
                written.add(_pixels(self._target, shard.split, shard.number))
                faces = [(self._places[face.row], face.digest) for face in shard.faces]
                yield shard.split, shard.number, faces

        self._write_lines(listed, described())
        self._run(listed, _WriteShard(self._parts, self._target, self._config), written)

    def close(self) -> None:
        """Remove the folder of parts."""
        storage.remove(self._parts, _NAMES, self._options)

    def _write_lines(self, path: str, values: Iterable[Any]) -> int:
        count = 0
        with storage.written(path, self._parts) as file:
            for count, value in enumerate(values, start=1):  # noqa: B007 - read after the loop
                file.write(json.dumps(value).encode() + b"\n")
        return count

    def _run(self, listed: str, work: beam.DoFn, written: set[str]) -> None:
        """Give each line of a file to a worker, which writes one of the files `written`."""
        try:
            with beam.Pipeline(options=self._options) as pipeline:
                _ = pipelines.lines(pipeline, listed) | "Write" >> beam.ParDo(work)
        except Exception as error:
            raise StepError(f"the Beam pipeline failed: {pipelines.reason(error)}; run the command again") from error
        if missing := written.difference(*map(storage.list_folder, {self._parts, self._target})):
            raise StepError(
                f"the runner ended before {min(missing)} was written; let it wait for the end of a pipeline, without "
                "--no_wait_until_finish and without --template_location"
            )


class _DecodePart(beam.DoFn):
    """Decode the files of one part, given its line."""

    def __init__(self, parts: str, config: PrepareConfig) -> None:
        self._parts, self._config = parts, config

    def setup(self) -> None:
        """Load the detector where it is needed."""
        self._decoder = Decoder(self._config)

    def process(self, line: str) -> None:
        """Write what is known of each file, a line each."""
        number, part = json.loads(line)
        files = [SourceFile(path, place=place) for path, place, _, reason in part if not reason]
        found = map(self._outcome, _loaded(files))
        outcomes = (Outcome() if reason else next(found) for *_, reason in part)
        lines = [json.dumps((*each[:2], base64.b64encode(each.thumbnail).decode())) + "\n" for each in outcomes]
        storage.write(_decoded(self._parts, number), "".join(lines).encode(), self._parts)

    def _outcome(self, file: SourceFile) -> Outcome:
        try:
            return decoding.accepted(file, self._decoder.read(file))
        except RejectedFileError as error:
            return Outcome(str(error))


class _WriteShard(beam.DoFn):
    """Write the pixels of one shard, given its line."""

    def __init__(self, parts: str, target: str, config: PrepareConfig) -> None:
        self._parts, self._target, self._config = parts, target, config

    def setup(self) -> None:
        """Load the detector where it is needed."""
        self._decoder = Decoder(self._config)

    def process(self, line: str) -> None:
        """Write the shard, if all of its files are what they were."""
        split, number, faces = json.loads(line)
        pixels = np.empty((len(faces), self._config.size, self._config.size, 3), np.uint8)
        files = [SourceFile(place, place=place) for place, _ in faces]
        for row, file, (_, digest) in zip(pixels, _loaded(files), faces, strict=True):
            if hashlib.sha256(file.data).hexdigest() != digest:
                raise StepError(f"{file.path} changed while it was prepared")
            row[:] = self._decoder.read(file).pixels
        with storage.written(_pixels(self._target, split, number), self._parts) as written:
            np.save(written, pixels)


def _parts(files: Iterable[LabelledFile]) -> Iterator[Any]:
    """Yield number and files of each part: path, place, labels, and the reason why it is not read."""
    described = (
        (each.path, each.file.place, astuple(each.labels) if each.labels else None, each.file.refusal or each.reason)
        for each in files
    )
    number = 0
    while part := list(islice(described, _PART_FILES)):
        yield number, part
        number += 1


def _labels(row: list[Any] | None) -> Labels | None:
    if row is None:
        return None
    age, age_high, choices, stamp = row
    return Labels(age, age_high, tuple(choices), stamp)


def _loaded(files: list[SourceFile]) -> Iterator[SourceFile]:
    """Yield files with their contents, of which a few are in memory."""
    with ThreadPoolExecutor(_READERS) as pool:
        for start in range(0, len(files), _READERS):
            yield from pool.map(beam_source.load, files[start : start + _READERS])


def _decoded(parts: str, number: int) -> str:
    return f"{parts}/decoded-{number:06}.jsonl"


def _pixels(target: str, split: str, number: int) -> str:
    return f"{target}/{shards.place(Path(), split, number).pixels}"
