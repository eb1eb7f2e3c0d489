"""The index, what chance leaves of it, and how seldom it cries and misses; all random numbers are fixed."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from serving.release import MANIFEST
from tests.loglines import BUNDLED
from training.config import DriftConfig
from training.monitoring.drift import of_release
from training.stability import DriftComparison, DriftStatus, Sample, chance, chi_squared_tail, compare, psi

Shares = npt.NDArray[np.float64]

TESTED: Sample = of_release(
    *(json.loads((BUNDLED / name).read_text()) for name in ("metrics.json", MANIFEST)),
)
FACES = TESTED.independent
# how often each simulation is run
TIMES = 2000


def shares(measure: str) -> Shares:
    """Of the release's answers on its test faces."""
    counts = np.array(list(TESTED.measures[measure].values()), np.float64)
    result: Shares = counts / counts.sum()
    return result


def simulated(measure: str, served: Shares, images: int, together: int = 1) -> list[DriftComparison]:
    """Comparisons of random samples: test faces as they are, requests drawn from `served`.

    Args:
        measure: one of the release's.
        served: shares of what is really served.
        images: a sample.
        together: images a request, all of them alike.
    """
    random = np.random.default_rng(7)
    names, requests = list(TESTED.measures[measure]), images // together
    before = random.multinomial(FACES, shares(measure), size=TIMES)
    now = together * random.multinomial(requests, served, size=TIMES)

    def sample(counts: Any, independent: int) -> Sample:
        return Sample({measure: dict(zip(names, counts.tolist(), strict=True))}, independent)

    pairs = zip(before, now, strict=True)
    return [one for a, b in pairs for one in compare(sample(a, FACES), sample(b, requests), DriftConfig())]


def alarms(comparisons: list[DriftComparison]) -> float:
    """The share of them that says drift."""
    assert len(comparisons) == TIMES
    return float(np.mean([one.verdict is DriftStatus.DRIFTED for one in comparisons]))


def test_the_index_is_that_of_the_textbook() -> None:
    before, now = np.array([5000.0, 3000.0, 2000.0]), np.array([4000.0, 3000.0, 3000.0])
    assert psi(before, now) == pytest.approx(0.1 * np.log(5 / 4) + 0.1 * np.log(3 / 2), rel=1e-3)
    assert psi(now, before) == pytest.approx(psi(before, now))
    assert psi(before, before) == 0
    assert np.isfinite(psi(before, np.array([9000.0, 0.0, 0.0])))


# from printed tables of the chi-squared distribution
@pytest.mark.parametrize(
    ("value", "freedom", "tail"),
    [(3.841, 1, 0.05), (10.828, 1, 0.001), (5.991, 2, 0.05), (7.815, 3, 0.05), (9.488, 4, 0.05), (18.467, 4, 0.001)],
)
def test_the_tail_is_that_of_the_tables(value: float, freedom: int, tail: float) -> None:
    assert chi_squared_tail(value, freedom) == pytest.approx(tail, rel=2e-3)
    assert chi_squared_tail(0, freedom) == 1
    assert chi_squared_tail(5000, freedom) == pytest.approx(0, abs=1e-300)


@pytest.mark.parametrize("measure", ["age", "gender", "ethnicity"])
@pytest.mark.parametrize("images", [100, 500, 5000])
def test_without_drift_the_index_is_what_chance_leaves(measure: str, images: int) -> None:
    found = simulated(measure, shares(measure), images)
    average = np.mean([one.psi for one in found])
    assert average == pytest.approx(chance(found[0].expected, found[0].served), rel=0.08)
    # and as seldom large as the distribution says
    assert np.mean([one.probability < 0.05 for one in found]) == pytest.approx(0.05, abs=0.02)


@pytest.mark.parametrize("measure", ["age", "gender", "ethnicity", "input_check"])
@pytest.mark.parametrize("images", [100, 200, 1000])
def test_false_alarms_are_rarer_than_one_in_a_thousand(measure: str, images: int) -> None:
    assert alarms(simulated(measure, shares(measure), images)) <= 0.001


