"""What warns of images that are no face is fitted to the training faces."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from serving import input_check as serving
from serving import release
from training.calibration import input_check, negatives
from training.config import InputCheckConfig
from training.data import shards


def test_it_tells_faces_from_what_is_made_of_them(data: Path) -> None:
    # As many steps as some hundred faces need; thousands need fewer rounds.
    fitted = serving.parse(input_check.fit([data], replace(InputCheckConfig(), epochs=60, false_positive_rate=0.05)))
    faces, _ = shards.first(data, "test", 100)
    assert input_check.false_positives(fitted, faces).mean() < 0.15
    assert input_check.false_positives(fitted, np.ascontiguousarray(faces[:, ::-1])).mean() > 0.4
    assert input_check.false_positives(fitted, np.full_like(faces, 200)).all()


def test_a_candidate_carries_what_was_fitted_and_how_often_it_warns_of_test_faces(data: Path, challenger: Path) -> None:
    fitted = serving.of(release.load(str(challenger)))
    warned = np.concatenate(
        [input_check.false_positives(fitted, shard.load()[0]) for shard in shards.shards(data, "test")]
    )
    measured = json.loads((challenger / "metrics.json").read_text())
    assert measured["input_check"]["false_positive_rate"] == round(float(warned.mean()), 4)


def test_about_the_asked_share_of_validation_faces_is_warned_of(data: Path) -> None:
    config = replace(InputCheckConfig(), epochs=2, faces=100, false_positive_rate=0.2)
    fitted = serving.parse(input_check.fit([data], config))
    faces, _ = shards.first(data, "validation", 1000)
    assert input_check.false_positives(fitted, faces).mean() == pytest.approx(0.2, abs=0.02)


def test_the_same_faces_give_the_same_section(data: Path) -> None:
    config = replace(InputCheckConfig(), epochs=1, faces=60)
    assert input_check.fit([data], config) == input_check.fit([data], config)


def test_counterexamples_are_images_and_differ_from_the_face() -> None:
    random = np.random.default_rng(1)
    face = negatives.clouds(random, 6)
    made = [negatives.counterexample(face, random) for _ in range(200)]
    assert {(image.shape, image.dtype) for image in made} == {((32, 32), np.dtype(np.uint8))}
    assert min(np.abs(image.astype(int) - face).mean() for image in made) > 1


def test_a_loosely_aligned_face_stays_close_to_itself() -> None:
    random = np.random.default_rng(1)
    face = negatives.clouds(random, 4)
    same = (face + face[:, ::-1].astype(int)) // 2
    symmetric = same.astype(np.uint8)
    for _ in range(50):
        image = negatives.loosely_aligned(symmetric, random)
        assert (image.shape, image.dtype.name) == ((32, 32), "uint8")
        assert np.corrcoef(image[6:-6, 6:-6].ravel(), symmetric[6:-6, 6:-6].ravel())[0, 1] > 0.3
