"""A small trained run and a signed release that several tests look at."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from tests import releases
from tests.conftest import FUNCTION
from tests.emulator import Emulator
from tests.signatures import write_key
from training.config import ConvertConfig, EvaluateConfig, PrepareConfig, TrainConfig
from training.convert import convert
from training.evaluate import evaluate
from training.faces import write_faces
from training.prepare import prepare
from training.presets import PRESETS
from training.registry.registry import Registry
from training.registry.signatures import SIGNATURE
from training.registry.signing import Signer, sign
from training.train import train

# Enough steps for the smallest network to see what the drawn faces show.
SHORT: TrainConfig = replace(PRESETS["smoke"].train, epochs=3, max_steps=40)


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Prepared drawn faces."""
    folder = tmp_path_factory.mktemp("faces")
    write_faces(folder, 600)
    prepare(folder, folder.parent / "data", PrepareConfig(size=48, shard_faces=100, validation=0.2, test=0.2))
    return folder.parent / "data"


@pytest.fixture(scope="session")
def trained(data: Path) -> Path:
    """A run of the real training."""
    folder = data.parent / "model"
    train(data, folder, SHORT, "smoke", resume=False)
    return folder


@pytest.fixture(scope="session")
def challenger(data: Path, trained: Path) -> Path:
    """The release made from it, evaluated."""
    folder = data.parent / "release"
    convert(data, trained, folder, ConvertConfig())
    evaluate(data, trained, folder, EvaluateConfig(bootstrap=200))
    return folder


@pytest.fixture(scope="session")
def ours(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A key that signs releases; the public one lies beside it."""
    return write_key(tmp_path_factory.mktemp("keys"), "ours", ec.generate_private_key(ec.SECP256R1()))


@pytest.fixture(scope="session")
def theirs(ours: Path) -> Path:
    """Another one."""
    return write_key(ours.parent, "theirs", ec.generate_private_key(ec.SECP256R1()))


@pytest.fixture
def release(tmp_path: Path) -> Path:
    """The bundled release without its signature."""
    unsigned = shutil.ignore_patterns(SIGNATURE)
    return Path(shutil.copytree(FUNCTION / "model", tmp_path / "release", ignore=unsigned))


@pytest.fixture
def signed(release: Path, ours: Path) -> Path:
    """The same, signed with `ours`."""
    sign(release, Signer(key=str(ours)))
    return release


@pytest.fixture
def in_the_cloud(strict_storage: Emulator, monkeypatch: pytest.MonkeyPatch) -> Emulator:
    """Cloud storage, and its rules, where clients look for it."""
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", strict_storage.url)
    return strict_storage


@pytest.fixture(params=["folder", "bucket"])
def uri(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The address of an empty place of each kind."""
    if request.param == "folder":
        return str(tmp_path / "registry")
    emulator: Emulator = request.getfixturevalue("in_the_cloud")
    return f"gs://{emulator.bucket}{tmp_path}"


@pytest.fixture
def registry(uri: str) -> Registry:
    """An empty registry of each kind."""
    return Registry(uri)


@pytest.fixture
def stocked(registry: Registry) -> Registry:
    """Releases 1 to 5, of which 1 and 2 were in production and 3 is."""
    for number in "12345":
        registry.publish(number, releases.release(number, created=f"2026-11-0{number}T00:00:00+00:00"))
    for number in "123":
        registry.promote(number)
    registry.rollback("1")
    registry.promote("3")
    return registry
