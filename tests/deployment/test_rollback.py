"""Back to an earlier release, to its own revision or to a new one."""

from __future__ import annotations

import pytest

from tests.deployment.conftest import FIRST, SECOND, Place
from training.deployment.rollback import rollback
from training.deployment.service import environment
from training.errors import StepError


def test_a_rollback_leads_to_the_revision_that_served_the_release_to_everybody(place: Place) -> None:
    first = place.go_live(FIRST)
    place.go_live(SECOND)
    place.registry.promote(SECOND)
    # The newest one that serves it, but one that never got beyond being a candidate.
    place.deploy(FIRST)
    assert rollback(place.service, place.registry, "") == first
    traffic = place.service.traffic()
    assert traffic.split == {first: 100}
    assert "candidate" not in traffic.tags
    assert (place.served(), place.production()) == (FIRST, FIRST)


def test_a_release_without_a_revision_gets_one_of_the_live_image(place: Place) -> None:
    production = place.service.revision(place.go_live(SECOND))
    place.registry.promote(SECOND)
    made = place.service.revision(rollback(place.service, place.registry, FIRST))
    assert made.containers[0].image == production.containers[0].image
    assert environment(made)["MODEL_URI"] == f"{place.registry.uri}/{FIRST}"
    assert (place.served(), place.production()) == (FIRST, FIRST)


def test_the_release_in_production_leads_back_to_the_function_before(place: Place) -> None:
    before = place.go_live(FIRST)
    after = place.go_live(
        FIRST, place.changed_function("serving/static_files.py", "from __future__", "# new\nfrom __future__")
    )
    assert place.service.traffic().split == {after: 100}
    assert rollback(place.service, place.registry, FIRST) == before
    assert (place.served(), place.production()) == (FIRST, FIRST)


def test_a_release_that_does_not_answer_is_no_place_to_go_back_to(place: Place) -> None:
    first, _ = place.go_live(FIRST), place.go_live(SECOND)
    place.registry.promote(SECOND)
    before = place.service.traffic()
    # Scaled to zero, it has to start from a release that was damaged meanwhile.
    place.double.services[str(place.service.name)].revisions[first].stop()
    damaged = place.registry.storage.read(f"{FIRST}/manifest.json")
    assert damaged
    place.registry.storage.replace(
        f"{FIRST}/manifest.json", damaged.data.replace(b"bilinear", b"nearest"), damaged.generation
    )
    with pytest.raises(StepError, match="nothing was moved"):
        rollback(place.service, place.registry, FIRST)
    assert place.service.traffic() == before
    assert place.production() == SECOND
