"""Rollback to an earlier release: to its former revision or to a new one."""

from __future__ import annotations

import pytest

from tests.deployment.conftest import FIRST, SECOND, Setup
from training.deployment.releases import KEPT, recent
from training.deployment.rollback import rollback
from training.deployment.service import environment
from training.errors import StepError


def test_rollback_finds_the_former_production_revision(setup: Setup) -> None:
    first = setup.go_live(FIRST)
    setup.go_live(SECOND)
    setup.registry.promote(SECOND)
    # The newest revision of the release was a candidate only.
    setup.deploy(FIRST)
    assert rollback(setup.service, setup.registry, "") == first
    traffic = setup.service.traffic()
    assert traffic.split == {first: 100}
    assert "candidate" not in traffic.tags
    assert (setup.served(), setup.production()) == (FIRST, FIRST)


def test_only_the_newest_releases_keep_an_address() -> None:
    old, new = "r20250101-0a", [f"r202601{day:02}-ff" for day in range(1, KEPT + 1)]
    others = {"production": "live", "candidate": "live", "refused": "older", "until-1790000000": "live", "raven": "own"}
    tags = {old: "oldest", "r20241231-0b": "live", **dict.fromkeys(new, "some"), **others}
    # The live revision may serve an old release again.
    assert set(tags) - set(recent(tags, "live")) == {old}
    assert recent(others, "live") == others


def test_rollback_adds_a_revision_from_the_production_image(setup: Setup) -> None:
    production = setup.service.revision(setup.go_live(SECOND))
    setup.registry.promote(SECOND)
    made = setup.service.revision(rollback(setup.service, setup.registry, FIRST))
    assert made.containers[0].image == production.containers[0].image
    assert environment(made)["MODEL_URI"] == f"{setup.registry.uri}/{FIRST}"
    assert (setup.served(), setup.production()) == (FIRST, FIRST)


def test_rollback_to_the_current_release_restores_the_previous_function(setup: Setup) -> None:
    before = setup.go_live(FIRST)
    after = setup.go_live(
        FIRST, setup.changed_function("serving/static_files.py", "from __future__", "# new\nfrom __future__")
    )
    assert setup.service.traffic().split == {after: 100}
    assert rollback(setup.service, setup.registry, FIRST) == before
    assert (setup.served(), setup.production()) == (FIRST, FIRST)


def test_rollback_refuses_a_release_that_does_not_respond(setup: Setup) -> None:
    first, _ = setup.go_live(FIRST), setup.go_live(SECOND)
    setup.registry.promote(SECOND)
    before = setup.service.traffic()
    # The stopped revision has to start from a release that is damaged now.
    setup.fake_cloud.services[str(setup.service.name)].revisions[first].stop()
    damaged = setup.owned.storage.read(f"{FIRST}/manifest.json")
    assert damaged
    setup.owned.storage.replace(
        f"{FIRST}/manifest.json", damaged.data.replace(b"bilinear", b"nearest"), damaged.generation
    )
    with pytest.raises(StepError, match="the traffic is unchanged"):
        rollback(setup.service, setup.registry, FIRST)
    assert setup.service.traffic() == before
    assert setup.production() == SECOND
