"""`production` moves by one step for each who moves it, and remembers where it was."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest

from tests.releases import publish
from training.errors import StepError
from training.registry.registry import Pointer, Registry
from training.registry.storage import ConflictError


def test_promotions_are_remembered_and_rolled_back_one_by_one(registry: Registry, uri: str) -> None:
    publish(registry, "1", "2", "3")
    for version in ("1", "2", "3"):
        registry.promote(version)
    assert Registry(uri).production() == Pointer("3", ("1", "2"))
    assert registry.rollback() == Pointer("2", ("1",), ("3",))
    assert registry.rollback() == Pointer("1", (), ("3", "2"))
    with pytest.raises(StepError, match="no earlier production release to roll back to"):
        registry.rollback()
    assert Registry(uri).production() == Pointer("1", (), ("3", "2"))


def test_promoting_what_is_in_production_changes_nothing(registry: Registry) -> None:
    publish(registry, "1", "2")
    registry.promote("1")
    registry.promote("2")
    assert registry.promote("2") == registry.production() == Pointer("2", ("1",))


def test_a_rollback_needs_a_promotion(registry: Registry) -> None:
    publish(registry, "1")
    with pytest.raises(StepError, match="no earlier production release to roll back to"):
        registry.rollback()


def test_a_rollback_may_go_further_than_one_release(registry: Registry) -> None:
    publish(registry, "1", "2", "3")
    for version in ("1", "2", "3"):
        registry.promote(version)
    with pytest.raises(StepError, match=r"had no release 4 in production before; it had 1, 2$"):
        registry.rollback("4")
    assert registry.rollback("1") == registry.production() == Pointer("1", (), ("2", "3"))


def test_of_concurrent_promotions_none_is_lost(registry: Registry, uri: str) -> None:
    candidates = [str(number) for number in range(1, 5)]
    publish(registry, "0", *candidates)
    registry.promote("0")
    barrier = Barrier(len(candidates))

    def promote(version: str) -> str | None:
        mine = Registry(uri)
        barrier.wait(timeout=30)
        try:
            return mine.promote(version).version
        except ConflictError:
            return None

    with ThreadPoolExecutor(len(candidates)) as pool:
        winners = [version for version in pool.map(promote, candidates) if version]
    pointer = registry.production()
    assert pointer is not None
    assert pointer.history[0] == "0"
    assert sorted([*pointer.history[1:], pointer.version]) == sorted(winners)
    assert winners


def test_a_promotion_between_reading_and_moving_is_noticed(
    registry: Registry, uri: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(registry, "1", "2")
    read = registry._pointer

    def read_then_lose_the_race() -> tuple[Pointer | None, str | None]:
        found = read()
        Registry(uri).promote("2")
        return found

    monkeypatch.setattr(registry, "_pointer", read_then_lose_the_race)
    with pytest.raises(ConflictError, match="production was changed by another process"):
        registry.promote("1")
    assert Registry(uri).production() == Pointer("2")


def test_what_was_in_production_is_remembered_after_rollbacks(registry: Registry, uri: str) -> None:
    publish(registry, "1", "2", "3", "4")
    for version in ("1", "2", "3"):
        registry.promote(version)
    registry.rollback("1")
    registry.promote("4")
    pointer = registry.promote("2")
    assert pointer == Registry(uri).production() == Pointer("2", ("1", "4"), ("3",))
    assert sorted(pointer.promoted) == ["1", "2", "3", "4"]


def test_a_pointer_of_the_first_format_is_read_and_carried_on(registry: Registry) -> None:
    publish(registry, "1", "2", "3")
    registry.storage.replace("production", b'{"version": "2", "history": ["1"]}', None)
    assert registry.production() == Pointer("2", ("1",))
    assert registry.rollback() == Pointer("1", (), ("2",))


def test_a_release_promoted_before_there_were_holds_is_held_by_a_rollback(registry: Registry) -> None:
    publish(registry, "1", "2")
    registry.storage.replace("production", b'{"version": "2", "history": ["1"]}', None)
    registry.rollback()
    assert all(file.held for file in registry.storage.files("1"))


def test_a_rollback_to_what_is_gone_moves_nothing(registry: Registry) -> None:
    publish(registry, "2")
    registry.storage.replace("production", b'{"version": "2", "history": ["1"]}', None)
    with pytest.raises(StepError, match="has no release 1; it has 2"):
        registry.rollback()
    assert registry.production() == Pointer("2", ("1",))
