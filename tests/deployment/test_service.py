"""Changes of the service that meet others, or a service in trouble."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.deployment.conftest import FAST, FIRST, Place
from training.deployment.deploy import add_candidate
from training.deployment.releases import find
from training.deployment.service import CloudRunService
from training.errors import StepError
from training.registry.storage import ConflictError


def test_a_change_made_of_a_stale_reading_is_refused(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    first = place.go_live()
    stale = place.service.read()
    other = CloudRunService(place.service.name, FAST)
    other.route({first: 100}, {"theirs": first})
    monkeypatch.setattr(place.service, "read", lambda: stale)
    with pytest.raises(ConflictError, match="changed by somebody else"):
        place.service.route({first: 100}, {"ours": first})
    assert other.traffic().tags == {"theirs": first}


def test_traffic_moves_although_the_latest_revision_never_became_ready(place: Place) -> None:
    placeholder, first = place.service.traffic().production, place.go_live()
    release = find(place.registry, FIRST)
    with pytest.raises(StepError, match="failed to start"):
        add_candidate(place.service, replace(release, sha256="0" * 64), place.image)
    place.service.route({placeholder: 100}, {})
    assert place.service.traffic().split == {placeholder: 100}
    place.service.route({first: 100}, {})
    assert place.served() == FIRST


def test_traffic_to_a_revision_that_does_not_exist_stays_where_it_was(place: Place) -> None:
    before = place.service.traffic()
    with pytest.raises(StepError, match="does not exist"):
        place.service.route({"nothing": 100}, {})
    assert place.service.traffic() == before
