"""Shards: pairs of .npy files that NumPy maps into memory and tf.data streams."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from serving.heads import AGE
from serving.images import Pixels
from training.errors import StepError
from training.files import write_text
from training.labels import MISSING, PATTERN, ROW, by_head

SPLITS = ("train", "validation", "test")
# Name and digest of the source, for the manifest.
ORIGIN_FILE = "origin.json"
# Columns of a labels file, all uint8.
LABEL_COLUMNS = len(ROW)
# Faces in a piece (see `pieces`).
_PIECE = 64
FINGERPRINT = "fingerprint.json"

LabelArray = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Shard:
    """A pair of files."""

    pixels: Path
    """(n, size, size, 3) uint8."""
    labels: Path
    """(n, LABEL_COLUMNS) uint8, with the columns of `training.labels.ROW`."""

    def load(self) -> tuple[Pixels, LabelArray]:
        """Return both arrays, mapped into memory."""
        return np.load(self.pixels, mmap_mode="r"), self.load_labels()

    def load_labels(self) -> LabelArray:
        """Return the labels alone, mapped into memory. The pixels may be elsewhere."""
        labels: LabelArray = np.load(self.labels, mmap_mode="r")
        return labels


def place(folder: Path, split: str, number: int) -> Shard:
    """Return where one shard of `split` is, or is to be written."""
    return _shard(folder, f"{split}-{number:05d}")


def write(folder: Path, split: str, number: int, pixels: Pixels, labels: LabelArray) -> None:
    """Write one shard of `split`."""
    shard = place(folder, split, number)
    np.save(shard.pixels, pixels)
    np.save(shard.labels, labels)


def shards(folder: Path, split: str) -> list[Shard]:
    """Return the shards of one split, in order.

    Raises:
        StepError: there are none, or their labels are those of other heads.
    """
    found = [
        _shard(folder, path.name.removesuffix(".labels.npy")) for path in sorted(folder.glob(f"{split}-*.labels.npy"))
    ]
    if not found:
        raise StepError(f"{folder} has no {split} shards; run `python -m training prepare` first")
    labels = found[0].load_labels()
    if labels.shape[1] != LABEL_COLUMNS:
        raise StepError(
            f"the faces in {folder} have {labels.shape[1]} label columns, training/labels.py names {LABEL_COLUMNS} "
            f"({', '.join(ROW)}); prepare them again, from files named {PATTERN}"
        )
    return found


def first(folder: Path, split: str, faces: int) -> tuple[Pixels, LabelArray]:
    """Return the first `faces` faces of a split, in memory.

    Raises:
        StepError: there are none.
    """
    loaded: list[tuple[Pixels, LabelArray]] = []
    for shard in shards(folder, split):
        loaded.append(shard.load())
        if sum(len(labels) for _, labels in loaded) >= faces:
            break
    pixels, labels = zip(*loaded, strict=True)
    return np.concatenate(pixels)[:faces], np.concatenate(labels)[:faces]


def labels(folder: Path, split: str) -> LabelArray:
    """Return the labels of a split, (N, LABEL_COLUMNS) uint8, in memory."""
    return np.concatenate([shard.load_labels() for shard in shards(folder, split)])


def learned(folder: Path) -> tuple[str, ...]:
    """Return the heads that the training faces have labels for, in the order of `training.labels.COLUMNS`.

    Raises:
        StepError: no training face has an age, which every release predicts.
    """
    known = by_head(labels(folder, "train"))
    found = tuple(head for head, values in known.items() if (values != MISSING).any())
    if AGE not in found:
        raise StepError(
            f"no training face in {folder} has an age, which every release predicts; label some and prepare again"
        )
    return found


def finder(folder: Path, split: str) -> Callable[[int], Pixels]:
    """Return a function from an index in a split to that face, (size, size, 3) uint8. It reads no other face."""
    loaded = [shard.load()[0] for shard in shards(folder, split)]
    ends = np.cumsum([len(pixels) for pixels in loaded])

    def find(place: int) -> Pixels:
        number = int(np.searchsorted(ends, place, side="right"))
        return np.asarray(loaded[number][place - ends[number]])

    return find


def pieces(faces: Pixels, size: int) -> Iterator[Pixels]:
    """Resize faces piece by piece, so that memory never holds all of them.

    Args:
        faces: (N, H, H, 3) uint8, as in a shard.
        size: input size of a model in pixels.

    Yields:
        (n, size, size, 3) uint8.
    """
    for start in range(0, len(faces), _PIECE):
        yield _resized(faces[start : start + _PIECE], size)


def _resized(faces: Pixels, size: int) -> Pixels:
    if faces.shape[1] == size:
        return faces
    bilinear = Image.Resampling.BILINEAR
    return np.stack([np.asarray(Image.fromarray(face).resize((size, size), bilinear)) for face in faces])


@dataclass(frozen=True)
class Fingerprint:
    """Identity and counts of the prepared data."""

    sha256: str
    """Hex digest of the size, the resize rule, the alignment, and every face's digest, labels and split."""
    size: int
    """Side of a face in pixels."""
    resize: str
    """Name of the resize rule."""
    faces: dict[str, int]
    """Faces in each split."""
    rejected: int
    """Rejected files."""
    copies: int = 0
    """Files with the bytes and labels of another file, which count as one face with it."""
    alignment: dict[str, Any] = field(default_factory=dict)
    """How photographs were aligned (`alignment.identity`), empty if they were not."""

    def stated(self) -> dict[str, Any]:
        """Return the fingerprint as JSON, as a manifest states it."""
        return {name: value for name, value in asdict(self).items() if name != "alignment" or value}

    def save(self, folder: Path) -> None:
        """Write the fingerprint beside the shards."""
        write_text(folder / FINGERPRINT, json.dumps(self.stated(), indent=2) + "\n")


def fingerprint(folder: Path) -> Fingerprint:
    """Return the fingerprint of the prepared data in `folder`.

    Raises:
        StepError: there is none.
    """
    path = folder / FINGERPRINT
    if not path.is_file():
        raise StepError(f"{path} does not exist; run `python -m training prepare` first")
    return Fingerprint(**json.loads(path.read_text(encoding="utf-8")))


def _shard(folder: Path, stem: str) -> Shard:
    return Shard(folder / f"{stem}.pixels.npy", folder / f"{stem}.labels.npy")
