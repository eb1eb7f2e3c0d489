"""Concurrent changes of a service, and changes of a faulty service."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.deployment.conftest import FAST, FIRST, Setup
from training.deployment.deploy import add_candidate
from training.deployment.releases import find
from training.deployment.service import CloudRunService
from training.errors import StepError
from training.registry.storage import ConflictError


def test_route_refuses_a_stale_etag(setup: Setup, monkeypatch: pytest.MonkeyPatch) -> None:
    first = setup.go_live()
    stale = setup.service.read()
    other = CloudRunService(setup.service.name, FAST)
    other.route({first: 100}, {"theirs": first})
    monkeypatch.setattr(setup.service, "read", lambda: stale)
    with pytest.raises(ConflictError, match="another process changed service"):
        setup.service.route({first: 100}, {"ours": first})
    assert other.traffic().tags == {"theirs": first}


def test_route_moves_traffic_despite_a_failed_latest_revision(setup: Setup) -> None:
    placeholder, first = setup.service.traffic().production, setup.go_live()
    release = find(setup.registry, FIRST)
    with pytest.raises(StepError, match="failed to start"):
        add_candidate(setup.service, replace(release, sha256="0" * 64), setup.image)
    setup.service.route({placeholder: 100}, {})
    assert setup.service.traffic().split == {placeholder: 100}
    setup.service.route({first: 100}, {})
    assert setup.served() == FIRST


def test_route_refuses_a_missing_revision(setup: Setup) -> None:
    before = setup.service.traffic()
    with pytest.raises(StepError, match="does not exist"):
        setup.service.route({"nothing": 100}, {})
    assert setup.service.traffic() == before
