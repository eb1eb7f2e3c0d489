"""Calibrated answers mean what they say."""

from __future__ import annotations

import numpy as np
import pytest

from serving.predictor import Outputs, age_intervals, sharpen
from serving.release import AgeDecision
from tests.partial import coarse, without
from training.calibration import intervals, temperature
from training.data.shards import LabelArray
from training.labels import AGE_CLASSES, MISSING, ROW, band

FACES = 4000
DECISION = AgeDecision(5, 2.0)


def drawn(sure: float) -> tuple[Outputs, LabelArray]:
    """Outputs and labels drawn from them, then made more sure of themselves than they may be."""
    random = np.random.default_rng(0)
    years = np.arange(AGE_CLASSES)
    age = np.exp(-((years - random.uniform(10, 80, (FACES, 1))) ** 2) / 50)
    age /= age.sum(axis=1, keepdims=True)
    gender = random.uniform(0.02, 0.98, (FACES, 1))
    ethnicity = random.dirichlet(np.ones(5), FACES)
    labels = np.zeros((FACES, len(ROW)), np.uint8)
    labels[:, 0] = labels[:, 3] = [random.choice(AGE_CLASSES, p=row) for row in age]
    labels[:, 1] = random.uniform(size=FACES) < gender[:, 0]
    labels[:, 2] = [random.choice(5, p=row) for row in ethnicity]
    both = sharpen(np.concatenate([1 - gender, gender], axis=1), 1 / sure)
    outputs = {"age": sharpen(age, 1 / sure), "gender": both[:, 1:], "ethnicity": sharpen(ethnicity, 1 / sure)}
    return {head: values.astype(np.float32) for head, values in outputs.items()}, labels


@pytest.mark.parametrize("sure", [0.5, 1.0, 2.0])
def test_temperatures_undo_too_much_and_too_little_confidence(sure: float) -> None:
    fitted = temperature.fit(*drawn(sure), coverage=0.8, decision=DECISION)
    assert fitted.temperatures == {head: pytest.approx(sure, rel=0.1) for head in ("gender", "ethnicity")}


@pytest.mark.parametrize("coverage", [0.6, 0.8, 0.9])
def test_the_interval_covers_the_stated_share_of_other_faces_in_every_age_band(coverage: float) -> None:
    outputs, labels = drawn(1.5)
    half = FACES // 2
    fitted = temperature.fit(
        {head: values[:half] for head, values in outputs.items()}, labels[:half], coverage, DECISION
    )
    _, low, high = age_intervals(outputs["age"][half:], fitted)
    found = intervals.covered(low, high, labels[half:, 0])
    assert found.mean() == pytest.approx(coverage, abs=0.04)
    bands = band(labels[half:, 0])
    for number in range(5):
        assert found[bands == number].mean() > coverage - 0.1


def test_ranges_alone_give_intervals_that_cover_the_stated_share_of_the_exact_ages() -> None:
    outputs, labels = drawn(1.0)
    half = FACES // 2
    rows = {head: values[:half] for head, values in outputs.items()}
    fitted = temperature.fit(rows, coarse(labels[:half]), 0.8, DECISION)
    _, low, high = age_intervals(outputs["age"][half:], fitted)
    assert intervals.covered(low, high, labels[half:, 0]).mean() == pytest.approx(0.8, abs=0.04)


def test_faces_without_a_label_change_no_calibration() -> None:
    outputs, labels = drawn(1.5)
    half = FACES // 2
    fitted = temperature.fit({head: values[:half] for head, values in outputs.items()}, labels[:half], 0.8, DECISION)
    labels[half:] = MISSING
    assert temperature.fit(outputs, labels, 0.8, DECISION) == fitted
    unlabelled = without(labels, "ethnicity")
    assert temperature.fit(outputs, unlabelled, 0.8, DECISION).temperatures["ethnicity"] == 1.0


def test_intervals_are_as_narrow_as_the_coverage_allows() -> None:
    outputs, labels = drawn(1.0)
    widths = []
    for coverage in (0.6, 0.8, 0.9):
        _, low, high = age_intervals(outputs["age"], temperature.fit(outputs, labels, coverage, DECISION))
        widths.append(float((high - low).mean()))
    assert widths == sorted(widths)
    # A normal distribution of 5 years: 2 x 1.28 standard deviations hold 80 %.
    assert widths[1] == pytest.approx(12.8, rel=0.1)


def test_few_faces_give_one_level_for_all_ages() -> None:
    outputs, labels = drawn(1.0)
    fitted = temperature.fit({head: values[:30] for head, values in outputs.items()}, labels[:30], 0.8, DECISION)
    assert len(fitted.age_at) == len(fitted.age_low) == len(fitted.age_high) == 1
