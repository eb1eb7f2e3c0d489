"""Speed of `prepare` and of the training's input against what they cannot beat: `make bench-training DATA=<folder>`."""

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
from functools import partial
from pathlib import Path

import tensorflow as tf
from PIL import Image

from training.data import shards
from training.learning import architectures, dataset, schedules
from training.learning.loop import Batch, Loop
from training.presets import PRESETS

PRESET = PRESETS["default"]
ROUNDS = 5
STEPS = 40


def main() -> None:
    """Print the table of docs/explanation/training-speed.md."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path, help="folder of faces")
    source = parser.parse_args().data
    with tempfile.TemporaryDirectory() as scratch:
        work = Path(scratch)
        files = sorted(source.iterdir())
        rates = [
            tuple(len(files) / seconds for seconds in (_bare(files), _prepare(source, work))) for _ in range(ROUNDS)
        ]
        _report("prepare", "a bare loop of decode and resize", rates)
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


def _bare(files: list[Path]) -> float:
    """Seconds to read, decode and resize every file on all cores."""
    started = time.perf_counter()
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for _ in pool.map(partial(_decode, size=PRESET.prepare.size), files, chunksize=64):
            pass
    return time.perf_counter() - started


def _decode(path: Path, size: int) -> None:
    Image.open(io.BytesIO(path.read_bytes())).convert("RGB").resize((size, size), Image.Resampling.BILINEAR)


def _prepare(source: Path, work: Path) -> float:
    """Seconds that the whole command takes."""
    command = [sys.executable, "-m", "training", "prepare", "--data", str(source), "--work", str(work)]
    started = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - started


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
