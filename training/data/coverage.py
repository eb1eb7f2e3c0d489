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

Counts = npt.NDArray[np.int64]

# training images; a class with fewer is hardly learned
_FEW = 50
# images; calibration and metrics on a smaller split are rough
_ROUGH = 300


def find(folder: Path) -> list[str]:
    """Return a warning for each gap in the data that `prepare` wrote to `folder`."""
    return [*_classes(shards.labels(folder, "train")), *_splits(folder)]


def _classes(labels: LabelArray) -> Iterator[str]:
    classes = by_head(labels)
    for head in CHOICES:
        known = classes[head.name][classes[head.name] != MISSING]
        if len(known):
            yield from _rare("labelled", head.labels, np.bincount(known, minlength=len(head.labels)))
        else:
            yield f"no training images have a label for {head.name}: the release will not predict it"
    if (classes[AGE] == MISSING).all():
        yield f"no training images have an {AGE}: nothing can be trained on them"
    else:
        yield from _rare("aged", AGE_BANDS, _bands(labels))


def _bands(labels: LabelArray) -> Counts:
    """Return the number of faces in each age band. A range counts for every band that it touches."""
    low, high = (ages[ages != MISSING] for ages in age_range(labels))
    youngest, oldest = band(low), band(high)
    return np.array([((youngest <= b) & (oldest >= b)).sum() for b in range(len(AGE_BANDS))])


def _rare(verb: str, names: tuple[str, ...], counts: Counts) -> Iterator[str]:
    for name, count in zip(names, counts, strict=True):
        if not count:
            yield f"no training images {verb} {name}: the model cannot learn this class"
        elif count < _FEW:
            yield f"only {count} training images {verb} {name}: expect poor predictions for this class"


def _splits(folder: Path) -> Iterator[str]:
    faces = shards.fingerprint(folder).faces
    for split, purpose in (("validation", "calibration"), ("test", "metrics")):
        if faces[split] < _ROUGH:
            yield f"only {faces[split]} {split} images: the {purpose} will be rough; use {_ROUGH} or more"
