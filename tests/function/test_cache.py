"""MODEL_CACHE: models kept in a folder that several processes share, and that may lose or spoil them at any time."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from serving import release
from tests import faulty_storage as faults
from tests.conftest import FUNCTION
from tests.faulty_storage import FaultyStorage
from tests.server import serve

BUNDLED = release.load(str(FUNCTION / "model"))
MODEL = "model.tflite"
PROCESSES = 8

# One start: what it serves, as a digest, and the requests it made are all that counts.
_LOAD = """
import sys
from serving import release
print(release.load(sys.argv[1], cache=sys.argv[2]).sha256)
"""


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "made" / "on" / "demand"


def fetched(storage: FaultyStorage) -> int:
    return sum(path.endswith(MODEL) for _, path in storage.requests)


def load(uri: str, cache: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", _LOAD, uri, str(cache)]
    environment = {**os.environ, "PYTHONPATH": str(FUNCTION)}
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_a_second_start_fetches_no_model(storage: FaultyStorage, uri: str, cache: Path) -> None:
    assert release.load(uri, cache=str(cache)) == BUNDLED
    assert release.load(uri, cache=str(cache)) == BUNDLED
    assert fetched(storage) == 1
    assert [path.name for path in cache.iterdir()] == [BUNDLED.sha256]


def test_the_function_starts_from_its_cache(storage: FaultyStorage, uri: str, cache: Path, face: bytes) -> None:
    release.load(uri, cache=str(cache))
    storage.plan(MODEL, faults.status(404))
    with serve(FUNCTION, MODEL_URI=uri, MODEL_CACHE=str(cache)) as server:
        assert server.post(face).json()["model"]["sha256"] == BUNDLED.sha256


def test_a_release_that_may_no_longer_be_read_is_not_served_from_the_cache(
    storage: FaultyStorage, uri: str, cache: Path
) -> None:
    release.load(uri, cache=str(cache))
    storage.plan("manifest.json", faults.status(403))
    with pytest.raises(release.ReleaseError, match="403 Forbidden"):
        release.load(uri, cache=str(cache))


@pytest.mark.parametrize("spoilt", [b"", b"another model", BUNDLED.model[:-1], BUNDLED.model[:-1] + b"\xff"])
def test_a_damaged_copy_is_noticed_and_replaced(storage: FaultyStorage, uri: str, cache: Path, spoilt: bytes) -> None:
    cache.mkdir(parents=True)
    (cache / BUNDLED.sha256).write_bytes(spoilt)
    assert release.load(uri, cache=str(cache)) == BUNDLED
    assert fetched(storage) == 1
    assert (cache / BUNDLED.sha256).read_bytes() == BUNDLED.model


def test_bytes_of_another_digest_are_not_kept(storage: FaultyStorage, uri: str, cache: Path) -> None:
    storage.plan(MODEL, faults.altered, times=1)
    with pytest.raises(release.ReleaseError, match="SHA-256"):
        release.load(uri, cache=str(cache))
    assert not cache.exists()
    assert release.load(uri, cache=str(cache)) == BUNDLED


def test_a_folder_that_cannot_be_written_costs_a_warning(
    storage: FaultyStorage, uri: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    occupied = tmp_path / "a file"
    occupied.touch()
    assert release.load(uri, cache=str(occupied)) == BUNDLED
    assert "MODEL_CACHE" in caplog.text


def test_what_a_killed_process_left_is_removed_once_it_is_old(storage: FaultyStorage, uri: str, cache: Path) -> None:
    cache.mkdir(parents=True)
    young, old = cache / f"{BUNDLED.sha256}.abcdefgh.partial", cache / f"{BUNDLED.sha256}.12345678.partial"
    for path in (young, old):
        path.touch()
    os.utime(old, (0, 0))
    release.load(uri, cache=str(cache))
    assert young.exists()
    assert not old.exists()


@pytest.mark.slow
def test_processes_that_start_at_once_share_it_though_some_are_killed(
    storage: FaultyStorage, uri: str, cache: Path
) -> None:
    for turn in range(4):
        for path in cache.glob(BUNDLED.sha256):
            path.unlink()
        processes = [load(uri, cache) for _ in range(PROCESSES)]
        victims = processes[:2]
        for victim in victims:
            # Each round kills at another moment of the start.
            time.sleep(0.1 + 0.05 * turn)
            victim.send_signal(signal.SIGKILL)
        for process in processes:
            said, errors = process.communicate(timeout=60)
            if process not in victims:
                assert (said.strip(), errors) == (BUNDLED.sha256, "")
        assert (cache / BUNDLED.sha256).read_bytes() == BUNDLED.model
