"""Canary rollouts that succeed, and failures that return the traffic."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime

import httpx
import pytest

from tests.conftest import ROOT
from tests.deployment.conftest import FIRST, SECOND, STATS, Setup, training
from training.deployment.config import RolloutConfig
from training.deployment.logs import RequestLog, ServiceLog
from training.deployment.rollout import rollout
from training.deployment.service_client import ServiceClient
from training.errors import StepError
from training.faces import draw
from training.registry.signing import Trust

# Limits for a busy test machine.
CONFIG = RolloutConfig(
    minutes=0.01, least_looks=4, probes=3, least_requests=6, log_seconds=1, log_pause=0.1, p95_seconds=5, p95_slack=2
)


def ignored(_: str) -> None:
    """Discard a message."""


def test_rollout_judges_an_idle_service_by_probe_requests(setup: Setup) -> None:
    production, said = setup.go_live(FIRST), list[str]()
    candidate = setup.deploy(SECOND)
    assert rollout(setup.service, setup.registry, candidate, CONFIG, said.append) == SECOND
    assert said[0] == f"10 % of the traffic goes to {candidate}, the rest to {production}"
    assert said[1].startswith("not judged by users: about 0 of their requests will reach the candidate")
    assert re.match(rf"{candidate}: 3 requests, 0 failed, .+; {production}: 3 requests, 0 failed", said[2])
    assert setup.service.traffic().split == {candidate: 100}
    assert (setup.served(), setup.production()) == (SECOND, SECOND)
    # A second rollout changes nothing.
    assert rollout(setup.service, setup.registry, candidate, CONFIG, ignored) == SECOND


def test_requests_that_no_revision_can_answer_are_no_failures_of_the_candidate(setup: Setup) -> None:
    revision = setup.go_live(FIRST)
    served, since = setup.fake_cloud.services[str(setup.service.name)].revisions[revision], datetime.now(UTC)
    for status in (200, 400, 429, 501, 501, 500, 503):
        request = {"requestMethod": "POST", "requestUrl": "/", "status": status, "latency": "0.1s"}
        served.log.request(setup.service.name.project, served._resource(), request)
    found = ServiceLog(setup.service.name).requests(revision, since)
    assert (found.requests, found.errors, found.refused, found.limited) == (6, 2, 1, 1)
    assert len(found.latencies) == 6


def test_rollout_refuses_a_release_that_is_not_as_it_was_signed(setup: Setup) -> None:
    setup.go_live(FIRST)
    candidate = setup.deploy(SECOND)
    before = setup.service.traffic()
    with pytest.raises(StepError, match="has no signature"):
        rollout(setup.service, setup.registry, candidate, CONFIG, ignored, Trust(identity="somebody"))
    assert (setup.service.traffic(), setup.production()) == (before, FIRST)


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        (
            'raise RuntimeError("sometimes")',
            r"requests failed, \d+\.\d%; of the live revision 0 of \d+, 0.0% unexpected failure",
        ),
        pytest.param(
            "import time; time.sleep(1)",
            r"the 95th percentile of the latency is 1\.\d+ s; the limit is \d\.\d+ s",
            marks=pytest.mark.serial,
        ),
        ("import os; os._exit(1)", r"requests failed, \d+\.\d%; of the live revision 0 of"),
    ],
    ids=["fails", "slow", "dies"],
)
def test_rollout_returns_the_traffic_of_a_worse_candidate(setup: Setup, fault: str, reason: str) -> None:
    production = setup.go_live(FIRST)
    candidate = setup.deploy(SECOND, setup.changed_function("serving/api.py", STATS, f"            {fault}\n{STATS}"))
    config = RolloutConfig(**{**vars(CONFIG), "p95_slack": 0.3})
    with pytest.raises(StepError, match=f"(?s){reason}.*all traffic is back on {production}"):
        rollout(setup.service, setup.registry, candidate, config, ignored)
    assert setup.service.traffic().split == {production: 100}
    assert (setup.served(), setup.production()) == (FIRST, FIRST)


def test_rollout_fails_without_logged_requests(setup: Setup, monkeypatch: pytest.MonkeyPatch) -> None:
    production = setup.go_live(FIRST)
    candidate = setup.deploy(SECOND)
    monkeypatch.setattr(setup.fake_cloud.log, "request", lambda *_: None)
    with pytest.raises(
        StepError,
        match=f"shows 0 requests to {candidate} or {production}; the rollout needs 6.*Does the project exclude",
    ):
        rollout(setup.service, setup.registry, candidate, CONFIG, ignored)
    assert setup.service.traffic().split == {production: 100}


def test_a_rollout_waits_for_a_log_that_is_late(setup: Setup, monkeypatch: pytest.MonkeyPatch) -> None:
    setup.go_live(FIRST)
    broken = setup.changed_function("serving/api.py", STATS, f'            raise RuntimeError("no")\n{STATS}')
    candidate = setup.deploy(SECOND, broken)
    monkeypatch.setattr(setup.fake_cloud.log, "late", 3.0)
    # Every look is over before the log has a line.
    config = replace(CONFIG, log_seconds=20, least_requests=12)
    with pytest.raises(StepError, match=r"requests failed, 100\.0%"):
        rollout(setup.service, setup.registry, candidate, config, ignored)


def test_requests_that_find_no_free_instance_say_nothing_about_the_candidate(setup: Setup) -> None:
    production, said = setup.go_live(FIRST), list[str]()
    candidate = setup.deploy(SECOND)
    since = datetime.now(UTC)
    setup.fake_cloud.services[str(setup.service.name)].full = 0.4
    assert rollout(setup.service, setup.registry, candidate, CONFIG, said.append) == SECOND
    found = [ServiceLog(setup.service.name).requests(each, since) for each in (candidate, production)]
    assert all(log.limited and not log.errors and not log.refused for log in found)
    assert all(len(log.latencies) == log.requests for log in found)
    assert any("found no free instance (429)" in line for line in said)


def test_rollout_keeps_a_pointer_that_another_process_moved(setup: Setup) -> None:
    production = setup.go_live(FIRST)
    candidate = setup.deploy(FIRST)

    def promote(said: str) -> None:
        if said.startswith("all traffic"):
            setup.registry.promote(SECOND)

    with pytest.raises(StepError, match="another process moved the production pointer"):
        rollout(setup.service, setup.registry, candidate, CONFIG, promote)
    assert setup.service.traffic().split == {production: 100}
    assert setup.production() == SECOND


def test_rollout_returns_the_traffic_after_a_concurrent_change(setup: Setup) -> None:
    production = setup.go_live(FIRST)
    candidate = setup.deploy(SECOND)

    def interfere(said: str) -> None:
        if "requests" in said:
            setup.service.route({candidate: 50, production: 50}, setup.service.traffic().tags)
            raise RuntimeError("and something unforeseen")

    with pytest.raises(StepError, match="something unforeseen"):
        rollout(setup.service, setup.registry, candidate, CONFIG, interfere)
    assert setup.service.traffic().split == {production: 100}


@contextmanager
def running_canary(setup: Setup, candidate: str) -> Iterator[subprocess.Popen[str]]:
    """Run the command until its canary."""
    command = ["-m", "training", "rollout", *setup.arguments, "--revision", candidate, "--minutes", "1"]
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


def test_cancelled_rollout_returns_the_traffic(setup: Setup) -> None:
    production = setup.go_live(FIRST)
    candidate = setup.deploy(SECOND)
    with running_canary(setup, candidate) as process:
        assert setup.service.traffic().split == {candidate: 10, production: 90}
        process.send_signal(signal.SIGTERM)
        _, said = process.communicate(timeout=60)
    assert process.returncode == 1
    assert said == f"rollout: interrupted by SIGTERM\nall traffic is back on {production}\n"
    assert setup.service.traffic().split == {production: 100}


def test_killed_rollout_can_be_restarted(setup: Setup) -> None:
    production = setup.go_live(FIRST)
    candidate = setup.deploy(SECOND)
    with running_canary(setup, candidate) as process:
        os.kill(process.pid, signal.SIGKILL)
    assert setup.service.traffic().split == {candidate: 10, production: 90}

    def fail(said: str) -> None:
        if "requests" in said:
            raise StepError("no")

    with pytest.raises(StepError, match=f"all traffic is back on {production}"):
        rollout(setup.service, setup.registry, candidate, CONFIG, fail)
    assert setup.service.traffic().split == {production: 100}
    # Killed between the traffic and the pointer.
    setup.service.route({candidate: 100}, setup.service.traffic().tags)
    assert rollout(setup.service, setup.registry, candidate, CONFIG, ignored) == SECOND
    assert setup.production() == SECOND


def test_rollout_refuses_a_revision_of_another_registry(setup: Setup) -> None:
    candidate = setup.deploy(FIRST)
    other = type(setup.registry)(str(setup.folder))
    with pytest.raises(StepError, match=r"serves .+, which is not in"):
        rollout(setup.service, other, candidate, CONFIG, ignored)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--minutes", "50"], "1 steps of 50 minutes take longer than 45 minutes, for which the job has time"),
        (["--steps", "1,10,50", "--minutes", "20"], "3 steps of 20 minutes take longer than 45 minutes"),
        (["--steps", "10,100"], "expected rising percentages from 1 to 99"),
        (["--steps", "50,10"], "expected rising percentages from 1 to 99"),
        (["--minutes", "0"], "expected a number of minutes above 0"),
    ],
)
def test_a_watch_that_the_job_has_no_time_for_is_refused(setup: Setup, options: list[str], said: str) -> None:
    done = training("rollout", *setup.arguments, "--revision", "any", *options)
    assert done.returncode in (1, 2)
    assert said in done.stderr


def test_the_traffic_rises_in_steps(setup: Setup) -> None:
    production, said = setup.go_live(FIRST), list[str]()
    candidate = setup.deploy(SECOND)
    config = replace(CONFIG, steps=(1, 50), least_looks=2)
    assert rollout(setup.service, setup.registry, candidate, config, said.append) == SECOND
    steps = [line for line in said if "% of the traffic goes to" in line]
    assert [line.partition(" %")[0] for line in steps] == ["1", "50"]
    assert setup.service.traffic().split == {candidate: 100}
    assert production != candidate


def test_answers_to_the_rollouts_own_requests_are_no_users_answers(setup: Setup) -> None:
    revision, since = setup.go_live(FIRST), datetime.now(UTC)
    client = ServiceClient.of(setup.service, "", {}, 30)
    client.predict(draw(age=30, gender=1, ethnicity=2, seed=0))
    own = ServiceLog(setup.service.name).requests(revision, since)
    assert (own.requests, own.answered, own.answers) == (1, 0, {})
    face = draw(age=30, gender=1, ethnicity=2, seed=0)
    headers = {"Content-Type": "image/jpeg", **setup.fake_cloud.user(setup.service.address())}
    httpx.post(f"{setup.service.address()}/predict", content=face, headers=headers).raise_for_status()
    found = _when(lambda: ServiceLog(setup.service.name).requests(revision, since), lambda log: log.answered == 1)
    assert sum(found.answers["gender"].values()) == 1
    assert sum(found.answers["warnings"].values()) == 1


def _when(read: Callable[[], RequestLog], wanted: Callable[[RequestLog], bool]) -> RequestLog:
    """Read until the log has what is wanted. The double reads the function's output in another thread."""
    for _ in range(50):
        if wanted(found := read()):
            break
        time.sleep(0.1)
    return found
