from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import psutil
import pytest

from tests.infra import images
from tests.ports import free_port

# TensorFlow alone is a gigabyte to unpack and to compile.
pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]

UID = 10001
# Limits of the bytes that the images add to their base. They use 80 % of it.
FUNCTION_BYTES, TRAINING_BYTES = 230e6, 2.3e9


@pytest.fixture(scope="module")
def bases() -> None:
    missing = [program for program in ("buildah", "debootstrap") if shutil.which(program) is None]
    if missing:
        pytest.skip(f"{' and '.join(missing)} not installed (Debian's packages): the images are not built here")
    if os.geteuid() != 0:
        pytest.skip("building images without a registry takes root: debootstrap makes their base")
    images.make_bases()


@pytest.fixture(scope="module")
def function(bases: None) -> Iterator[str]:
    yield from _built("function")


@pytest.fixture(scope="module")
def training(bases: None) -> Iterator[str]:
    yield from _built("training", REQUIREMENTS="training/requirements-cpu.txt")


def test_function_image_predicts_without_root(function: str, face: bytes, tmp_path: Path) -> None:
    log = tmp_path / "log"
    with images.container(function) as made, _started(function, made, log) as url:
        response = httpx.post(f"{url}/predict", content=face, headers={"Content-Type": "image/jpeg"})
        assert response.status_code == 200, response.text
        assert response.json()["predictions"][0].keys() >= {"age", "gender"}
        assert _users() == {UID}
    # Missing permissions of the user would be logged.
    assert "ERROR" not in log.read_text()


def test_health_check_detects_a_stopped_function(function: str, tmp_path: Path) -> None:
    kind, *check = images.settings(function)["Healthcheck"]["Test"]
    assert kind == "CMD"
    with images.container(function) as made:
        port = f"--env=PORT={free_port()}"
        assert _run(made, check, port).returncode != 0
        with _started(function, made, tmp_path / "log") as url:
            asked = _run(made, check, f"--env=PORT={url.rpartition(':')[2]}")
    assert asked.returncode == 0, asked.stderr


def test_function_image_contains_byte_code(function: str) -> None:
    with images.container(function) as made:
        app = images.files(made) / "app"
        sources = list(app.rglob("*.py"))
        assert app / "serving" / "predictor.py" in sources
        assert [path for path in sources if not [*path.parent.glob(f"__pycache__/{path.stem}.*.pyc")]] == []


def test_images_are_minimal(function: str, training: str) -> None:
    base = images.size(images.PYTHON)
    assert images.size(function) - base < FUNCTION_BYTES
    assert images.size(training) - base < TRAINING_BYTES
    with images.container(function) as made:
        names = {path.name for path in (images.files(made) / "app").iterdir()}
    assert names == {"__pycache__", "main.py", "model", "requirements.txt", "serving"}


def test_training_image_prints_its_commands_and_may_write_to_build(training: str) -> None:
    how = images.settings(training)
    with images.container(training) as made:
        told = _run(made, [*how["Entrypoint"], *how["Cmd"]])
        assert told.returncode == 0, told.stderr
        assert "prepare" in told.stdout
        wrote = _run(made, ["sh", "-c", "id -u && touch build/work && ls node_modules/@vladmandic/human/models"])
    assert wrote.returncode == 0, wrote.stderr
    assert wrote.stdout.split() == [str(UID), "faceres.bin", "faceres.json"]


def test_training_image_runs_tensorflow(training: str) -> None:
    with images.container(training) as made:
        sums = "import tensorflow as tf; print(int(tf.reduce_sum(tf.ones((3, 4)))))"
        told = _run(made, ["python", "-c", sums])
    assert told.stdout.strip() == "12", told.stderr


def _built(target: str, **arguments: str) -> Iterator[str]:
    image = images.build(target, **arguments)
    yield image
    images.buildah("rmi", image)


def _run(made: str, command: list[str], *options: str) -> subprocess.CompletedProcess[str]:
    run = images.command("run", *options, made, "--", *command)
    return subprocess.run(run, env=images.ENVIRONMENT, capture_output=True, text=True, check=False)


@contextmanager
def _started(image: str, made: str, log: Path) -> Iterator[str]:
    """Run the image's command in a container on a free port. Yield the server's address."""
    port = free_port()
    run = images.command("run", f"--env=PORT={port}", made, "--", *images.settings(image)["Cmd"])
    # In a new session, since buildah does not stop its processes.
    with (
        log.open("w") as lines,
        subprocess.Popen(run, env=images.ENVIRONMENT, stderr=lines, start_new_session=True) as process,
    ):
        try:
            yield _ready(f"http://127.0.0.1:{port}", process, log)
        finally:
            os.killpg(process.pid, signal.SIGKILL)


def _ready(url: str, process: subprocess.Popen[bytes], log: Path) -> str:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and process.poll() is None:
        try:
            if httpx.get(f"{url}/health").status_code == 200:
                return url
        except httpx.TransportError:
            time.sleep(0.1)
    raise AssertionError(f"the function does not respond: {log.read_text()}")


def _users() -> set[int]:
    """Return the users of the function's processes that this test started."""
    started = psutil.Process().children(recursive=True)
    return {process.uids().real for process in started if "/usr/local/bin/functions-framework" in process.cmdline()}
