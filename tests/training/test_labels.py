"""A file name tells age, gender and ethnicity, or what is wrong with it."""

from __future__ import annotations

import numpy as np
import pytest

from serving.request_stats import AGE_BANDS, age_band
from training.labels import MAX_AGE, LabelError, Labels, band, parse


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("25_0_2_20170116174525125.jpg.chip.jpg", (25, 0, 2)),
        ("1_1_4_20170109190724678.jpg", (1, 1, 4)),
        ("0_0_0_20170116174525125.JPEG", (0, 0, 0)),
        ("116_1_0_20170116174525125.png", (116, 1, 0)),
        ("007_1_3_20170116174525125.webp", (7, 1, 3)),
        # The published set has these: a stamp of 16 and 18 digits, a space, no dot before the inner suffix.
        ("14_0_0_2017011022340900.jpg.chip.jpg", (14, 0, 0)),
        ("28_1_2_201701161846515488.jpg.chip.jpg", (28, 1, 2)),
        ("24_0_1_20170116220224657 .jpg.chip.jpg", (24, 0, 1)),
        ("55_0_0_20170116232725357jpg.chip.jpg", (55, 0, 0)),
    ],
)
def test_a_published_name_gives_its_labels(name: str, expected: tuple[int, int, int]) -> None:
    found = parse(name)
    assert (found.age, *found.choices) == expected


def test_the_stamp_is_kept_because_it_orders_faces() -> None:
    assert parse("25_0_2_20170116174525125.jpg.chip.jpg") == Labels(25, 25, (0, 2), "20170116174525125.jpg.chip")


@pytest.mark.parametrize(
    "name",
    [
        # The published set has three of the first kind: no race.
        "39_1_20170116174525125.jpg.chip.jpg",
        "39_1_2.jpg",
        "39_1_2_monday.jpg",
        "39_1_2_20170116174525125.txt",
        "39_1_2_20170116174525125",
        "-3_1_2_20170116174525125.jpg",
        "3.5_1_2_20170116174525125.jpg",
        "1000_1_2_20170116174525125.jpg",
        "old_1_2_20170116174525125.jpg",
        " 39_1_2_20170116174525125.jpg",
        "39_1_2_20170116174525125.jpg\n",
        "folder/39_1_2_20170116174525125.jpg",
        "Thumbs.db",
        "",
    ],
)
def test_any_other_name_does_not_parse(name: str) -> None:
    with pytest.raises(LabelError, match=r"does not parse: expected \[age\]_\[gender\]_\[race\]"):
        parse(name)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("117_0_0_20170116174525125.jpg", "age is 117, expected 0 to 116"),
        ("999_0_0_20170116174525125.jpg", "age is 999, expected 0 to 116"),
        ("39_2_0_20170116174525125.jpg", "gender is 2, expected 0 to 1"),
        ("39_3_0_20170116174525125.jpg", "gender is 3, expected 0 to 1"),
        ("39_0_5_20170116174525125.jpg", "race is 5, expected 0 to 4"),
    ],
)
def test_a_label_out_of_range_is_named_with_its_value(name: str, message: str) -> None:
    with pytest.raises(LabelError, match=f"label out of range: {message}"):
        parse(name)


def test_the_function_and_the_training_have_the_same_age_bands() -> None:
    years = np.arange(MAX_AGE + 1)
    assert [AGE_BANDS[index] for index in band(years)] == [age_band(int(year)) for year in years]
