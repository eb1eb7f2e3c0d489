"""Any sequence of operations of several clients leaves what a simple model of a registry says."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from tests.emulator import Emulator
from tests.releases import MODEL, release
from training.errors import StepError
from training.registry.registry import Registry
from training.registry.retention import Retention, prune
from training.registry.storage import ConflictError

VERSIONS = st.sampled_from(["1", "2", "3", "4"])


class Registries(RuleBasedStateMachine):
    """Two clients of one registry; the model: what is published, removed, and the pointer's stack."""

    @initialize()
    def begin(self) -> None:
        folder = tempfile.mkdtemp(dir=self.folder)
        self.clients = [Registry(self.prefix + folder) for _ in range(2)]
        self.published: set[str] = set()
        self.removed: set[str] = set()
        self.stack: list[str] = []
        self.promoted: set[str] = set()

    # where the registries lie: a folder, behind "" or gs://bucket
    folder, prefix = Path(), ""

    @rule(client=st.integers(0, 1), version=VERSIONS)
    def publish(self, client: int, version: str) -> None:
        if version in self.removed:
            with pytest.raises(ConflictError):
                self.clients[client].publish(version, release(version))
        else:
            self.clients[client].publish(version, release(version))
            self.published.add(version)

    @rule(client=st.integers(0, 1), version=VERSIONS)
    def publish_another(self, client: int, version: str) -> None:
        if version in self.published | self.removed:
            with pytest.raises(ConflictError):
                self.clients[client].publish(version, {**release(version), MODEL: b"another"})

    @rule(client=st.integers(0, 1), version=VERSIONS)
    def promote(self, client: int, version: str) -> None:
        if version not in self.published:
            with pytest.raises(StepError):
                self.clients[client].promote(version)
            return
        self.clients[client].promote(version)
        self.promoted.add(version)
        if self.stack[-1:] != [version]:
            self.stack.append(version)

    @rule(client=st.integers(0, 1))
    def rollback(self, client: int) -> None:
        if len(self.stack) < 2:
            with pytest.raises(StepError):
                self.clients[client].rollback()
            return
        self.clients[client].rollback()
        self.stack.pop()

    @rule(client=st.integers(0, 1), keep=st.integers(0, 2), dry_run=st.booleans())
    def prune(self, client: int, keep: int, dry_run: bool) -> None:
        if not self.published | self.removed:
            with pytest.raises(StepError, match="no registry"):
                list(prune(self.clients[client], Retention(keep, 0), dry_run))
            return
        newest = sorted(self.published)[-keep:] if keep else []
        goes = self.published - self.promoted - {*newest}
        verdicts = prune(self.clients[client], Retention(keep, 0), dry_run)
        assert {verdict.version for verdict in verdicts if verdict.goes} == goes
        if not dry_run:
            self.published -= goes
            self.removed |= goes

    @invariant()
    def is_as_the_model_says(self) -> None:
        for client in self.clients:
            pointer = client.production()
            assert ([*pointer.history, pointer.version] if pointer else []) == self.stack
            assert set(pointer.promoted if pointer else ()) == self.promoted
            assert [manifest["version"] for manifest in client.releases()] == sorted(self.published)
        for version in self.published:
            files = client.storage.files(version)
            assert len(files) == len(release(version))
            assert all(file.held for file in files) == (version in self.promoted)


@pytest.mark.parametrize("kind", ["folder", "bucket"])
def test_any_sequence_of_operations_agrees_with_the_model(
    strict_storage: Emulator, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, kind: str
) -> None:
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", strict_storage.url)
    monkeypatch.setattr(Registries, "folder", tmp_path)
    monkeypatch.setattr(Registries, "prefix", f"gs://{strict_storage.bucket}" if kind == "bucket" else "")
    some = settings(
        max_examples=30 if kind == "folder" else 5,
        stateful_step_count=20,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    run_state_machine_as_test(Registries, settings=some)
