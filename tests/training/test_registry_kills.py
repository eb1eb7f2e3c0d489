"""Publishers, promoters and pruners are killed at random points: nothing is lost, and no half release is ever seen."""

from __future__ import annotations

import os
import random
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import pytest

from serving.release import ReleaseError, load
from tests import killed_processes
from tests.emulator import Emulator
from tests.killed_processes import Scales, Victim, scales
from tests.releases import MODEL, release
from training.errors import StepError
from training.registry.registry import Registry

pytestmark = pytest.mark.slow
# kills of each kind in each kind of storage, 240 in all
PUBLISHERS, PROMOTERS, PRUNERS = 70, 25, 25
# bytes of a model that goes to a bucket in two parts
LARGE = 9 * 1024 * 1024


class Executioner:
    """Kills what works on registries under one address: at any byte to a bucket, at any moment in a folder."""

    def __init__(self, uri: str, storage: str, wire: Scales | None) -> None:
        self.uri, self.storage, self.wire = uri, storage, wire
        self.seed = int(os.environ.get("KILL_SEED", time.time_ns() % 1_000_000))
        self.dice = random.Random(self.seed)  # noqa: S311
        self.kills = self.trials = 0

    def whole(self, work: Callable[..., None], *arguments: Any) -> float:
        """Let one live: the bytes, or the seconds, that it takes."""
        victim = Victim(self.storage, work, *arguments)
        if self.wire:
            self.wire.arm(None, victim.process.kill)
        assert not victim.was_killed()
        return self.wire.passed if self.wire else victim.seconds()

    def kill(self, whole: float, work: Callable[..., None], *arguments: Any) -> None:
        """Let one begin, and kill it at a point before `whole`; near its end it may be quicker."""
        self.trials += 1
        point = self.dice.random() * whole
        if self.wire:
            self.wire.disarm()
            victim = Victim(self.storage, work, *arguments)
            self.wire.arm(int(point), victim.process.kill)
        else:
            victim = Victim(self.storage, work, *arguments, moment=point)
        self.kills += victim.was_killed()


@pytest.fixture(params=["folder", "bucket"])
def executioner(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Executioner]:
    """One for each kind of storage; where a test fails, it tells its seed, which KILL_SEED repeats."""
    in_bucket = request.param == "bucket"
    emulator: Emulator = request.getfixturevalue("strict_storage")
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", emulator.url)
    uri = f"gs://{emulator.bucket}{tmp_path}" if in_bucket else str(tmp_path)
    with scales(emulator.url) if in_bucket else nullcontext() as wire:
        found = Executioner(uri, wire.url if wire else emulator.url, wire)
        yield found
    print(f"{found.kills} killed of {found.trials}, KILL_SEED={found.seed}")


def versions(registry: Registry) -> list[str]:
    return [manifest["version"] for manifest in registry.releases()]


def require_whole(uri: str, files: dict[str, bytes]) -> None:
    """The function's own reader takes it, and all its files are those that were published."""
    version = uri.rsplit("/", 1)[1]
    assert load(uri).model == files[MODEL]
    storage = Registry(uri.removesuffix(f"/{version}")).storage
    found = {file.name: storage.read(file.name) for file in storage.files(version)}
    assert {name: stored.data for name, stored in found.items() if stored} == {
        f"{version}/{name}": data for name, data in files.items()
    }


def require_whole_or_unseen(registry: Registry, version: str, files: dict[str, bytes]) -> bool:
    """Whether it is seen; then it is whole for everybody, otherwise it is none for anybody."""
    address = f"{registry.uri}/{version}"
    if version in versions(registry):
        require_whole(address, files)
        return True
    with pytest.raises(ReleaseError):
        load(address)
    with pytest.raises(StepError, match=f"has no release {version}|is no registry"):
        registry.promote(version)
    return False


@contextmanager
def watched(uri: str, version: str, files: dict[str, bytes]) -> Iterator[None]:
    """All the while, somebody lists the releases, and somebody starts with this one."""
    over, errors, looks = threading.Event(), [], 0

    def look() -> None:
        nonlocal looks
        registry = Registry(uri)
        while not over.is_set() or not looks:
            listed = version in versions(registry)
            try:
                if load(f"{uri}/{version}").model != files[MODEL]:
                    errors.append("the reader got another model")
            except ReleaseError as error:
                if listed:
                    errors.append(f"a listed release is not served: {error}")
            looks += 1
            over.wait(0.01)
            over.wait(0.01)

    watcher = threading.Thread(target=look, daemon=True)
    watcher.start()
    yield
    over.set()
    watcher.join(60)
    assert looks
    assert not errors


