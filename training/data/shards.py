"""Shards: pairs of .npy files that numpy maps into memory and tf.data streams."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from serving.images import Pixels
from training.errors import StepError
from training.files import write_text
from training.labels import COLUMNS, PATTERN

SPLITS = ("train", "validation", "test")
# Of a labels file, all uint8.
LABEL_COLUMNS = len(COLUMNS)
# faces
_PIECE = 64
_FINGERPRINT = "fingerprint.json"

LabelArray = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Shard:
    """One pair of files: `pixels` (n, size, size, 3) uint8 and `labels` (n, LABEL_COLUMNS) uint8.

    Column by column, the labels are those that `training.labels.COLUMNS` names.
    """

    pixels: Path
    labels: Path

    def load(self) -> tuple[Pixels, LabelArray]:
        """Both arrays, mapped into memory, not read."""
        return np.load(self.pixels, mmap_mode="r"), np.load(self.labels, mmap_mode="r")


def write(folder: Path, split: str, number: int, pixels: Pixels, labels: LabelArray) -> None:
    """Write one shard of `split`."""
    shard = _shard(folder, f"{split}-{number:05d}")
    np.save(shard.pixels, pixels)
    np.save(shard.labels, labels)


def shards(folder: Path, split: str) -> list[Shard]:
    """The shards of one split, in order.

    Raises:
        StepError: there are none, or the faces were labelled for other heads.
    """
    found = [
        _shard(folder, path.name.removesuffix(".pixels.npy")) for path in sorted(folder.glob(f"{split}-*.pixels.npy"))
    ]
    if not found:
        raise StepError(f"{folder} holds no {split} shards; run `python -m training prepare` first")
    _, labels = found[0].load()
    if labels.shape[1] != LABEL_COLUMNS:
        raise StepError(
            f"the faces in {folder} have {labels.shape[1]} labels each, training/labels.py names {LABEL_COLUMNS} "
            f"({', '.join(COLUMNS)}); prepare them again, from files called {PATTERN}"
        )
    return found


def first(folder: Path, split: str, faces: int) -> tuple[Pixels, LabelArray]:
    """The first `faces` faces of a split, in memory.

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


def finder(folder: Path, split: str) -> Callable[[int], Pixels]:
    """What gives the face at a place in a split, (size, size, 3) uint8, without reading the others."""
    loaded = [shard.load()[0] for shard in shards(folder, split)]
    ends = np.cumsum([len(pixels) for pixels in loaded])

    def find(place: int) -> Pixels:
        number = int(np.searchsorted(ends, place, side="right"))
        return np.asarray(loaded[number][place - ends[number]])

    return find


def pieces(faces: Pixels, size: int) -> Iterator[Pixels]:
    """(N, H, H, 3) uint8 -> (n, size, size, 3) uint8, some after the others: never all resized ones are in memory.

    Args:
        faces: as a shard holds them.
        size: pixels that a model wants, whatever the shards were made for.
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
    """What `prepare` states about the data as a whole."""

    # hex digest over every accepted face's digest, labels and split, and over the pixels' making
    sha256: str
    # pixels, side of a face
    size: int
    resize: str
    # faces in each split
    faces: dict[str, int]
    rejected: int

    def save(self, folder: Path) -> None:
        """Write it beside the shards."""
        write_text(folder / _FINGERPRINT, json.dumps(asdict(self), indent=2) + "\n")


def fingerprint(folder: Path) -> Fingerprint:
    """What `prepare` wrote into `folder`.

    Raises:
        StepError: nothing is there.
    """
    path = folder / _FINGERPRINT
    if not path.is_file():
        raise StepError(f"{path} does not exist; run `python -m training prepare` first")
    return Fingerprint(**json.loads(path.read_text()))


def _shard(folder: Path, stem: str) -> Shard:
    return Shard(folder / f"{stem}.pixels.npy", folder / f"{stem}.labels.npy")
