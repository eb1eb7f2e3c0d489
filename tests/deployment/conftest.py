"""Fixtures: a fake Google Cloud, services as Terraform creates them, and a registry."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import httpx
import pytest

from tests import federation
from tests.conftest import FUNCTION, ROOT
from tests.emulator import Emulator
from tests.fake_gcp.access import planned
from tests.fake_gcp.internet import internet
from tests.fake_gcp.server import FakeCloud, cloud
from tests.strict_storage import strict
from training.deployment import build, deploy
from training.deployment.build import BuiltImage
from training.deployment.config import DeployConfig
from training.deployment.releases import find, tag_of
from training.deployment.resources import ServiceName
from training.deployment.service import CloudRunService
from training.registry.local import release_files
from training.registry.registry import Registry

FIRST, SECOND = "20261101-aaaaaaaa", "20261102-bbbbbbbb"
# A line of serving/api.py that runs for every prediction request.
STATS = "            asked = request_parsing.read(request, self._settings)\n"
_PROJECT = ServiceName(planned().project, "europe-west1", "")
_RELEASES = f"{_PROJECT.project}-releases"


@dataclass(frozen=True)
class Setup:
    """A service, and a registry with two releases. The first release is in production."""

    fake_cloud: FakeCloud
    service: CloudRunService
    registry: Registry
    owned: Registry
    """The same registry with the rights of the project's owner."""
    folder: Path
    image: BuiltImage
    """Image of the unchanged function/."""

    @property
    def arguments(self) -> tuple[str, ...]:
        return "--service", str(self.service.name), "--registry", self.registry.uri

    def deploy(self, version: str = FIRST, function: Path | None = None) -> str:
        """Deploy without the command. An unchanged function/ needs no build."""
        release = find(self.registry, version)
        if function:
            return deploy.deploy(self.service, self.registry, release, FAST, function)
        return deploy.add_candidate(self.service, release, self.image)

    def go_live(self, version: str = FIRST, function: Path | None = None) -> str:
        """Deploy and send all traffic to the revision, like a finished rollout."""
        revision = self.deploy(version, function)
        tags = self.service.traffic().tags | {tag_of(version): revision}
        self.service.route({revision: 100}, tags)
        return revision

    def served(self) -> str:
        """Return the version that users get."""
        address = self.service.address()
        found = httpx.get(f"{address}/health", headers=self.fake_cloud.user(address)).raise_for_status()
        version: str = found.json()["model"]["version"]
        return version

    def production(self) -> str:
        production = self.registry.production()
        assert production
        return production.version

    def changed_function(self, file: str, old: str, new: str) -> Path:
        """Return a copy of function/ with one change and without the bundled model."""
        source = self.folder / "function"
        shutil.copytree(FUNCTION, source, ignore=shutil.ignore_patterns("model", "__pycache__", "age_gender"))
        text = (source / file).read_text()
        assert text.count(old) == 1
        (source / file).write_text(text.replace(old, new))
        return source


FAST = DeployConfig(poll_seconds=0.05)


@pytest.fixture(scope="session")
def storage(emulator: Emulator) -> Emulator:
    """The buckets of infra/ without permissions, as its owner sees them."""
    for name in (_PROJECT.source_bucket, _RELEASES):
        emulator.create_bucket(name)
    return Emulator(emulator.url, _RELEASES)


@dataclass(frozen=True)
class _Google:
    """Google Cloud, and the environment of a job that deploys there."""

    cloud: FakeCloud
    environment: dict[str, str]


@pytest.fixture(scope="session")
def google(storage: Emulator, tmp_path_factory: pytest.TempPathFactory) -> Iterator[_Google]:
    folder = tmp_path_factory.mktemp("cloud")
    with (
        strict(storage, planned(), "builder") as sources,
        strict(storage, planned(), "runtime") as releases,
        cloud(folder, sources.url, releases.url) as running,
        strict(storage, planned()) as guarded,
        internet(folder, {**running.hosts(), "storage.googleapis.com": guarded.url}) as reached,
    ):
        yield _Google(running, {**reached, **federation.job(folder, "production")})


@pytest.fixture(scope="session")
def image(google: _Google) -> BuiltImage:
    """Build the image once for all tests."""
    with _inside(google):
        return build.build(FUNCTION, replace(_PROJECT, name="first"), "", FAST)


@pytest.fixture
def setup(google: _Google, storage: Emulator, image: BuiltImage, tmp_path: Path) -> Iterator[Setup]:
    """A service as Terraform creates it, for a test that has the identity of a job that deploys."""
    fake_cloud = google.cloud
    # Settings by Terraform, which every revision keeps.
    name = replace(_PROJECT, name=f"service-{len(fake_cloud.services)}")
    fake_cloud.create_service(str(name), HEADS="age,gender")
    uri = f"gs://{storage.bucket}"
    storage.empty()
    with pytest.MonkeyPatch.context() as patch:
        # The deployer may not publish.
        patch.setenv("STORAGE_EMULATOR_HOST", storage.url)
        owned = Registry(uri)
        owned.publish(FIRST, release_of(FIRST))
        owned.publish(SECOND, release_of(SECOND))
        owned.promote(FIRST)
    with _inside(google):
        yield Setup(fake_cloud, CloudRunService(name, FAST), Registry(uri), owned, tmp_path, image)
    fake_cloud.services[str(name)].stop()


@contextmanager
def _inside(google: _Google) -> Iterator[None]:
    """Set the environment for as long as a test lasts: tests of other folders share the process."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in google.environment.items():
            patch.setenv(name, value)
        yield


def release_of(version: str) -> dict[str, bytes]:
    """Return the bundled model as another version. The second version is less confident about gender."""
    files = release_files(FUNCTION / "model")
    manifest = json.loads(files["manifest.json"])
    manifest["version"] = version
    if version == SECOND:
        manifest["calibration"]["gender"]["temperature"] *= 2
    return {"model.tflite": files["model.tflite"], "manifest.json": json.dumps(manifest).encode()}


def training(*arguments: object) -> subprocess.CompletedProcess[str]:
    """Run a command as a process."""
    command = [sys.executable, "-m", "training", *map(str, arguments)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
