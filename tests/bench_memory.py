"""Peak memory of `prepare` and `train` with one and with ten times the faces: `make bench-memory DATA=<folder>`."""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

COPIES = 10
# Seconds between two looks at the memory.
PAUSE = 0.05

# A whole pass over the training faces, however many, by the smallest network.
_TRAIN = """
import sys, dataclasses, pathlib
from training.presets import PRESETS
from training.train import train
work = pathlib.Path(sys.argv[1])
config = dataclasses.replace(PRESETS["smoke"].train, epochs=1, max_steps=0)
train(work / "data", work / "model", config, "smoke", resume=False)
"""


def peak(*command: str | Path) -> int:
    """Peak memory of a command and its workers in kilobytes, where shared pages count once."""
    with subprocess.Popen([sys.executable, *map(str, command)], stdout=subprocess.DEVNULL) as process:
        largest = 0
        while process.poll() is None:
            largest = max(largest, sum(map(_memory, _family(process.pid))))
            time.sleep(PAUSE)
    if process.returncode:
        sys.exit(f"{command} failed")
    return largest


def _family(pid: int) -> Iterator[int]:
    """Yield a process and all that it started."""
    yield pid
    for path in Path("/proc", str(pid), "task").glob("*/children"):
        with suppress(OSError):
            for child in path.read_text().split():
                yield from _family(int(child))


def _memory(pid: int) -> int:
    """Proportional set size of a process in kilobytes, 0 if it has ended."""
    try:
        lines = Path("/proc", str(pid), "smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith("Pss:")), 0)


def copy_under_new_names(source: Path, folder: Path, copies: int) -> None:
    """Link every face `copies` times, its time stamp lengthened by the number of the copy."""
    folder.mkdir()
    for path in source.iterdir():
        stem, dot, suffix = path.name.partition(".")
        for copy in range(copies):
            (folder / f"{stem}{copy}{dot}{suffix}").symlink_to(path.resolve())


def measure(source: Path, copies: int, scratch: Path) -> tuple[int, int]:
    """Peak memory of `prepare` and of `train`."""
    faces, work = scratch / f"faces-{copies}", scratch / f"work-{copies}"
    copy_under_new_names(source, faces, copies)
    prepared = peak("-m", "training", "prepare", "--data", faces, "--work", work)
    return prepared, peak("-c", _TRAIN, work)


def main() -> None:
    """Print the table of docs/explanation/training-speed.md."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path, help="folder of faces")
    source = parser.parse_args().data
    with tempfile.TemporaryDirectory() as scratch:
        one = measure(source, 1, Path(scratch))
        ten = measure(source, COPIES, Path(scratch))
    for step, small, large in zip(("prepare", "train"), one, ten, strict=True):
        print(f"{step:8} {small / 1024:6.0f} MiB with one, {large / 1024:6.0f} MiB with ten: {large / small:.2f} times")


if __name__ == "__main__":
    main()
