"""The predictor: outputs of the network -> predictions."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from serving import release
from serving.predictor import Predictor, age_intervals, age_levels, decide_ages, sharpen
from serving.release import AgeDecision
from tests.conftest import FUNCTION


@pytest.fixture(scope="module")
def predictor() -> Predictor:
    return Predictor(release.load(str(FUNCTION / "model")))


def test_a_distribution_sure_of_one_year_has_it_as_its_median() -> None:
    assert age_levels(np.eye(117)[[0, 30, 116]], (0.5,))[0] == pytest.approx([0, 30, 116])


def test_the_median_lies_between_two_equally_likely_years() -> None:
    distribution = np.zeros((1, 117))
    distribution[0, [20, 30]] = 0.5
    assert 20 <= age_levels(distribution, (0.5,))[0, 0] <= 30


def test_levels_are_in_order_and_never_below_birth() -> None:
    distribution = np.random.default_rng(0).dirichlet(np.ones(117), 50)
    low, middle, high = age_levels(distribution, (0.1, 0.5, 0.9))
    assert (low >= 0).all()
    assert (low <= middle).all()
    assert (middle <= high).all()


def test_the_predicted_age_is_the_year_with_the_most_people_near_it() -> None:
    distribution = np.zeros((2, 117))
    # The median of both is 30; many of the second are near 24, and few are near 30.
    distribution[0, [25, 30, 35]] = 0.2, 0.6, 0.2
    distribution[1, [23, 24, 30, 60]] = 0.29, 0.2, 0.02, 0.49
    assert age_levels(distribution, (0.5,))[0] == pytest.approx([30, 30], abs=0.5)
    assert decide_ages(distribution, AgeDecision(5, 2.0)).tolist() == [30, 28]
    # Without miss_cost it is the median.
    assert decide_ages(distribution, AgeDecision(5, 0.0)).tolist() == [30, 30]


def test_predicted_ages_are_whole_years_within_their_interval(predictor: Predictor) -> None:
    distribution = np.random.default_rng(0).dirichlet(np.full(117, 0.05), 200)
    years, low, high = age_intervals(distribution, predictor.release.calibration)
    assert years.dtype == low.dtype == high.dtype == np.int64
    assert ((low <= years) & (years <= high)).all()


def test_a_temperature_above_one_lowers_confidence_and_keeps_the_order() -> None:
    probabilities = np.array([[0.7, 0.2, 0.1]])
    assert sharpen(probabilities, 1.0) == pytest.approx(probabilities)
    cooler = sharpen(probabilities, 2.0)[0]
    assert cooler[0] < 0.7
    assert (np.diff(cooler) < 0).all()
    assert cooler.sum() == pytest.approx(1)


def test_a_batch_gives_the_outputs_of_single_faces_bit_for_bit(predictor: Predictor) -> None:
    size = predictor.release.size
    faces = np.random.default_rng(0).integers(0, 256, (5, size, size, 3), np.uint8)
    together = predictor.run(faces)
    for row in range(5):
        alone = predictor.run(faces[row : row + 1])
        for head, values in together.items():
            assert alone[head][0].tobytes() == values[row].tobytes()


def test_threads_get_the_same_outputs_bit_for_bit(predictor: Predictor) -> None:
    size = predictor.release.size
    faces = [np.random.default_rng(seed).integers(0, 256, (1, size, size, 3), np.uint8) for seed in range(8)]
    alone = [predictor.run(face)["age"].tobytes() for face in faces]
    with ThreadPoolExecutor(8) as threads:
        assert [outputs["age"].tobytes() for outputs in threads.map(predictor.run, faces * 5)] == alone * 5
