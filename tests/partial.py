"""Prepared faces whose labels were coarsened, as if annotators had said less about the same images."""

from __future__ import annotations

import csv
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np

from training.data import shards
from training.data.shards import LabelArray
from training.labels import CHOICES, COLUMNS, MAX_AGE, MISSING, ROW

# Lowest ages of FairFace's ranges. The last one is open.
BANDS = np.array([0, 3, 10, 20, 30, 40, 50, 60, 70])
_HIGHEST = np.array([*(BANDS[1:] - 1), MAX_AGE])
_AGE, _AGE_HIGH = ROW.index("age"), ROW.index("age_high")


def coarse(labels: LabelArray) -> LabelArray:
    """Exact ages as FairFace's ranges."""
    found = np.array(labels)
    place = np.searchsorted(BANDS, found[:, _AGE], side="right") - 1
    found[:, _AGE], found[:, _AGE_HIGH] = BANDS[place], _HIGHEST[place]
    return found


def without(labels: LabelArray, head: str, share: float = 1.0, seed: int = 0) -> LabelArray:
    """Labels without those of a choice, for a share of the faces at random."""
    found = np.array(labels)
    chosen = np.random.default_rng(seed).random(len(found)) < share
    found[chosen, COLUMNS.index(head)] = MISSING
    return found


def photos(labels: LabelArray) -> LabelArray:
    """As many photo collections have them: ranges of ages, most genders, and no other choice."""
    found = without(coarse(labels), "gender", 1 / 3)
    for head in CHOICES[1:]:
        found = without(found, head.name)
    return found


def copy(data: Path, folder: Path, change: Callable[[LabelArray], LabelArray]) -> Path:
    """Copy prepared faces to `folder`, with other labels in shards and index."""
    shutil.copytree(data, folder)
    for split in shards.SPLITS:
        for shard in shards.shards(folder, split):
            labels = np.array(shard.load()[1])
            np.save(shard.labels, change(labels))
    rows = list(csv.DictReader((folder / "index.csv").open(newline="", encoding="utf-8")))
    for row in rows:
        labels = shards.shards(folder, row["split"])[int(row["shard"])].load()[1][int(row["position"])]
        row |= {name: "" if label == MISSING else str(label) for name, label in zip(ROW, labels, strict=True)}
    with (folder / "index.csv").open("w", newline="", encoding="utf-8") as stream:
        table = csv.DictWriter(stream, fieldnames=list(rows[0]))
        table.writeheader()
        table.writerows(rows)
    return folder
