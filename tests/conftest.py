"""What tests of several folders share."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import isolation
from tests.emulator import Emulator, cloud_storage
from tests.server import Server, serve
from tests.strict_storage import strict
from training.faces import draw

ROOT = Path(__file__).parent.parent
FUNCTION = ROOT / "function"
# The modules that take minutes. Where several processes share the tests, they begin first, so that the last minutes are
# not one process's alone.
LONGEST = (
    "e2e/test_push_to_live.py",
    "infra/test_images.py",
    "training/test_registry_kills.py",
    "e2e/test_merge_request.py",
    "training/test_devices.py",
    "training/test_tracking.py",
    "training/test_odd_data.py",
    "deployment/test_rollout.py",
    "function/test_load.py",
    "training/test_published_set.py",
    "pipeline/test_reproduce.py",
    "pipeline/test_further_head.py",
    "function/test_batch.py",
)


# Before any fixture: trainings of the tests are not tracked where the pipeline's are, and so on.
isolation.isolate()


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if hasattr(config, "workerinput"):
        places = {ROOT / "tests" / name: place for place, name in enumerate(LONGEST)}
        items.sort(key=lambda item: places.get(item.path, len(places)))


@pytest.fixture(scope="session")
def utkface() -> Path:
    """The folder of real faces, where there is one."""
    folder = os.environ.get("UTKFACE_DIR", "")
    if not folder:
        pytest.skip("UTKFACE_DIR is not set: it names a folder of UTKFace's aligned and cropped faces")
    return Path(folder)


@pytest.fixture(scope="session")
def photographs() -> Path:
    """The folder of real whole photographs, where there is one."""
    folder = os.environ.get("PHOTOS_DIR", "")
    if not folder:
        pytest.skip("PHOTOS_DIR is not set: it names a folder of photographs with a metadata.csv")
    return Path(folder)


@pytest.fixture(scope="session")
def face() -> bytes:
    """A drawn face as a JPEG."""
    return draw(age=30, gender=1, ethnicity=2, seed=7)


@pytest.fixture(scope="session")
def emulator() -> Iterator[Emulator]:
    """Cloud storage on loopback, with one bucket."""
    with cloud_storage() as running:
        yield running


@pytest.fixture(scope="session")
def strict_storage(emulator: Emulator) -> Iterator[Emulator]:
    """The same bucket under an address that keeps the rules of Cloud Storage which the emulator leaves out."""
    with strict(emulator) as running:
        yield running


@pytest.fixture
def credentials(tmp_path: Path) -> str:
    """A file with a token that does not expire during the test."""
    person = {"type": "authorized_user", "token": "open sesame", "expiry": "2099-01-01T00:00:00Z"}
    (tmp_path / "credentials.json").write_text(
        json.dumps({**person, "client_id": "x", "client_secret": "x", "refresh_token": "x"})
    )
    return str(tmp_path / "credentials.json")


@pytest.fixture(scope="session")
def server() -> Iterator[Server]:
    """The function as it is deployed, with all heads switched on."""
    with serve(FUNCTION, HEADS="age,gender,ethnicity") as running:
        yield running
