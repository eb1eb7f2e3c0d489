"""Removal of a candidate."""

from __future__ import annotations

import pytest

from tests.deployment.conftest import FIRST, SECOND, Setup
from training.__main__ import main
from training.deployment.deploy import discard


def test_discard_removes_the_tag_and_leaves_production(setup: Setup) -> None:
    production = setup.go_live(FIRST)
    candidate = setup.deploy(SECOND)
    assert discard(setup.service) == candidate
    traffic = setup.service.traffic()
    assert traffic.split == {production: 100}
    assert "candidate" not in traffic.tags
    assert setup.served() == FIRST


def test_discard_returns_the_traffic_of_an_interrupted_rollout(setup: Setup) -> None:
    production = setup.go_live(FIRST)
    candidate = setup.deploy(SECOND)
    setup.service.route({candidate: 10, production: 90}, setup.service.traffic().tags)
    discard(setup.service)
    assert setup.service.traffic().split == {production: 100}


def test_discard_keeps_a_candidate_with_all_traffic(setup: Setup) -> None:
    setup.go_live(FIRST)
    candidate = setup.deploy(SECOND)
    setup.service.route({candidate: 100}, setup.service.traffic().tags)
    discard(setup.service)
    assert setup.service.traffic().split == {candidate: 100}


def test_discard_can_be_repeated(setup: Setup, capsys: pytest.CaptureFixture[str]) -> None:
    setup.go_live(FIRST)
    candidate = setup.deploy(SECOND)
    for said in (candidate, "none"):
        assert main(["discard", "--service", str(setup.service.name)]) == 0
        assert capsys.readouterr().out == f"removed candidate: {said}\n"
