"""Fit the templates of `serving.detection.detectors`: where each network sees the landmarks of UTKFace's crops.

python -m tests.fit_templates <folder that `prepare` wrote> <UTKFace>
"""

from __future__ import annotations

import csv
import sys
from pathlib import Path

import numpy as np

from serving import images
from serving.detection import crops
from serving.detection.detectors import FILES, MARGIN, Detector

COUNT = 800
LEAST_SCORE = 0.3


def main() -> None:
    """Print the medians over training faces, in pixels of a crop of `crops.ALIGNED_SIDE`."""
    prepared, faces = map(Path, sys.argv[1:3])
    with (prepared / "index.csv").open(newline="", encoding="utf-8") as table:
        paths = [row["path"] for row in csv.DictReader(table) if row["split"] == "train"]
    chosen = np.random.default_rng(7).permutation(len(paths))[:COUNT]
    for file in FILES:
        network, seen = Detector(file), []
        for at in chosen.tolist():
            chip = images.inspect((faces / paths[at]).read_bytes()).upright(1).pixels
            side = MARGIN * chip.width
            corner = (chip.width - side) / 2
            found = network.find(crops.square(chip, corner, corner, side, file.size), LEAST_SCORE)
            if found:
                seen.append(((found[0].landmarks * side + corner) / chip.width) * crops.ALIGNED_SIDE)
        print(f"{file.name}, {len(seen)} of {COUNT} faces")
        for (x, y), (spread_x, spread_y) in zip(np.median(seen, axis=0), np.std(seen, axis=0), strict=True):
            print(f"  {x:6.1f} {y:6.1f}   standard deviation {spread_x:.1f} {spread_y:.1f}")


if __name__ == "__main__":
    main()
