"""What the prepared faces lack, in sentences: a model knows only what it was shown."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt

from serving.heads import AGE
from serving.request_stats import AGE_BANDS
from training.data import shards
from training.data.shards import LabelArray
from training.labels import CHOICES, band, by_head

# training faces of a class below which little is learnt of it
_FEW = 50
# validation and test faces below which calibration and metrics are rough
_ROUGH = 300


def find(folder: Path) -> list[str]:
    """A sentence for each gap in what `prepare` wrote into `folder`."""
    return [*_classes(_labels(folder, "train")), *_splits(folder)]


def _labels(folder: Path, split: str) -> LabelArray:
    return np.concatenate([shard.load()[1] for shard in shards.shards(folder, split)])


def _classes(labels: LabelArray) -> Iterator[str]:
    classes = by_head(labels)
    for head in CHOICES:
        yield from _rare("labelled", head.labels, classes[head.name])
    yield from _rare("aged", AGE_BANDS, band(classes[AGE]))


def _rare(verb: str, names: tuple[str, ...], classes: npt.NDArray[np.integer]) -> Iterator[str]:
    for name, count in zip(names, np.bincount(classes, minlength=len(names)), strict=True):
        if not count:
            yield f"no training face is {verb} {name}: the model will hardly ever answer that, and wrongly if it must"
        elif count < _FEW:
            yield f"only {count} training faces are {verb} {name}: expect little of the model there"


def _splits(folder: Path) -> Iterator[str]:
    faces = shards.fingerprint(folder).faces
    for split, purpose in (("validation", "calibration"), ("test", "metrics")):
        if faces[split] < _ROUGH:
            yield f"only {faces[split]} {split} faces: the {purpose} will be rough; {_ROUGH} or more are better"
