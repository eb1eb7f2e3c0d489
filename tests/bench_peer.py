"""One prediction of the bundled release against face-api.js's age network, one thread each: `make bench-peer`."""

from __future__ import annotations

import statistics
import subprocess
import time
from pathlib import Path

import numpy as np

from serving import release
from serving.predictor import Predictor

ROOT = Path(__file__).parent.parent
ROUNDS, RUNS, WARM_UP = 5, 100, 20


def main() -> None:
    """Print both times and their ratio, measured in turns."""
    predictor = Predictor(release.load(str(ROOT / "function" / "model")))
    pairs = [(_ours(predictor), _peer()) for _ in range(ROUNDS)]
    ratios = sorted(ours / peer for ours, peer in pairs)
    ours, peer = (statistics.median(column) for column in zip(*pairs, strict=True))
    print(f"bundled release: {ours:.2f} ms, face-api.js: {peer:.2f} ms, p50 of one answer on one thread")
    print(f"ratio {statistics.median(ratios):.2f} ({ratios[0]:.2f} to {ratios[-1]:.2f}, n = {ROUNDS})")


def _ours(predictor: Predictor) -> float:
    """Milliseconds, median: pixels in, calibrated answer out."""
    size = predictor.release.size
    face = np.random.default_rng(0).integers(0, 256, (1, size, size, 3), dtype=np.uint8)
    times = []
    for _ in range(WARM_UP + RUNS):
        started = time.perf_counter()
        predictor.predict(face)
        times.append((time.perf_counter() - started) * 1000)
    return statistics.median(times[WARM_UP:])


def _peer() -> float:
    command = ["node", str(ROOT / "tests" / "peer" / "face-api.mjs"), str(RUNS), str(WARM_UP)]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()[-1])


if __name__ == "__main__":
    main()
