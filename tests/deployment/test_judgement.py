"""A candidate is judged with a known share of false alarms."""

from __future__ import annotations

import math

import numpy as np
import pytest

from tests.rollout_simulation import Behaviour, rollout
from training.deployment.config import RolloutConfig
from training.deployment.judgement import detectable, fisher, tail, verdict
from training.deployment.logs import RequestLog
from training.deployment.rollout import plan_step

CONFIG = RolloutConfig()
LOOKS = 21


@pytest.mark.parametrize("users", [0, 300, 3000])
@pytest.mark.parametrize("errors", [0.002, 0.05])
def test_of_a_hundred_equal_candidates_at_least_98_pass(users: int, errors: float) -> None:
    random, equal = np.random.default_rng(users), Behaviour(errors=errors)
    assert sum(bool(rollout(equal, users, random, live=equal)[0]) for _ in range(100)) <= 2


@pytest.mark.parametrize(
    ("candidate", "users", "reason"),
    [
        (Behaviour(refused=1.0), 0, "requests were refused, 100.0%"),
        (Behaviour(refused=1.0), 3000, "requests were refused, 100.0%"),
        (Behaviour(errors=1.0), 0, "requests failed, 100.0%"),
        (Behaviour(errors=0.1), 3000, "requests failed"),
        (Behaviour(slow=20), 300, "95th percentile of the latency"),
        (Behaviour(always=("20-39", "female")), 3000, "its answers differ: "),
    ],
)
def test_a_worse_candidate_is_sent_back(candidate: Behaviour, users: int, reason: str) -> None:
    random = np.random.default_rng(1)
    found = [rollout(candidate, users, random) for _ in range(20)]
    assert all(reason in said for said, _ in found)


def test_a_broken_candidate_serves_for_less_than_a_minute() -> None:
    _, look = rollout(Behaviour(errors=1.0), 0, np.random.default_rng(1))
    assert look * CONFIG.pause < 60


def test_a_worsening_too_small_to_matter_is_let_through() -> None:
    candidate, live = RequestLog(1_000_000, 1500), RequestLog(9_000_000, 4500)
    assert fisher(1500, 1_000_000, 4500, 9_000_000) < 1e-9
    assert verdict(candidate, live, CONFIG, LOOKS) == ""


def test_without_a_live_release_the_limits_are_absolute() -> None:
    assert "the limit is 1.0%" in verdict(RequestLog(30, 8), None, CONFIG, LOOKS)
    assert verdict(RequestLog(30, 1), None, CONFIG, LOOKS) == ""
    assert "the limit is 2.000 s" in verdict(RequestLog(30, 0, (2.5,) * 30), None, CONFIG, LOOKS)


def test_full_instances_are_no_fault_of_the_code() -> None:
    assert verdict(RequestLog(100, limited=50), RequestLog(900), CONFIG, LOOKS) == ""


def test_images_of_one_request_do_not_count_as_many() -> None:
    """One user's thousand images of women are one observation, whichever revision got them."""
    live = RequestLog(900, answers={"gender": {"female": 450, "male": 450}}, answered=900)
    candidate = RequestLog(40, answers={"gender": {"female": 1020, "male": 20}}, answered=20)
    assert verdict(candidate, live, CONFIG, LOOKS) == ""


@pytest.mark.parametrize(
    ("hits", "of", "other", "of_other", "p"),
    [
        # Fisher's lady tasting tea: 3 of 4 and 4 of 4 cups.
        (3, 4, 1, 4, 17 / 70),
        (4, 4, 0, 4, 1 / 70),
        (0, 10, 5, 90, 1.0),
        (10, 10, 0, 10, 1 / math.comb(20, 10)),
    ],
)
def test_fisher_has_the_values_of_the_literature(hits: int, of: int, other: int, of_other: int, p: float) -> None:
    assert fisher(hits, of, other, of_other) == pytest.approx(p)


def test_the_binomial_tail_is_exact() -> None:
    assert tail(2, 3, 0.5) == pytest.approx(0.5)
    assert (tail(0, 3, 0.5), tail(1, 3, 0.0), tail(3, 3, 1.0)) == (1.0, 0.0, 1.0)


def test_what_the_rollout_says_that_it_finds_is_found() -> None:
    smallest = detectable(1000, 9000, 0.002, CONFIG, LOOKS)
    random, found = np.random.default_rng(3), 0
    for _ in range(200):
        candidate = RequestLog(1000, int(random.binomial(1000, smallest)))
        found += bool(verdict(candidate, RequestLog(9000, int(random.binomial(9000, 0.002))), CONFIG, LOOKS))
    assert 0.7 <= found / 200 <= 0.9


@pytest.mark.parametrize(
    ("requests", "minutes", "said"),
    [
        (0, 5, "not judged by users: about 0 of their requests will reach the candidate in 5 minutes"),
        (60, 5, "not judged by users: about 0 of"),
        (12_000, 10, "about 200 requests of users will reach the candidate in 10 minutes: if 2.8%"),
        (120_000, 5, "about 1000 requests of users will reach the candidate in 5 minutes: if 0.6%"),
    ],
)
def test_a_step_is_as_long_as_the_traffic_needs(requests: int, minutes: float, said: str) -> None:
    found, statement = plan_step(RequestLog(requests, window=3600), 10, CONFIG)
    assert found == minutes
    assert statement.startswith(said), statement
