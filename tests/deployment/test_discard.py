"""A candidate that is not wanted any more."""

from __future__ import annotations

import pytest

from tests.deployment.conftest import FIRST, SECOND, Place
from training.__main__ import main
from training.deployment.deploy import discard


def test_the_candidate_loses_its_address_and_nobody_notices(place: Place) -> None:
    production = place.go_live(FIRST)
    candidate = place.deploy(SECOND)
    assert discard(place.service) == candidate
    traffic = place.service.traffic()
    assert traffic.split == {production: 100}
    assert "candidate" not in traffic.tags
    assert place.served() == FIRST


def test_what_an_interrupted_rollout_left_goes_back(place: Place) -> None:
    production = place.go_live(FIRST)
    candidate = place.deploy(SECOND)
    place.service.route({candidate: 10, production: 90}, place.service.traffic().tags)
    discard(place.service)
    assert place.service.traffic().split == {production: 100}


def test_a_candidate_that_serves_everybody_goes_on(place: Place) -> None:
    place.go_live(FIRST)
    candidate = place.deploy(SECOND)
    place.service.route({candidate: 100}, place.service.traffic().tags)
    discard(place.service)
    assert place.service.traffic().split == {candidate: 100}


def test_the_command_may_be_repeated(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    place.go_live(FIRST)
    candidate = place.deploy(SECOND)
    for said in (candidate, "there was none"):
        assert main(["discard", "--service", str(place.service.name)]) == 0
        assert capsys.readouterr().out == f"candidate no more: {said}\n"
