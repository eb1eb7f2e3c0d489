"""Speed of `prepare`, alignment and the training's input: `make bench-training DATA=<folder> [PHOTOS=<folder>]`."""

from __future__ import annotations

import argparse
import io
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path

import tensorflow as tf
from PIL import Image

from serving import images
from training.config import LARGEST_FACE
from training.data import shards
from training.data.alignment import Aligner
from training.errors import RejectedFileError
from training.learning import architectures, dataset, schedules
from training.learning.loop import Batch, Loop
from training.presets import PRESETS

PRESET = PRESETS["default"]
ROUNDS = 5
STEPS = 40
PHOTOGRAPHS = 300


def main() -> None:
    """Print the table of docs/explanation/training-speed.md."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path, help="folder of faces")
    parser.add_argument("photos", type=Path, nargs="?", help="folder of photographs")
    options = parser.parse_args()
    source = options.data
    for folder in (source, options.photos):
        if folder:
            _align(folder)
    with tempfile.TemporaryDirectory() as scratch:
        work = Path(scratch)
        files = sorted(source.iterdir())
        costs = [(_bare(files), _prepare(source, work)) for _ in range(ROUNDS)]
        for clock, name in enumerate(("prepare", "prepare, by processor time")):
            rates = [tuple(len(files) / cost[clock] for cost in pair) for pair in costs]
            _report(name, "a bare loop of decode and resize", rates)
        for name, held in (("train", "faces in memory"), ("train, augmentation included", "augmented faces in memory")):
            _report(name, f"the same step on {held}", _learn(work / "data", augmented="augmented" in held))


def _report(name: str, other: str, pairs: list[tuple[float, ...]]) -> None:
    """One line: the ratio of each pair, lowest to highest, and the median speeds."""
    ratios = sorted(ours / bound for bound, ours in pairs)
    bound, ours = (statistics.median(column) for column in zip(*pairs, strict=True))
    middle = statistics.median(ratios)
    print(
        f"{name}: {middle:.3f} ({ratios[0]:.3f} to {ratios[-1]:.3f}, n = {len(pairs)}) of {other}; "
        f"{ours:.0f} against {bound:.0f} faces a second",
        flush=True,
    )


def _align(folder: Path) -> None:
    """One line: seconds of one processor to decode a file with and without alignment, in turns."""
    files = sorted(folder.glob("*.jpg"))[:PHOTOGRAPHS]
    aligner = Aligner(replace(PRESET.prepare, align=True, faces=LARGEST_FACE))
    spent, found = [0.0, 0.0], 0
    for path in files:
        data = path.read_bytes()
        started = time.process_time()
        images.read(data, PRESET.prepare.size)
        decoded = time.process_time()
        with suppress(RejectedFileError):
            aligner.read(data)
            found += 1
        spent[0] += decoded - started
        spent[1] += time.process_time() - decoded
    plain, aligned = (1000 * seconds / len(files) for seconds in spent)
    print(
        f"alignment of {len(files)} files of {folder.name}, {found} with a face: {aligned:.1f} ms of a processor for "
        f"each, {plain:.2f} ms without: alignment adds {1 - plain / aligned:.1%} of the time",
        flush=True,
    )


def _bare(files: list[Path]) -> tuple[float, float]:
    """Seconds to read, decode and resize every file on all cores, by the clock and of processors."""
    started, spent = time.perf_counter(), time.process_time()
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for _ in pool.map(partial(_decode, size=PRESET.prepare.size), files, chunksize=64):
            pass
    return time.perf_counter() - started, time.process_time() - spent


def _decode(path: Path, size: int) -> None:
    Image.open(io.BytesIO(path.read_bytes())).convert("RGB").resize((size, size), Image.Resampling.BILINEAR)


def _prepare(source: Path, work: Path) -> tuple[float, float]:
    """Seconds that the whole command takes, by the clock and of processors."""
    command = [sys.executable, "-m", "training", "prepare", "--force", "--data", str(source), "--work", str(work)]
    started, spent = time.perf_counter(), os.times()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    now = os.times()
    processors = now.children_user + now.children_system - spent.children_user - spent.children_system
    return time.perf_counter() - started, processors


def _learn(data: Path, augmented: bool) -> list[tuple[float, ...]]:
    """Faces a second with batches from memory and from the shards, in turns.

    Args:
        data: what `prepare` wrote.
        augmented: whether the faces in memory are augmented already, so that streaming has that to do in addition.
    """
    config = PRESET.train
    model = architectures.build(config, shards.fingerprint(data).size)
    model.compile(optimizer=schedules.optimizer(config, STEPS))
    loop = Loop(model, config, tf.distribute.get_strategy())
    records = dataset.training_records(data, config, seed=1)
    streamed = dataset.learnable(records, data, config, seed=1)
    if augmented:
        held = streamed.take(1).cache().repeat()
    else:
        held = dataset.learnable(records.take(1).cache().repeat(), data, config, seed=1)
    sources = [loop.learn(held), loop.learn(streamed)]
    for batches in sources:
        loop.epoch(batches, 5, "warm-up")
    return [tuple(_rate(loop, batches) for batches in sources) for _ in range(ROUNDS)]


def _rate(loop: Loop, batches: Iterator[Batch]) -> float:
    started = time.perf_counter()
    loop.epoch(batches, STEPS, "measuring")
    return STEPS * loop.config.batch / (time.perf_counter() - started)


if __name__ == "__main__":
    main()
