"""Traffic step by step, and back where something goes wrong."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.conftest import ROOT
from tests.deployment.conftest import FIRST, SECOND, Place
from training.deployment.config import RolloutConfig
from training.deployment.logs import Seen
from training.deployment.rollout import rollout, verdict
from training.errors import StepError

# The machine that tests run on is busy.
CONFIG = RolloutConfig(
    minutes=0.01, rounds=4, probes=3, least_requests=6, log_seconds=1, log_pause=0.1, p95_seconds=5, p95_slack=2
)


def ignored(_: str) -> None:
    """Nobody reads it."""


def test_an_idle_service_is_judged_by_our_own_requests(place: Place) -> None:
    production, said = place.go_live(FIRST), list[str]()
    candidate = place.deploy(SECOND)
    assert rollout(place.service, place.registry, candidate, CONFIG, said.append) == SECOND
    assert said[0] == f"10 % of the traffic goes to {candidate}, the rest to {production}"
    assert re.match(rf"{candidate}: 3 requests, 0 failed, .+; {production}: [34] requests, 0 failed", said[1])
    assert place.service.traffic().split == {candidate: 100}
    assert (place.served(), place.production()) == (SECOND, SECOND)
    # Once more is no harm.
    assert rollout(place.service, place.registry, candidate, CONFIG, ignored) == SECOND


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        ('    raise RuntimeError("sometimes")\n', r"requests failed, 1.0% may unexpected failure"),
        pytest.param(
            "    import time; time.sleep(1)\n",
            r"95 % of the requests are answered within 1\.\d+ s, \d\.\d+ s are allowed",
            marks=pytest.mark.serial,
        ),
        ("    import os; os._exit(1)\n", r"requests failed, 1.0% may"),
    ],
    ids=["fails", "slow", "dies"],
)
def test_a_worse_candidate_loses_the_traffic_and_the_job_says_why(place: Place, fault: str, reason: str) -> None:
    production = place.go_live(FIRST)
    marked = "    g.stats = RequestStats(len(images))\n"
    candidate = place.deploy(SECOND, place.changed_function("main.py", marked, fault + marked))
    config = RolloutConfig(**{**vars(CONFIG), "p95_slack": 0.3})
    with pytest.raises(StepError, match=f"(?s){reason}.*all traffic is back at {production}"):
        rollout(place.service, place.registry, candidate, config, ignored)
    assert place.service.traffic().split == {production: 100}
    assert (place.served(), place.production()) == (FIRST, FIRST)


def test_a_log_that_tells_nothing_is_no_reason_to_go_on(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    production = place.go_live(FIRST)
    candidate = place.deploy(SECOND)
    monkeypatch.setattr(place.double.log, "request", lambda *_: None)
    with pytest.raises(StepError, match=f"names 0 requests to {candidate}; 6 are needed"):
        rollout(place.service, place.registry, candidate, CONFIG, ignored)
    assert place.service.traffic().split == {production: 100}


def test_a_pointer_that_somebody_else_moved_meanwhile_stays_and_the_traffic_goes_back(place: Place) -> None:
    production = place.go_live(FIRST)
    candidate = place.deploy(FIRST)

    def promote(said: str) -> None:
        if said.startswith("all traffic"):
            place.registry.promote(SECOND)

    with pytest.raises(StepError, match="was moved by somebody else"):
        rollout(place.service, place.registry, candidate, CONFIG, promote)
    assert place.service.traffic().split == {production: 100}
    assert place.production() == SECOND


def test_a_change_of_the_service_by_somebody_else_does_not_keep_the_traffic_from_going_back(place: Place) -> None:
    production = place.go_live(FIRST)
    candidate = place.deploy(SECOND)

    def interfere(said: str) -> None:
        if "requests" in said:
            place.service.route({candidate: 50, production: 50}, place.service.traffic().tags)
            raise RuntimeError("and something unforeseen")

    with pytest.raises(StepError, match="something unforeseen"):
        rollout(place.service, place.registry, candidate, CONFIG, interfere)
    assert place.service.traffic().split == {production: 100}


@contextmanager
def watching(place: Place, candidate: str) -> Iterator[subprocess.Popen[str]]:
    """The command, in the minute of its watch."""
    command = ["-m", "training", "rollout", *place.arguments, "--revision", candidate, "--minutes", "1"]
    with subprocess.Popen(
        [sys.executable, *command], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout
        for line in process.stdout:
            if "requests" in line:
                break
        try:
            yield process
        finally:
            process.kill()


def test_a_cancelled_job_takes_the_traffic_back(place: Place) -> None:
    production = place.go_live(FIRST)
    candidate = place.deploy(SECOND)
    with watching(place, candidate) as process:
        assert place.service.traffic().split == {candidate: 10, production: 90}
        process.send_signal(signal.SIGTERM)
        _, said = process.communicate(timeout=60)
    assert process.returncode == 1
    assert said == f"rollout: interrupted by SIGTERM\nall traffic is back at {production}\n"
    assert place.service.traffic().split == {production: 100}


def test_after_a_sudden_death_the_same_command_goes_on_or_back(place: Place) -> None:
    production = place.go_live(FIRST)
    candidate = place.deploy(SECOND)
    with watching(place, candidate) as process:
        os.kill(process.pid, signal.SIGKILL)
    assert place.service.traffic().split == {candidate: 10, production: 90}

    def fail(said: str) -> None:
        if "requests" in said:
            raise StepError("no")

    with pytest.raises(StepError, match=f"all traffic is back at {production}"):
        rollout(place.service, place.registry, candidate, CONFIG, fail)
    assert place.service.traffic().split == {production: 100}
    # Dead between the traffic and the pointer.
    place.service.route({candidate: 100}, place.service.traffic().tags)
    assert rollout(place.service, place.registry, candidate, CONFIG, ignored) == SECOND
    assert place.production() == SECOND


def test_a_revision_of_another_registry_is_not_rolled_out(place: Place) -> None:
    candidate = place.deploy(FIRST)
    other = type(place.registry)(str(place.folder))
    with pytest.raises(StepError, match=r"serves .+, nothing of"):
        rollout(place.service, other, candidate, CONFIG, ignored)


@pytest.mark.parametrize(
    ("candidate", "production", "fine"),
    [
        (Seen(1000, 10, 0.1), Seen(9000, 0, 0.1), True),
        (Seen(1000, 11, 0.1), Seen(9000, 0, 0.1), False),
        # as many fail in both
        (Seen(1000, 50, 0.1), Seen(9000, 450, 0.1), True),
        # one of few is too many, whatever the number of requests that would be needed to praise it
        (Seen(3, 1, 0.1), Seen(3, 0, 0.1), False),
        (Seen(1000, 0, 0.4), Seen(9000, 0, 0.1), True),
        (Seen(1000, 0, 0.41), Seen(9000, 0, 0.1), False),
        (Seen(1000, 0, 2.1), Seen(9000, 0, 3.0), False),
        # nothing to compare with
        (Seen(1000, 0, 1.9), Seen(), True),
        # too few to tell the 95th percentile
        (Seen(29, 0, 9.0), Seen(29, 0, 0.1), True),
    ],
)
def test_what_is_worse(candidate: Seen, production: Seen, fine: bool) -> None:
    assert (verdict(candidate, production, RolloutConfig()) == "") is fine
