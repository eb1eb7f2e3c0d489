"""The same image is recognized however it was encoded; another face is not."""

from __future__ import annotations

from io import BytesIO

import numpy as np
import pytest
from PIL import Image, ImageEnhance

from serving import images
from training.config import PrepareConfig
from training.data import duplicates
from training.data.duplicates import Thumbnails
from training.faces import draw

THRESHOLD = PrepareConfig().near_duplicate


def thumbnail(jpeg: bytes) -> bytes:
    return images.read(jpeg, 48).thumbnail.tobytes()


def reencoded(jpeg: bytes, **how: int) -> bytes:
    stream = BytesIO()
    Image.open(BytesIO(jpeg)).save(stream, "JPEG", **how)
    return stream.getvalue()


def brighter(jpeg: bytes) -> bytes:
    stream = BytesIO()
    ImageEnhance.Brightness(Image.open(BytesIO(jpeg))).enhance(1.1).save(stream, "JPEG")
    return stream.getvalue()


def groups(rows: Thumbnails) -> list[int]:
    found = duplicates.groups(len(rows), lambda start, stop: rows[start:stop], THRESHOLD)
    return [int(row) for row in found]


def stack(thumbnails: list[bytes]) -> Thumbnails:
    return np.stack([np.frombuffer(thumbnail, np.uint8) for thumbnail in thumbnails])


def at_angle(degrees: float) -> bytes:
    """A thumbnail whose correlation with that of another angle is the cosine of their difference."""
    across = np.where(np.arange(256) < 128, 1, -1)
    along = np.where(np.arange(256) % 2, 1, -1)
    angle = np.radians(degrees)
    grey = 128 + 80 * (np.cos(angle) * across + np.sin(angle) * along)
    return bytes(grey.round().astype(np.uint8))


def test_different_faces_stay_apart() -> None:
    faces = [thumbnail(draw(seed % 101, seed % 2, seed % 5, seed=seed)) for seed in range(300)]
    assert groups(stack(faces)) == list(range(300))


def test_faces_of_the_same_labels_stay_apart() -> None:
    faces = [thumbnail(draw(30, 1, 2, seed=seed)) for seed in range(100)]
    assert groups(stack(faces)) == list(range(100))


def test_an_image_encoded_again_joins_its_original() -> None:
    first, second = draw(30, 0, 0, seed=1), draw(60, 1, 3, seed=2)
    copies = [reencoded(first, quality=40), reencoded(second, quality=75, subsampling=0), brighter(first)]
    assert groups(stack([thumbnail(jpeg) for jpeg in (first, second, *copies)])) == [0, 1, 0, 1, 0]


def test_a_chain_is_one_group_though_its_ends_differ() -> None:
    # The cosine of 9 degrees is above the threshold, that of 18 below.
    assert groups(stack([at_angle(0), at_angle(18)])) == [0, 1]
    assert groups(stack([at_angle(0), at_angle(18), at_angle(90), at_angle(9)])) == [0, 0, 2, 0]


def test_images_of_one_grey_join_nothing() -> None:
    assert groups(stack([bytes(256), bytes(256), b"\xff" * 256, at_angle(0)])) == [0, 1, 2, 3]


def test_no_image_gives_no_group() -> None:
    assert groups(np.empty((0, 256), np.uint8)) == []


@pytest.mark.parametrize("block", [1, 3, 7, 100])
def test_groups_do_not_depend_on_the_size_of_a_block(monkeypatch: pytest.MonkeyPatch, block: int) -> None:
    random = np.random.default_rng(5)
    rows = stack([at_angle(angle) for angle in random.uniform(0, 360, 50)])
    expected = groups(rows)
    assert 1 < len(set(expected)) < 50
    monkeypatch.setattr(duplicates, "_BLOCK", block)
    assert groups(rows) == expected
