"""What warns of pictures that are no face is fitted to the training faces."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from serving import likeness as serving
from serving import release
from training.config import LikenessConfig
from training.data import shards
from training.fitting import counterexamples, likeness


def test_it_tells_faces_from_what_is_made_of_them(data: Path) -> None:
    # As many steps as some hundred faces need; thousands need fewer rounds.
    fitted = serving.parse(likeness.fit(data, replace(LikenessConfig(), epochs=60, false_alarms=0.05)))
    faces, _ = shards.first(data, "test", 100)
    assert likeness.false_alarms(fitted, faces).mean() < 0.15
    assert likeness.false_alarms(fitted, np.ascontiguousarray(faces[:, ::-1])).mean() > 0.4
    assert likeness.false_alarms(fitted, np.full_like(faces, 200)).all()


def test_a_candidate_carries_what_was_fitted_and_how_often_it_warns_of_test_faces(data: Path, candidate: Path) -> None:
    fitted = serving.of(release.load(str(candidate)))
    warned = np.concatenate([likeness.false_alarms(fitted, shard.load()[0]) for shard in shards.shards(data, "test")])
    measured = json.loads((candidate / "metrics.json").read_text())
    assert measured["likeness"]["false_alarms"] == round(float(warned.mean()), 4)


def test_about_the_asked_share_of_validation_faces_is_warned_of(data: Path) -> None:
    config = replace(LikenessConfig(), epochs=2, faces=100, false_alarms=0.2)
    fitted = serving.parse(likeness.fit(data, config))
    faces, _ = shards.first(data, "validation", 1000)
    assert likeness.false_alarms(fitted, faces).mean() == pytest.approx(0.2, abs=0.02)


def test_the_same_faces_give_the_same_section(data: Path) -> None:
    config = replace(LikenessConfig(), epochs=1, faces=60)
    assert likeness.fit(data, config) == likeness.fit(data, config)


def test_counterexamples_are_pictures_and_differ_from_the_face() -> None:
    random = np.random.default_rng(1)
    face = counterexamples.clouds(random, 6)
    made = [counterexamples.counterexample(face, random) for _ in range(200)]
    assert {(picture.shape, picture.dtype) for picture in made} == {((32, 32), np.dtype(np.uint8))}
    assert min(np.abs(picture.astype(int) - face).mean() for picture in made) > 1


def test_a_loosely_aligned_face_stays_close_to_itself() -> None:
    random = np.random.default_rng(1)
    face = counterexamples.clouds(random, 4)
    same = (face + face[:, ::-1].astype(int)) // 2
    symmetric = same.astype(np.uint8)
    for _ in range(50):
        picture = counterexamples.loosely_aligned(symmetric, random)
        assert (picture.shape, picture.dtype.name) == ((32, 32), "uint8")
        assert np.corrcoef(picture[6:-6, 6:-6].ravel(), symmetric[6:-6, 6:-6].ravel())[0, 1] > 0.3
