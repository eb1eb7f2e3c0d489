"""Rollouts whose job is gone are brought to an end, and running ones are left alone."""

from __future__ import annotations

import os
import signal
import time

import pytest

from tests.deployment.conftest import FIRST, SECOND, Setup, training
from tests.deployment.test_rollout import CONFIG, ignored, running_canary
from training.deployment.rollback import rollback
from training.deployment.rollout import rollout
from training.deployment.service import CANDIDATE, REFUSED
from training.deployment.settle import UNTIL, settle


def _marks(setup: Setup) -> list[str]:
    return [tag for tag in setup.service.traffic().tags if tag.startswith(UNTIL)]


def test_a_killed_rollout_is_settled_and_a_running_one_is_not(setup: Setup) -> None:
    production = setup.go_live(FIRST)
    candidate = setup.deploy(SECOND)
    with running_canary(setup, candidate) as process:
        assert settle(setup.service, setup.registry).startswith("a rollout may take until ")
        assert setup.service.traffic().split == {candidate: 10, production: 90}
        os.kill(process.pid, signal.SIGKILL)
    # The daily schedule does not know that the job is gone until its time is up.
    assert settle(setup.service, setup.registry).startswith("a rollout may take until ")
    done = training("settle", *setup.arguments, "--ended")
    assert done.stdout == f"the rollout of {candidate} was abandoned: all traffic is back on {production}\n"
    traffic = setup.service.traffic()
    assert traffic.split == {production: 100}
    # Nobody judged it: the next deployment may bring it back.
    assert (traffic.tags[CANDIDATE], REFUSED in traffic.tags, _marks(setup)) == (candidate, False, [])
    assert settle(setup.service, setup.registry) == "there is no abandoned rollout"


def test_a_rollout_whose_time_is_up_is_settled_by_the_schedule(setup: Setup) -> None:
    production = setup.go_live(FIRST)
    candidate = setup.deploy(SECOND)
    tags = setup.service.traffic().tags | {f"{UNTIL}{int(time.time()) - 1}": candidate}
    setup.service.route({candidate: 10, production: 90}, tags)
    assert f"all traffic is back on {production}" in settle(setup.service, setup.registry)


def test_a_rollout_that_was_killed_before_its_last_step_is_completed(setup: Setup) -> None:
    setup.go_live(FIRST)
    candidate = setup.deploy(SECOND)
    setup.service.route({candidate: 100}, setup.service.traffic().tags)
    assert settle(setup.service, setup.registry).endswith(f"production is {SECOND} now")
    assert setup.production() == SECOND
    assert settle(setup.service, setup.registry) == "there is no abandoned rollout"


def test_a_split_that_a_person_made_is_left_alone(setup: Setup) -> None:
    production = setup.go_live(FIRST)
    candidate = setup.deploy(SECOND)
    setup.service.route({candidate: 50, production: 50}, setup.service.traffic().tags)
    assert settle(setup.service, setup.registry, ended=True) == "there is no abandoned rollout"
    assert setup.service.traffic().split == {candidate: 50, production: 50}


def test_a_rollout_leaves_no_mark(setup: Setup) -> None:
    setup.go_live(FIRST)
    rollout(setup.service, setup.registry, setup.deploy(SECOND), CONFIG, ignored)
    assert _marks(setup) == []


@pytest.mark.parametrize("version", [FIRST, ""])
def test_a_rollback_waits_for_a_tag_that_answers_for_another_revision(setup: Setup, version: str) -> None:
    first = setup.go_live(FIRST)
    setup.go_live(SECOND)
    setup.registry.promote(SECOND)
    setup.fake_cloud.services[str(setup.service.name)].lag = 3
    assert rollback(setup.service, setup.registry, version) == first
    assert (setup.served(), setup.production()) == (FIRST, FIRST)


def test_a_rollback_to_a_new_revision_waits_for_its_tag(setup: Setup) -> None:
    setup.go_live(SECOND)
    setup.registry.promote(SECOND)
    setup.fake_cloud.services[str(setup.service.name)].lag = 3
    made = rollback(setup.service, setup.registry, FIRST)
    assert setup.service.traffic().split == {made: 100}
    assert setup.served() == FIRST
