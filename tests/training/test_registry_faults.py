"""Networks and overloaded services: an answer that is lost, late, cut off or refused costs time, never a release."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from serving.release import load
from tests import faulty_storage as faults
from tests.emulator import Emulator
from tests.faulty_storage import Fault, FaultyStorage, faulty
from tests.releases import MODEL, release
from training.errors import StepError
from training.registry import gcs
from training.registry.registry import Pointer, Registry
from training.registry.retention import Retention, prune
from training.registry.storage import ConflictError

LARGE = 9 * 1024 * 1024
UPLOAD, FIRST_PART, LAST_PART = "uploadType=multipart", "uploadType=resumable&ifGen", "upload_id="
HOLD, REMOVAL, LISTING = "PATCH ", "DELETE ", "delimiter="
# What a client takes for a passing fault, before and after the storage has done what it was asked.
PASSING = [
    pytest.param(faults.status(429), False, id="429"),
    pytest.param(faults.status(500), True, id="500, and yet done"),
    pytest.param(faults.status(503), False, id="503"),
    pytest.param(faults.status(503), True, id="503, and yet done"),
    pytest.param(faults.reset_at_once, False, id="reset"),
    pytest.param(faults.reset_at_once, True, id="reset, and yet done"),
    pytest.param(faults.close_midway, True, id="cut off, and yet done"),
    pytest.param(faults.stall_at_once, True, id="silence, and yet done", marks=pytest.mark.slow),
]


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """A silent connection is given up at once, and a request soon."""
    monkeypatch.setattr(gcs, "_SILENCE", 1)
    monkeypatch.setattr(gcs, "_PATIENCE", 20)
    monkeypatch.setattr(gcs, "_FIRST_PAUSE", 0.05)


@pytest.fixture
def storage(strict_storage: Emulator, monkeypatch: pytest.MonkeyPatch) -> Iterator[FaultyStorage]:
    with faulty(strict_storage) as proxy:
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", proxy.url)
        yield proxy


@pytest.fixture
def registry(storage: FaultyStorage, strict_storage: Emulator, tmp_path: Path) -> Registry:
    return Registry(f"gs://{strict_storage.bucket}{tmp_path}")


def everything(registry: Registry) -> tuple[list[str], Pointer | None]:
    return [manifest["version"] for manifest in registry.releases()], registry.production()


def asked(storage: FaultyStorage, what: str) -> int:
    return sum(what in request for _, request in storage.requests)


@pytest.mark.parametrize(("fault", "done"), PASSING)
def test_a_passing_fault_of_any_request_changes_nothing(
    storage: FaultyStorage, registry: Registry, fault: Fault, done: bool
) -> None:
    once = [UPLOAD, HOLD, REMOVAL, LISTING, "alt=media"]

    def break_each_once() -> None:
        for request in once:
            storage.plan(request, fault, times=1, done=done)

    break_each_once()
    for version in ("1", "2", "3"):
        registry.publish(version, release(version))
    registry.promote("1")
    break_each_once()
    registry.promote("3")
    break_each_once()
    assert registry.rollback() == Pointer("1", (), ("3",))
    assert [verdict.version for verdict in prune(registry, Retention(0, 0), dry_run=False) if verdict.goes] == ["2"]
    assert everything(registry) == (["1", "3"], Pointer("1", (), ("3",)))
    assert load(f"{registry.uri}/3").model == release("3")[MODEL]
    assert len(registry.storage.files("2")) == 1
    assert all(asked(storage, request) for request in once)


@pytest.mark.parametrize("lost", [FIRST_PART, LAST_PART])
@pytest.mark.parametrize("fault", [faults.status(503), faults.reset_at_once], ids=["503", "reset"])
def test_a_lost_answer_to_a_part_of_a_large_file_is_recognised(
    storage: FaultyStorage, registry: Registry, monkeypatch: pytest.MonkeyPatch, lost: str, fault: Fault
) -> None:
    monkeypatch.setattr(gcs, "_SILENCE", 30)
    storage.plan(lost, fault, times=3)
    files = release("1", LARGE)
    registry.publish("1", files)
    assert registry.storage.read(f"1/{MODEL}") is not None
    assert load(f"{registry.uri}/1").model == files[MODEL]


def test_the_answers_of_all_uploads_may_be_lost(storage: FaultyStorage, registry: Registry) -> None:
    storage.plan(UPLOAD, faults.status(503))
    with pytest.raises(StepError, match="cannot be reached"):
        _with_patience(1, lambda: registry.publish("1", release("1")))
    storage.plan(UPLOAD, faults.status(503), times=0)
    assert everything(registry) == ([], None)
    registry.publish("1", release("1"))
    assert everything(registry) == (["1"], None)


def test_a_lost_answer_is_not_taken_for_success_where_somebody_else_wrote(
    storage: FaultyStorage, registry: Registry
) -> None:
    for version in ("1", "2"):
        registry.publish(version, release(version))
    storage.plan(UPLOAD, _meanwhile(registry, "2"), times=1, done=False)
    with pytest.raises(ConflictError, match="production was changed by another process"):
        registry.promote("1")
    assert registry.production() == Pointer("2")


def test_bursts_of_refusals_are_waited_for(storage: FaultyStorage, registry: Registry) -> None:
    storage.plan(UPLOAD, faults.status(429), times=4, done=False)
    registry.publish("1", release("1"))
    pauses = storage.pauses(UPLOAD)[:4]
    assert load(f"{registry.uri}/1").model == release("1")[MODEL]
    # Each pause is drawn below a bound that grows, so only their sum is sure to be more than none.
    assert sum(pauses) > 0.05


@pytest.mark.parametrize("fault", [faults.status(503), faults.reset_at_once, faults.stall_at_once])
@pytest.mark.parametrize("broken", [UPLOAD, "alt=media", HOLD])
def test_a_storage_that_does_not_recover_ends_with_a_sentence_in_time(
    storage: FaultyStorage, registry: Registry, fault: Fault, broken: str
) -> None:
    registry.publish("1", release("1"))
    storage.plan(broken, fault, done=False)
    begin = time.monotonic()
    with pytest.raises(StepError, match="cannot be reached"):
        _with_patience(1, lambda: registry.promote("1"))
    assert time.monotonic() - begin < 10
    storage.plan(broken, fault, times=0)
    assert everything(registry) == (["1"], None)


@pytest.mark.parametrize("fault", [faults.half, faults.altered], ids=["half", "altered"])
def test_a_damaged_answer_is_not_believed(storage: FaultyStorage, registry: Registry, fault: Fault) -> None:
    registry.publish("1", release("1"))
    storage.plan("alt=media", fault)
    with pytest.raises(StepError, match="cannot be reached"):
        registry.releases()


@pytest.mark.parametrize(("operation", "broken"), [("promote", HOLD), ("prune", UPLOAD)])
def test_a_missing_right_is_named(storage: FaultyStorage, registry: Registry, operation: str, broken: str) -> None:
    registry.publish("1", release("1"))
    storage.plan(broken, faults.status(403), done=False)
    with pytest.raises(StepError, match=r"denies access, see the account's roles in infra/"):
        registry.promote("1") if operation == "promote" else list(prune(registry, Retention(0, 0), dry_run=False))
    assert everything(registry) == (["1"], None)


def test_who_may_not_overwrite_publishes_the_same_again(storage: FaultyStorage, registry: Registry) -> None:
    registry.publish("1", release("1"))
    storage.plan(UPLOAD, faults.status(403), done=False)
    registry.publish("1", release("1"))
    with pytest.raises(ConflictError, match="exists with other contents"):
        registry.publish("1", {**release("1"), MODEL: b"another"})


def _meanwhile(registry: Registry, version: str) -> Fault:
    """While an answer is lost, somebody else promotes."""

    def fault(wire: faults.Wire, _: object) -> None:
        Registry(registry.uri).promote(version)
        wire.reset()

    return fault


def _with_patience(seconds: float, work: Callable[[], object]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(gcs, "_PATIENCE", seconds)
        work()
