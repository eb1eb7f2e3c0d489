"""Batches are the stored faces: in order for scoring; endless, shuffled and changed for training."""

from __future__ import annotations

from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from training.config import Augmentation, TrainConfig
from training.data import shards
from training.learning.dataset import batches, targets, training_batches
from training.learning.teacher import PREDICTION_COLUMNS, predictions_file

BATCH = 32
PLAIN = TrainConfig("small", epochs=1, batch=BATCH, augmentation=None)

Floats = npt.NDArray[np.float32]


def stored(data: Path, split: str) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8]]:
    pixels, labels = zip(*(shard.load() for shard in shards.shards(data, split)), strict=True)
    return np.concatenate(pixels), np.concatenate(labels)


def training(
    data: Path, count: int, augmentation: Augmentation | None = None, seed: int = 1, batch: int = BATCH
) -> list[tuple[Floats, Floats]]:
    """The first `count` batches, with the labels that their targets favour as the shards hold them."""
    dataset = training_batches(data, replace(PLAIN, batch=batch, augmentation=augmentation), seed)
    return [(pixels.numpy(), favoured(heads)) for pixels, heads in islice(dataset, count)]


def favoured(heads: dict[str, Any]) -> Floats:
    age = heads["age"].numpy().argmax(1)
    columns = [age, heads["gender"].numpy()[:, 0], heads["ethnicity"].numpy().argmax(1), age]
    return np.stack(columns, axis=1).astype(np.float32)


@pytest.mark.parametrize("split", shards.SPLITS)
@pytest.mark.parametrize("batch", [1, BATCH, 10_000])
def test_batches_are_the_whole_split_in_order(data: Path, split: str, batch: int) -> None:
    found = list(batches(data, split, batch).as_numpy_iterator())
    pixels, labels = stored(data, split)
    assert np.array_equal(np.concatenate([part for part, _ in found]), pixels)
    assert np.array_equal(np.concatenate([part for _, part in found]), labels)
    assert len(batches(data, split, batch)) == len(found) == -(-len(pixels) // batch)


def test_a_training_batch_has_the_shapes_and_targets_of_the_network(data: Path) -> None:
    pixels, heads = next(iter(training_batches(data, replace(PLAIN, augmentation=Augmentation()), 1)))
    assert (pixels.shape, pixels.dtype) == ((BATCH, 48, 48, 3), "float32")
    assert {name: tuple(head.shape) for name, head in heads.items()} == {
        "age": (BATCH, 117),
        "gender": (BATCH, 1),
        "ethnicity": (BATCH, 5),
        **{f"{head}_weight": (BATCH,) for head in ("age", "gender", "ethnicity")},
        "age_range": (BATCH, 117),
    }
    assert {head.dtype.name for head in heads.values()} == {"float32"}


def test_an_age_is_a_gaussian_of_the_stated_width_around_its_year() -> None:
    labels = np.array([[0, 0, 0, 0], [40, 1, 2, 40], [116, 0, 4, 116]], np.uint8)
    age = targets(labels, replace(PLAIN, age_sigma=2.0))["age"].numpy()
    assert age.sum(axis=1) == pytest.approx(1, abs=1e-5)
    assert age.argmax(axis=1).tolist() == [0, 40, 116]
    assert age[1, 42] / age[1, 40] == pytest.approx(np.exp(-0.5), abs=1e-4)


@pytest.mark.parametrize("share", [0.0, 0.25, 1.0])
def test_a_teacher_takes_its_share_of_every_target(share: float) -> None:
    labels = np.array([[30, 1, 3, 30]], np.uint8)
    predictions = np.zeros((1, PREDICTION_COLUMNS), np.float32)
    predictions[0, [20, 117, 118]] = 1.0, 0.5, 1.0
    heads = targets(labels, replace(PLAIN, age_sigma=0.05, teacher_share=share), predictions)
    assert heads["age"].numpy()[0, [20, 30]] == pytest.approx([share, 1 - share])
    assert heads["gender"].numpy()[0, 0] == pytest.approx(1 - share / 2)
    assert heads["ethnicity"].numpy()[0] == pytest.approx([share, 0, 0, 1 - share, 0])


def test_a_teachers_answers_stay_with_their_faces(data: Path, tmp_path: Path) -> None:
    """Each answer names the face's own age, gender and ethnicity, so that one that went astray would show."""
    for shard in shards.shards(data, "train"):
        labels = shard.load()[1]
        predictions = np.zeros((len(labels), PREDICTION_COLUMNS), np.float32)
        rows = np.arange(len(labels))
        predictions[rows, labels[:, 0]] = predictions[rows, 118 + labels[:, 2]] = 1
        predictions[:, 117] = labels[:, 1]
        np.save(predictions_file(tmp_path, shard), predictions)
    pixels, labels = stored(data, "train")
    labels_of = {face.tobytes(): row.tolist() for face, row in zip(pixels, labels, strict=True)}
    for found, heads in islice(training_batches(data, replace(PLAIN, teacher_share=1.0), 1, tmp_path), 3):
        for face, row in zip(found.numpy(), favoured(heads), strict=True):
            assert labels_of[face.astype(np.uint8).tobytes()] == row.tolist()


def test_without_augmentation_each_face_is_as_stored_and_has_its_own_labels(data: Path) -> None:
    pixels, labels = stored(data, "train")
    labels_of = {face.tobytes(): row.tolist() for face, row in zip(pixels, labels, strict=True)}
    for found, rows in training(data, 3):
        for face, row in zip(found, rows, strict=True):
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
