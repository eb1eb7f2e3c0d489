"""A cloud on loopback with a service as Terraform leaves it, and a registry in its storage."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.cloud.server import Cloud, cloud
from tests.conftest import FUNCTION, ROOT
from tests.emulator import Emulator
from training.delivery.config import DeployConfig
from training.delivery.names import ServiceName
from training.delivery.service import Service
from training.registry import Registry, release_files

SERVICE = ServiceName("a-project", "europe-west1", "age-gender")
FIRST, SECOND = "20261101-aaaaaaaa", "20261102-bbbbbbbb"

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="session")
def storage(emulator: Emulator) -> Iterator[Emulator]:
    emulator.create_bucket(SERVICE.source_bucket)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("STORAGE_EMULATOR_HOST", emulator.url)
        yield emulator


@pytest.fixture
def double(storage: Emulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Cloud]:
    with cloud(tmp_path / "cloud") as running:
        for name, value in running.environment().items():
            monkeypatch.setenv(name, value)
        running.create_service(str(SERVICE))
        yield running


@pytest.fixture
def registry(storage: Emulator, tmp_path: Path) -> Registry:
    """Two releases, the first in production; the second is more careful about ages."""
    registry = Registry(f"gs://{storage.bucket}/{tmp_path.name}")
    registry.publish(FIRST, release_of(FIRST))
    registry.publish(SECOND, release_of(SECOND))
    registry.promote(FIRST)
    return registry


@pytest.fixture
def service(double: Cloud) -> Service:
    return Service(SERVICE, DeployConfig(poll_seconds=0.05))


def release_of(version: str) -> dict[str, bytes]:
    """The bundled model as another version, whose probabilities the second one sharpens less."""
    files = release_files(FUNCTION / "model")
    manifest = json.loads(files["manifest.json"])
    manifest["version"] = version
    if version == SECOND:
        manifest["calibration"]["gender"]["temperature"] *= 2
    return {**files, "manifest.json": json.dumps(manifest).encode()}


def training(*arguments: object) -> subprocess.CompletedProcess[str]:
    """A command as people type it."""
    command = [sys.executable, "-m", "training", *map(str, arguments)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