@pytest.mark.timeout(300)
def test_killed_publishers_lose_nothing_and_show_no_half_release(executioner: Executioner) -> None:
    sizes = {
        size: executioner.whole(killed_processes.publish, f"{executioner.uri}/0", f"{size}", release(f"{size}", size))
        for size in (100, 20_000, LARGE)
    }
    seen = 0
    while executioner.kills < PUBLISHERS:
        trial = executioner.trials
        # A new registry now and then, since each look reads them all.
        registry, version = Registry(f"{executioner.uri}/{1 + trial // 10}"), f"{trial}"
        size = LARGE if trial % 20 == 9 else executioner.dice.choice([100, 20_000])
        files = release(version, size)
        with watched(registry.uri, version, files):
            executioner.kill(sizes[size], killed_processes.publish, registry.uri, version, files)
            seen += require_whole_or_unseen(registry, version, files)
            registry.publish(version, files)
        require_whole(f"{registry.uri}/{version}", files)
        assert sorted(versions(registry), key=int) == [str(number) for number in range(trial // 10 * 10, trial + 1)]
    # Some were killed so late that nothing was missing, most were not.
    assert seen < executioner.trials / 2


@pytest.mark.timeout(300)
def test_killed_promoters_leave_the_pointer_before_or_after(executioner: Executioner) -> None:
    uri = f"{executioner.uri}/pointed"
    registry, names = Registry(uri), [str(number) for number in range(6)]
    for version in (*names, "measured"):
        registry.publish(version, release(version))
    registry.promote("0")
    whole = executioner.whole(killed_processes.promote, uri, "measured")
    moved = 0
    while executioner.kills < PROMOTERS:
        before = registry.production()
        assert before is not None
        version = executioner.dice.choice([name for name in names if name != before.version])
        executioner.kill(whole, killed_processes.promote, uri, version)
        after = registry.production()
        assert after is not None
        if after != before:
            moved += 1
            assert (after.version, after.history) == (version, (*before.history, before.version))
            assert {*after.promoted} == {*before.promoted, version}
        # Again, or for the first time; and back.
        assert registry.promote(version).version == version
        assert all(file.held for name in after.promoted for file in registry.storage.files(name))
        if executioner.dice.random() < 0.5:
            before = registry.production()
            executioner.kill(whole, killed_processes.rollback, uri)
            assert before is not None
            after = registry.production()
            assert after is not None
            assert after == before or (after.version, after.history) == (before.history[-1], before.history[:-1])
            assert {*after.promoted} == {*before.promoted}
    assert versions(registry) == sorted([*names, "measured"])


@pytest.mark.timeout(300)
def test_killed_pruners_remove_whole_releases_and_none_that_was_promoted(executioner: Executioner) -> None:
    names = ["0", "1", "2"]
    seen = 0

    def prepare(uri: str) -> Registry:
        registry = Registry(uri)
        for version in names:
            registry.publish(version, release(version))
        registry.promote("1")
        return registry

    whole = executioner.whole(killed_processes.prune, prepare(f"{executioner.uri}/measured").uri)
    while executioner.kills < PRUNERS:
        registry = prepare(f"{executioner.uri}/{executioner.trials}")
        executioner.kill(whole, killed_processes.prune, registry.uri)
        require_whole(f"{registry.uri}/1", release("1"))
        seen += sum(require_whole_or_unseen(registry, version, release(version)) for version in ("0", "2"))
        # By another one, which finds what the first has begun.
        killed_processes.prune(registry.uri)
        left = [file.name for entry in registry.entries() for file in registry.storage.files(entry.version)]
        assert left == ["0/manifest.json", *sorted(f"1/{name}" for name in release("1")), "2/manifest.json"]
        assert versions(registry) == ["1"]
        require_whole(f"{registry.uri}/1", release("1"))
    assert 0 < seen < 2 * executioner.trials
