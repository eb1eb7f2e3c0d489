"""Batches are the stored faces: in order for scoring; endless, shuffled and changed for training."""

from __future__ import annotations

from itertools import islice
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from training import shards
from training.config import Augmentation
from training.dataset import batches, training_batches

BATCH = 32
STILL = Augmentation(rotation=0, shift=0, scale=0, light=0, erase=0)

Floats = npt.NDArray[np.float32]


def stored(data: Path, split: str) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8]]:
    pixels, labels = zip(*(shard.load() for shard in shards.shards(data, split)), strict=True)
    return np.concatenate(pixels), np.concatenate(labels)


def training(
    data: Path, count: int, augmentation: Augmentation | None = None, seed: int = 1, batch: int = BATCH
) -> list[tuple[Floats, Floats]]:
    """The first `count` batches, the targets beside each other as the shards hold them."""
    dataset = training_batches(data, batch, augmentation, seed)
    return [
        (pixels.numpy(), np.concatenate([heads[name].numpy() for name in ("age", "gender", "ethnicity")], axis=1))
        for pixels, heads in islice(dataset, count)
    ]


@pytest.mark.parametrize("split", shards.SPLITS)
@pytest.mark.parametrize("batch", [1, BATCH, 10_000])
def test_batches_are_the_whole_split_in_order(data: Path, split: str, batch: int) -> None:
    found = list(batches(data, split, batch).as_numpy_iterator())
    pixels, labels = stored(data, split)
    assert np.array_equal(np.concatenate([part for part, _ in found]), pixels)
    assert np.array_equal(np.concatenate([part for _, part in found]), labels)
    assert len(batches(data, split, batch)) == len(found) == -(-len(pixels) // batch)


def test_a_training_batch_has_the_shapes_and_targets_of_the_network(data: Path) -> None:
    pixels, heads = next(iter(training_batches(data, BATCH, Augmentation(), 1)))
    assert (pixels.shape, pixels.dtype) == ((BATCH, 48, 48, 3), "float32")
    assert {name: (head.shape, head.dtype.name) for name, head in heads.items()} == dict.fromkeys(
        ("age", "gender", "ethnicity"), ((BATCH, 1), "float32")
    )


def test_without_augmentation_each_face_is_as_stored_and_has_its_own_labels(data: Path) -> None:
    pixels, labels = stored(data, "train")
    labels_of = {face.tobytes(): row.tolist() for face, row in zip(pixels, labels, strict=True)}
    for found, targets in training(data, 3):
        for face, row in zip(found, targets, strict=True):
            assert labels_of[face.astype(np.uint8).tobytes()] == row.tolist()


def test_training_never_ends_and_leaves_no_face_out(data: Path) -> None:
    pixels, _ = stored(data, "train")
    # As many faces as in eight passes; the window for shuffling is larger than these data, so that passes mix.
    found = training(data, 8, batch=len(pixels))
    assert [len(faces) for faces, _ in found] == [len(pixels)] * 8
    seen = {face.astype(np.uint8).tobytes() for faces, _ in found for face in faces}
    assert seen == {face.tobytes() for face in pixels}


def test_training_faces_are_shuffled_across_and_within_shards(data: Path) -> None:
    places: dict[bytes, tuple[int, int]] = {}
    for number, shard in enumerate(shards.shards(data, "train")):
        places |= {face.tobytes(): (number, place) for place, face in enumerate(shard.load()[0])}
    ((found, _),) = training(data, 1)
    taken = [places[face.astype(np.uint8).tobytes()] for face in found]
    assert {number for number, _ in taken} == {0, 1, 2, 3}
    # Read in turn, the shards would give no face beyond the eighth of each.
    assert max(place for _, place in taken) > BATCH


def test_the_seed_decides_the_batches(data: Path) -> None:
    (first,), (same,), (other,) = (training(data, 1, Augmentation(), seed) for seed in (1, 1, 2))
    assert np.array_equal(first[0], same[0])
    assert np.array_equal(first[1], same[1])
    assert not np.array_equal(first[0], other[0])


def test_augmentation_keeps_labels_and_range_and_changes_every_face(data: Path) -> None:
    ((plain, labels),) = training(data, 1)
    ((augmented, same_labels),) = training(data, 1, Augmentation())
    assert np.array_equal(labels, same_labels)
    assert augmented.min() >= 0
    assert augmented.max() <= 255
    changes = np.abs(augmented - plain).mean(axis=(1, 2, 3))
    assert changes.min() > 1
    # Still the same face: a change beyond recognition would be larger than that between two faces.
    assert changes.mean() < np.abs(plain - np.roll(plain, 1, axis=0)).mean()


def test_augmentation_of_nothing_only_mirrors_some_faces(data: Path) -> None:
    ((plain, _),) = training(data, 1)
    ((augmented, _),) = training(data, 1, STILL)
    kept = np.isclose(augmented, plain, atol=0.01).all(axis=(1, 2, 3))
    mirrored = np.isclose(augmented, plain[:, :, ::-1], atol=0.01).all(axis=(1, 2, 3))
    assert (kept ^ mirrored).all()
    assert 0 < mirrored.sum() < BATCH


@pytest.mark.parametrize(
    "change", [{"rotation": 15.0}, {"shift": 0.1}, {"scale": 0.2}, {"light": 0.2}, {"erase": 1.0}], ids=str
)
def test_each_number_of_the_augmentation_has_an_effect(data: Path, change: dict[str, float]) -> None:
    settings = {"rotation": 0.0, "shift": 0.0, "scale": 0.0, "light": 0.0, "erase": 0.0, **change}
    ((still, _),) = training(data, 1, STILL)
    ((changed, _),) = training(data, 1, Augmentation(**settings))
    assert (np.abs(changed - still).mean(axis=(1, 2, 3)) > 0.5).mean() > 0.9
