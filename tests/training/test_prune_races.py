"""Whatever is published or promoted while it is being pruned is not lost, and never half there."""

from __future__ import annotations

from datetime import timedelta

import pytest

from tests.releases import half, release, versions
from training.registry import retention
from training.registry.registry import Registry
from training.registry.retention import Retention, prune
from training.registry.storage import ConflictError, File

ALL = Retention(keep=0, days=0)


@pytest.fixture
def registry(stocked: Registry) -> Registry:
    return stocked


@pytest.fixture
def without_grace(monkeypatch: pytest.MonkeyPatch) -> None:
    """A day has passed."""
    monkeypatch.setattr(retention, "GRACE", timedelta())


def gone(registry: Registry, rules: Retention = ALL, dry_run: bool = False) -> list[str]:
    return [verdict.version for verdict in prune(registry, rules, dry_run) if verdict.goes]


def test_a_release_promoted_after_the_look_at_its_manifest_stays(
    registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = registry.entries()
    Registry(registry.uri).promote("4")
    # The pointer as it was before.
    monkeypatch.setattr(registry, "entries", lambda: seen)
    monkeypatch.setattr(registry, "production", lambda: None)
    verdicts = {verdict.version: verdict for verdict in prune(registry, ALL, dry_run=False)}
    assert verdicts["4"].reason == "held: a promotion has begun"


def test_a_release_promoted_after_the_look_at_its_files_stays(
    registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    files, other = registry.storage.files, Registry(registry.uri)

    def look_then_lose_the_race(folder: str) -> list[File]:
        found = files(folder)
        if folder == "4":
            other.promote("4")
        return found

    monkeypatch.setattr(registry.storage, "files", look_then_lose_the_race)
    assert gone(registry) == ["5"]
    assert versions(registry) == ["1", "2", "3", "4"]
    assert len(files("4")) == len(release("4"))


def test_a_release_removed_after_the_look_at_its_manifest_is_not_promoted(
    registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    hold, other = registry.storage.hold, Registry(registry.uri)

    def lose_the_race(name: str, generation: str) -> None:
        gone(other)
        hold(name, generation)

    monkeypatch.setattr(registry.storage, "hold", lose_the_race)
    with pytest.raises(ConflictError, match=r"4/manifest\.json was changed by another process"):
        registry.promote("4")
    pointer = other.production()
    assert pointer is not None
    assert pointer.version == "3"


def test_a_publisher_that_was_under_way_does_not_complete_what_is_removed(
    registry: Registry, monkeypatch: pytest.MonkeyPatch, without_grace: None
) -> None:
    half(registry, "6")
    create, other = registry.storage.create, Registry(registry.uri)

    def lose_the_race(name: str, data: bytes) -> None:
        if name == "6/manifest.json":
            gone(other)
        create(name, data)

    monkeypatch.setattr(registry.storage, "create", lose_the_race)
    with pytest.raises(ConflictError, match=r"6/manifest\.json exists with other contents"):
        registry.publish("6", release("6"))
    assert "6" not in versions(registry)


def test_a_release_completed_after_the_look_at_its_files_stays(
    registry: Registry, monkeypatch: pytest.MonkeyPatch, without_grace: None
) -> None:
    half(registry, "6")
    files, other = registry.storage.files, Registry(registry.uri)

    def look_then_lose_the_race(folder: str) -> list[File]:
        found = files(folder)
        if folder == "6":
            other.publish("6", release("6"))
        return found

    monkeypatch.setattr(registry.storage, "files", look_then_lose_the_race)
    assert "6" not in gone(registry)
    assert "6" in versions(registry)
    assert len(files("6")) == len(release("6"))
