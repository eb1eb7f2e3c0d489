"""Coverage warnings: classes with few training images, and splits that are too small."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt

from serving.heads import AGE
from serving.request_stats import AGE_BANDS
from training.data import shards
from training.data.shards import LabelArray
from training.labels import CHOICES, MISSING, age_range, band, by_head

# training images; a class with fewer is hardly learned
_FEW = 50
# images; calibration and metrics on a smaller split are rough
_ROUGH = 300


def find(folder: Path) -> list[str]:
    """Return a warning for each gap in the data that `prepare` wrote to `folder`."""
    return [*_classes(_labels(folder, "train")), *_splits(folder)]


def _labels(folder: Path, split: str) -> LabelArray:
    return np.concatenate([shard.load()[1] for shard in shards.shards(folder, split)])


def _classes(labels: LabelArray) -> Iterator[str]:
    classes = by_head(labels)
    for head in CHOICES:
        known = classes[head.name][classes[head.name] != MISSING]
        if len(known):
            yield from _rare("labelled", head.labels, known)
        else:
            yield f"no training image has a label of {head.name}: the model cannot learn it"
    low, high = (ages[classes[AGE] != MISSING].astype(np.int64) for ages in age_range(labels))
    if len(low):
        # A range counts at its middle.
        yield from _rare("aged", AGE_BANDS, band((low + high) // 2))
    else:
        yield f"no training image has a label of {AGE}: the model cannot learn it"


def _rare(verb: str, names: tuple[str, ...], classes: npt.NDArray[np.integer]) -> Iterator[str]:
    for name, count in zip(names, np.bincount(classes, minlength=len(names)), strict=True):
        if not count:
            yield f"no training images {verb} {name}: the model cannot learn this class"
        elif count < _FEW:
            yield f"only {count} training images {verb} {name}: expect poor predictions for this class"


def _splits(folder: Path) -> Iterator[str]:
    faces = shards.fingerprint(folder).faces
    for split, purpose in (("validation", "calibration"), ("test", "metrics")):
        if faces[split] < _ROUGH:
            yield f"only {faces[split]} {split} images: the {purpose} will be rough; use {_ROUGH} or more"
