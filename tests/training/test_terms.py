"""On what terms two releases meet, from what their manifests say."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from serving import release
from serving.release import Release
from training.data import shards
from training.evaluation import champion


@pytest.fixture
def bundled() -> Release:
    return release.load("function/model")


def test_a_champion_of_smaller_faces_counts(bundled: Release, data: Path) -> None:
    faces = replace(shards.fingerprint(data), size=200)
    found = champion.terms(bundled, bundled, faces)
    assert found.obstacle == ""
    assert "input has 160 pixels: the prepared images of 200 pixels were reduced" in found.notes[-1]


def test_the_same_faces_in_another_size_are_not_called_other_data(bundled: Release, data: Path) -> None:
    faces = replace(shards.fingerprint(data), size=200, faces=bundled.manifest["provenance"]["data"]["faces"])
    assert "as many images in each split, prepared at 160" in " ".join(champion.terms(bundled, bundled, faces).notes)


def test_a_champion_of_unknown_making_is_told_of(bundled: Release, data: Path) -> None:
    unknown = bundled._replace(manifest={}, sha256="0" * 64)
    notes = champion.terms(unknown, bundled, shards.fingerprint(data)).notes
    assert notes[0] == "The champion was trained with preset None, this release with 'default'."
    assert "its manifest does not say which" in notes[1]


def test_labels_in_another_order_are_the_same_labels(bundled: Release, data: Path) -> None:
    turned = bundled._replace(labels={**bundled.labels, "gender": bundled.labels["gender"][::-1]})
    assert champion.terms(turned, bundled, shards.fingerprint(data)).heads == {"age", "gender", "ethnicity"}