def test_uncorrected_the_usual_threshold_would_cry_at_small_samples() -> None:
    found = simulated("age", shares("age"), 30)
    assert np.mean([one.psi > DriftConfig().psi for one in found]) > 0.1
    assert {one.verdict for one in found} == {DriftStatus.TOO_FEW}


def test_images_of_one_request_do_not_pass_for_independent_ones() -> None:
    alike = simulated("age", shares("age"), 640, together=32)
    assert np.mean([one.corrected > DriftConfig().psi for one in alike]) > 0.3
    assert {one.verdict for one in alike} == {DriftStatus.TOO_FEW}
    assert alarms(simulated("age", shares("age"), 3200, together=32)) < 0.01


def mixed(measure: str, bin_number: int, share: float) -> Shares:
    """What is served when so many of all images are replaced by ones of one bin."""
    served = (1 - share) * shares(measure)
    served[bin_number] += share
    return served


@pytest.mark.parametrize(
    ("measure", "bin_number", "share", "images", "power"),
    [
        # a third of the images are now children
        ("age", 0, 0.35, 100, 0.8),
        ("age", 0, 0.35, 500, 0.99),
        # a school class
        ("age", 1, 0.2, 200, 0.9),
        # hardly a woman left
        ("gender", 0, 0.6, 200, 0.97),
        # one in six is no face
        ("input_check", 1, 0.15, 200, 0.95),
    ],
)
def test_real_drift_is_seen(measure: str, bin_number: int, share: float, images: int, power: float) -> None:
    assert alarms(simulated(measure, mixed(measure, bin_number, share), images)) >= power


def test_a_small_shift_is_no_alarm_however_many_images_prove_it() -> None:
    found = simulated("gender", mixed("gender", 0, 0.25), 50_000)
    assert np.mean([one.probability < DriftConfig().significance for one in found]) > 0.99
    assert alarms(found) == 0


def test_a_release_expects_the_answers_on_its_test_faces() -> None:
    assert {name: sum(counts.values()) for name, counts in TESTED.measures.items()} == dict.fromkeys(
        ("age", "gender", "ethnicity", "input_check"), FACES
    )
    # columns of the confusion matrices: answers, not labels
    measured = {
        "faces": 10,
        "confusion": {"age_band": [[0] * 5] * 5, "gender": [[4, 3], [1, 2]], "ethnicity": [[0] * 5] * 5},
        "input_check": {"false_positive_rate": 0.1},
    }
    manifest = json.loads((BUNDLED / MANIFEST).read_text())
    expected = of_release(measured, manifest)
    assert expected.measures["gender"] == {"male": 5, "female": 5}
    assert expected.measures["input_check"] == {"a face": 9, "no face": 1}


def test_only_what_both_know_and_somebody_counted_is_compared() -> None:
    before = Sample({"age": {"0-12": 300, "60+": 0, "40-59": 100}, "gender": {"male": 1, "female": 1}}, 400)
    now = Sample(
        {"age": {"0-12": 100, "60+": 0, "40-59": 100}, "sides": {"0-31": 200}, "gender": {"male": 0, "female": 0}}, 200
    )
    (one,) = compare(before, now, DriftConfig())
    assert (one.measure, one.bins, one.images) == ("age", ("0-12", "40-59"), 200)
    assert one.moved() == ("40-59", 0.25, 0.5)
    assert one.verdict is DriftStatus.DRIFTED


def test_one_bin_alone_cannot_drift() -> None:
    sample = Sample({"formats": {"JPEG": 500, "PNG": 0}}, 500)
    (one,) = compare(sample, sample, DriftConfig())
    assert (one.psi, one.corrected, one.probability, one.verdict) == (0, 0, 1, DriftStatus.STABLE)
