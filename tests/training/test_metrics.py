"""Metrics that can be checked by hand."""

from __future__ import annotations

import numpy as np
import pytest

from serving.prediction import AgeEstimate, FacePrediction, LabelEstimate
from training.config import EvaluateConfig
from training.evaluation import metrics, samples
from training.evaluation.age_groups import AGE_GROUPS
from training.labels import MAX_AGE, MISSING, band

CONFIG = EvaluateConfig(bootstrap=500)


def prediction(years: int, gender: str, ethnicity: str) -> FacePrediction:
    choices = {"gender": LabelEstimate(gender, 0.9), "ethnicity": LabelEstimate(ethnicity, 0.9)}
    return FacePrediction(AgeEstimate(years, years - 3, years + 3), choices)


FACES = samples.collect(
    [
        prediction(30, "male", "white"),
        prediction(42, "female", "asian"),
        prediction(10, "male", "white"),
        prediction(70, "female", "other"),
    ],
    np.array([(31, 0, 0, 31), (32, 1, 2, 32), (11, 1, 0, 11), (64, 1, 3, 64)], np.uint8),
)


def test_overall_figures_are_means_over_the_faces() -> None:
    overall = metrics.measure(FACES, CONFIG)["overall"]
    values = {name: metric["value"] for name, metric in overall.items() if name != "n"}
    assert values == {
        "age_mae": pytest.approx((1 + 10 + 1 + 6) / 4),
        "age_within_5": 0.5,
        "age_band_accuracy": 0.75,
        "interval_coverage": 0.5,
        "gender_accuracy": 0.75,
        "ethnicity_accuracy": 0.75,
    }


PARTIAL = samples.collect(
    [prediction(years, "male", "white") for years in (30, 27, 33, 70, 15, 40)],
    np.array(
        [
            (31, 0, 0, 31),
            (20, 0, MISSING, 29),
            (20, MISSING, MISSING, 29),
            (70, 1, MISSING, MAX_AGE),
            (10, 0, MISSING, 19),
            (MISSING, 0, MISSING, MISSING),
        ],
        np.uint8,
    ),
)


def test_ranges_and_missing_labels_count_only_where_they_tell() -> None:
    overall = metrics.measure(PARTIAL, CONFIG)["overall"]
    values = {name: (metric["value"], metric["n"]) for name, metric in overall.items() if name != "n"}
    assert overall["n"] == 6
    assert values == {
        "age_mae": (1.0, 1),
        "age_within_5": (1.0, 1),
        # 10 to 19 years touch two bands.
        "age_band_accuracy": (1.0, 4),
        "interval_coverage": (1.0, 1),
        "gender_accuracy": (0.8, 5),
        "ethnicity_accuracy": (1.0, 1),
        "age_range_distance": (1.0, 4),
        "age_in_range": (0.75, 4),
        # 30 to 36 years do not overlap 20 to 29.
        "interval_overlap": (0.75, 4),
    }


def test_a_group_needs_the_label_that_names_it() -> None:
    measured = metrics.measure(PARTIAL, CONFIG)
    assert [row["n"] for row in measured["by_gender"]] == [4, 1]
    assert [row["n"] for row in measured["by_age_band"]] == [0, 0, 3, 0, 1]
    # Not the range from 10 to 19, and not the face without an age.
    assert {group.key: measured[group.key]["n"] for group in AGE_GROUPS} == {
        "from_13_years": 4,
        # Not the ranges from 20 to 29.
        "from_21_to_60_years": 1,
        "from_40_years": 1,
        "below_13_years": 0,
    }
    assert sum(row["n"] for row in measured["by_all"]) == 1
    assert measured["labelled"] == {"age": 1, "age_range": 4, "gender": 5, "ethnicity": 1}
    assert measured["predicted"]["age_band"] == [0, 1, 3, 1, 1] or sum(measured["predicted"]["age_band"]) == 6
    assert measured["confusion"]["gender"] == [[4, 0], [1, 0]]


def test_each_group_counts_its_own_faces() -> None:
    measured = metrics.measure(FACES, CONFIG)
    assert [measured[group.key]["n"] for group in AGE_GROUPS] == [3, 2, 1, 1]
    assert measured["from_21_to_60_years"]["age_mae"]["value"] == pytest.approx((1 + 10) / 2)
    assert measured["from_40_years"]["age_mae"] == {"value": 6.0, "low": 6.0, "high": 6.0, "n": 1}
    assert measured["below_13_years"]["gender_accuracy"]["value"] == 0.0
    assert [row["n"] for row in measured["by_gender"]] == [1, 3]
    assert [row["n"] for row in measured["by_age_band"]] == [1, 0, 2, 0, 1]
    assert sum(row["n"] for row in measured["by_all"]) == 4
    assert {row["ethnicity"] for row in measured["by_all"]} == {"white", "asian", "indian"}


@pytest.mark.parametrize(
    ("age", "groups"),
    [
        (12, {"below_13"}),
        (13, {"from_13"}),
        (20, {"from_13"}),
        (21, {"from_13", "from_21_to_60"}),
        (60, {"from_13", "from_21_to_60", "from_40"}),
        (61, {"from_13", "from_40"}),
        (MAX_AGE, {"from_13", "from_40"}),
        (MISSING, set()),
    ],
)
def test_a_group_of_ages_includes_both_its_ends(age: int, groups: set[str]) -> None:
    labels = np.array([(age, 0, 0, age)], np.uint8)
    assert {group.name for group in AGE_GROUPS if group.mask(labels).all()} == groups


def test_confusion_has_labels_in_rows_and_answers_in_columns() -> None:
    assert metrics.measure(FACES, CONFIG)["confusion"]["gender"] == [[1, 0], [1, 2]]


def test_a_calibration_error_is_the_mean_distance_between_stated_and_found() -> None:
    # All four state 90 %; three in four are right.
    errors = metrics.measure(FACES, CONFIG)["calibration_error"]
    assert errors == {"gender": pytest.approx(0.15), "ethnicity": pytest.approx(0.15)}


def test_the_worst_cell_leaves_children_and_small_groups_out() -> None:
    many = samples.ScoredSamples(*(np.repeat(column, 50, axis=0) for column in vars(FACES).values()))
    worst = metrics.worst_subgroup(metrics.measure(many, CONFIG))
    assert worst is not None
    assert (worst["gender"], worst["n"], worst["gender_accuracy"]["value"]) == ("male", 50, 1.0)
    assert metrics.worst_subgroup(metrics.measure(FACES, CONFIG)) is None


def test_the_interval_holds_the_value_and_narrows_with_more_faces() -> None:
    many = samples.ScoredSamples(*(np.repeat(column, 50, axis=0) for column in vars(FACES).values()))
    few, more = (metrics.measure(faces, CONFIG)["overall"]["age_mae"] for faces in (FACES, many))
    assert few["low"] <= few["value"] <= few["high"]
    assert more["high"] - more["low"] < few["high"] - few["low"]


@pytest.mark.parametrize(
    ("years", "wanted"), [(0, 0), (12.4, 0), (12.6, 1), (19, 1), (20, 2), (59.4, 3), (60, 4), (116, 4)]
)
def test_ages_fall_into_their_bands(years: float, wanted: int) -> None:
    assert band(np.array([years])).tolist() == [wanted]
