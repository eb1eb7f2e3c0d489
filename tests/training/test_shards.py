"""Shards are whole .npy files, whatever their length."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from training.data import shards
from training.data.shards import Fingerprint
from training.errors import StepError
from training.learning import dataset


@pytest.mark.parametrize("count", [1, 10, 512, 20_000])
def test_a_shard_of_any_length_is_read_the_same_by_numpy_and_tensorflow(tmp_path: Path, count: int) -> None:
    # dataset counts on a header of fixed length, which numpy writes for these shapes but does not promise.
    random = np.random.default_rng(count)
    pixels = random.integers(0, 256, (count, 2, 2, 3), np.uint8)
    labels = random.integers(0, 117, (count, shards.LABEL_COLUMNS), np.uint8)
    shards.write(tmp_path, "test", 0, pixels, labels)
    Fingerprint("", 2, "", {"test": count}, 0).save(tmp_path)
    (shard,) = shards.shards(tmp_path, "test")
    for found, expected in zip(shard.load(), (pixels, labels), strict=True):
        assert isinstance(found, np.memmap)
        assert np.array_equal(found, expected)
    for found, expected in zip(
        dataset.batches(tmp_path, "test", count).get_single_element(), (pixels, labels), strict=True
    ):
        assert np.array_equal(found, expected)


def test_shards_come_in_the_order_of_their_numbers_and_by_split(tmp_path: Path) -> None:
    for split, number in (("train", 10), ("train", 2), ("test", 0), ("train", 0)):
        shards.write(
            tmp_path, split, number, np.zeros((1, 2, 2, 3), np.uint8), np.zeros((1, shards.LABEL_COLUMNS), np.uint8)
        )
    names = [shard.pixels.name for shard in shards.shards(tmp_path, "train")]
    assert names == ["train-00000.pixels.npy", "train-00002.pixels.npy", "train-00010.pixels.npy"]


def test_a_fingerprint_is_read_as_it_was_saved(tmp_path: Path) -> None:
    saved = Fingerprint("ab" * 32, 96, "some rule", {"train": 8, "validation": 1, "test": 1}, 2)
    saved.save(tmp_path)
    assert shards.fingerprint(tmp_path) == saved


def test_missing_data_says_what_to_run(tmp_path: Path) -> None:
    with pytest.raises(StepError, match=r"fingerprint\.json does not exist; run `python -m training prepare` first"):
        shards.fingerprint(tmp_path)
    with pytest.raises(StepError, match="no validation shards; run `python -m training prepare` first"):
        shards.shards(tmp_path, "validation")


def test_a_face_is_found_by_its_place_in_the_split(data: Path) -> None:
    pixels = np.concatenate([shard.load()[0] for shard in shards.shards(data, "train")])
    find = shards.finder(data, "train")
    for place in (0, 99, 100, len(pixels) - 1):
        assert np.array_equal(find(place), pixels[place])


def test_the_first_faces_are_read_without_the_rest(data: Path) -> None:
    pixels, labels = shards.first(data, "train", 120)
    assert len(pixels) == len(labels) == 120
    assert np.array_equal(pixels[:100], shards.shards(data, "train")[0].load()[0])
