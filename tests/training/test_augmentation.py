"""Augmentation changes faces as its numbers say, and never beyond recognition."""

from __future__ import annotations

from dataclasses import fields, replace
from itertools import islice
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import tensorflow as tf

from training.config import Augmentation, TrainConfig
from training.learning.augmentation import augment
from training.learning.dataset import training_batches
from training.presets import PRESETS

BATCH = 32
STILL = Augmentation(**{change.name: 0.0 for change in fields(Augmentation)})
PHOTOGRAPHS = PRESETS["default"].train.augmentation

Floats = npt.NDArray[np.float32]


@pytest.fixture(scope="module")
def faces(data: Path) -> Floats:
    batches = training_batches(data, TrainConfig("small", epochs=1, batch=BATCH, augmentation=None), 1)
    return np.concatenate([pixels.numpy() for pixels, _ in islice(batches, 1)])


def changed(faces: Floats, config: Augmentation, seed: int = 1) -> Floats:
    found: Floats = augment(tf.constant(faces), config, tf.random.Generator.from_seed(seed)).numpy()
    return found


@pytest.mark.parametrize("config", [Augmentation(), PHOTOGRAPHS], ids=["usual", "photographs"])
def test_every_face_changes_and_stays_recognizable(faces: Floats, config: Augmentation) -> None:
    found = changed(faces, config)
    assert (found.shape, found.dtype) == (faces.shape, faces.dtype)
    assert found.min() >= 0
    assert found.max() <= 255
    changes = np.abs(found - faces).mean(axis=(1, 2, 3))
    assert changes.min() > 1
    # A change beyond recognition would be larger than that between two faces.
    assert changes.mean() < np.abs(faces - np.roll(faces, 1, axis=0)).mean()


def test_without_changes_faces_are_only_mirrored(faces: Floats) -> None:
    found = changed(faces, STILL)
    kept = np.isclose(found, faces, atol=0.01).all(axis=(1, 2, 3))
    mirrored = np.isclose(found, faces[:, :, ::-1], atol=0.01).all(axis=(1, 2, 3))
    assert (kept ^ mirrored).all()
    assert 0 < mirrored.sum() < BATCH


STRONG = {
    "rotation": 15.0,
    "shift": 0.1,
    "scale": 0.2,
    "light": 0.2,
    "tint": 0.2,
    "blur": 1.0,
    "erase": 1.0,
    "stretch": 0.3,
    "perspective": 0.3,
    "coarse": 1.0,
    "noise": 0.1,
    "jpeg": 1.0,
}


@pytest.mark.parametrize("name", [change.name for change in fields(Augmentation)])
def test_each_number_has_an_effect(faces: Floats, name: str) -> None:
    differences = np.abs(changed(faces, replace(STILL, **{name: STRONG[name]})) - changed(faces, STILL))
    assert (differences.mean(axis=(1, 2, 3)) > 0.5).mean() > 0.9


def test_a_probability_of_a_half_changes_about_half_of_the_faces(faces: Floats) -> None:
    many = np.concatenate([faces] * 4)
    still = changed(many, STILL)
    for name in ("blur", "erase", "coarse", "jpeg"):
        different = (changed(many, replace(STILL, **{name: 0.5})) != still).any(axis=(1, 2, 3))
        assert 0.35 < different.mean() < 0.65, name


def test_coarse_faces_lose_detail_and_keep_their_mean(faces: Floats) -> None:
    plain, coarse = changed(faces, STILL), changed(faces, replace(STILL, coarse=1.0))

    def detail(pixels: Floats) -> Floats:
        found: Floats = np.abs(np.diff(pixels, axis=2)).mean(axis=(1, 2, 3))
        return found

    assert (detail(coarse) < 0.8 * detail(plain)).all()
    assert coarse.mean(axis=(1, 2, 3)) == pytest.approx(plain.mean(axis=(1, 2, 3)), abs=3)


def test_perspective_is_largest_at_the_edges_and_leaves_the_middle() -> None:
    side = 65
    columns = np.tile(np.arange(side, dtype=np.float32)[None, None, :, None], (8, side, 1, 3))
    found = changed(columns, replace(STILL, perspective=0.3))
    middle = side // 2
    assert found[:, middle, middle] == pytest.approx(middle, abs=0.05)
    # Without perspective, the columns on both sides of the middle are equally far from it.
    apart = np.abs(found[:, middle, middle + 20, 0] + found[:, middle, middle - 20, 0] - 2 * middle)
    assert apart.max() > 2
