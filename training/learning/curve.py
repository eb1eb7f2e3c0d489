"""Smaller trainings for a learning curve: nested parts of the training faces, and where their networks are."""

from __future__ import annotations

import csv
import hashlib
import json
import shutil
from collections import defaultdict
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path

import numpy as np

from training import runs
from training.data import shards
from training.errors import StepError
from training.files import write_text
from training.labels import MISSING, age_range
from training.learning import checkpoints

# In a run's folder.
FOLDER = "curve"
# The smaller parts of the training faces, as shares of all of them.
SHARES = {"quarter": 0.25, "half": 0.5}
# Faces with an age below which a part teaches nothing that a curve could show.
_FEWEST = 20
_FACES = "faces"
# In the folder of a training on a part, once it is complete.
_RECORD = "part.json"
# In a run's folder: copies of faces, and predictions for them, which only the training reads.
_TRAINING_ONLY = ("teacher", "other", "initial")

Place = tuple[int, int]


@dataclass(frozen=True)
class Part:
    """A training on a part of the faces that is complete."""

    faces: int
    """Training faces."""
    heads: tuple[str, ...]
    """Heads that these faces have labels for."""
    data: str
    """SHA-256 of the fingerprint of all prepared faces."""
    network: Path
    """The best model."""


def folder(trained: Path, part: str) -> Path:
    """Return the folder of the training on a part of the faces, inside a run's folder."""
    return trained / FOLDER / part


def require(data: Path) -> None:
    """Check that the training faces can be divided.

    Raises:
        StepError: a quarter has too few faces with an age, or large groups leave no difference between the parts.
    """
    groups = _groups(data)
    chosen = {part: _first(groups, share) for part, share in SHARES.items()}
    counts = [*map(len, chosen.values()), sum(map(len, groups))]
    smallest = min(chosen, key=SHARES.__getitem__)
    low, _ = age_range(shards.labels(data, "train")[_rows(data, chosen[smallest])])
    if (aged := int((low != MISSING).sum())) < _FEWEST:
        raise StepError(
            f"a {smallest} of the training faces in {data} has {aged} faces with an age, a learning curve needs at "
            f"least {_FEWEST}; label about {4 * _FEWEST} faces or more, or train without --learning-curve"
        )
    if len(set(counts)) < len(counts):
        raise StepError(
            f"the {len(groups)} groups of training faces in {data} are too large for a learning curve: a quarter, a "
            f"half and all of the faces would be {', '.join(map(str, counts))} faces; add faces of other people or "
            "videos, or train without --learning-curve"
        )


def write(data: Path, trained: Path, part: str) -> Path:
    """Write a part of the training faces and all validation faces into a run's folder, as shards.

    A part holds whole groups, and the next larger part holds it (see `_groups`).

    Args:
        data: output of `prepare`.
        trained: the run's folder.
        part: one of SHARES.

    Returns:
        The folder of the faces, which `train` reads like the output of `prepare`. It has the digest of `data`.
    """
    faces = trained / FOLDER / _FACES
    shutil.rmtree(faces, ignore_errors=True)
    faces.mkdir(parents=True)
    chosen = _first(_groups(data), SHARES[part])
    kept: dict[int, list[int]] = defaultdict(list)
    for number, position in sorted(chosen):
        kept[number].append(position)
    found = shards.shards(data, "train")
    for number, positions in kept.items():
        pixels, labels = found[number].load()
        shards.write(faces, "train", number, pixels[positions], labels[positions])
    for shard in shards.shards(data, "validation"):
        shutil.copy(shard.pixels, faces)
        shutil.copy(shard.labels, faces)
    fingerprint = shards.fingerprint(data)
    counts = {"train": len(chosen), "validation": fingerprint.faces["validation"]}
    replace(fingerprint, faces=counts).save(faces)
    return faces


def finish(trained: Path, part: str, faces: Path) -> None:
    """Record that the training on a part is complete, and remove what only the training reads."""
    here = folder(trained, part)
    for name in _TRAINING_ONLY:
        shutil.rmtree(here / name, ignore_errors=True)
    fingerprint = shards.fingerprint(faces)
    record = {"faces": fingerprint.faces["train"], "heads": shards.learned(faces), "data": fingerprint.sha256}
    shutil.rmtree(faces)
    write_text(here / _RECORD, json.dumps(record) + "\n")


def finished(trained: Path) -> dict[str, Part]:
    """Return the parts in a run's folder whose trainings are complete, by name."""
    found = {}
    for part in SHARES:
        here = folder(trained, part)
        if (here / _RECORD).is_file() and (here / checkpoints.BEST).is_file():
            record = json.loads((here / _RECORD).read_text(encoding="utf-8"))
            found[part] = Part(record["faces"], tuple(record["heads"]), record["data"], here / checkpoints.BEST)
    return found


def unfinished(trained: Path, part: str) -> bool:
    """Return whether a run's folder has a training on a part that was interrupted."""
    here = folder(trained, part)
    return runs.exists(here) and not (here / _RECORD).is_file()


def begun(trained: Path) -> bool:
    """Return whether a run's folder has a training on a part of the faces, complete or not."""
    return any(runs.exists(folder(trained, part)) for part in SHARES)


def _groups(data: Path) -> list[list[Place]]:
    """Return the places, as shard and position, of the training faces of each group: near-duplicates, and `--group`.

    The groups have the order of the hash of their names, which also decides about their split. So new faces leave the
    order of the others as it is.
    """
    found: dict[str, set[Place]] = defaultdict(set)
    with (data / "index.csv").open(newline="", encoding="utf-8", errors="replace") as stream:
        for row in csv.DictReader(stream):
            if row["split"] == "train":
                # Copies share a place.
                found[row["group"]].add((int(row["shard"]), int(row["position"])))
    return [sorted(found[name]) for name in sorted(found, key=lambda name: hashlib.sha256(name.encode()).digest())]


def _first(groups: list[list[Place]], share: float) -> list[Place]:
    """Return the places of the first groups that have at least a share of all faces."""
    ends = np.cumsum([len(group) for group in groups])
    return list(chain.from_iterable(groups[: int(np.searchsorted(ends, share * ends[-1])) + 1]))


def _rows(data: Path, places: list[Place]) -> list[int]:
    """Return the indices of places in the whole training split."""
    starts = np.cumsum([0, *(len(shard.load()[1]) for shard in shards.shards(data, "train"))])
    return [int(starts[number]) + position for number, position in places]
