"""The real function under functions-framework, on a free port."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from tests.ports import free_port

_START_SECONDS = 60
# A new connection for each request: the server may close an idle one at any moment. Said to the server too, since a
# pool that keeps none idle may still hand one from thread to thread.
_CLIENT = httpx.Client(timeout=30, headers={"Connection": "close"})


@dataclass(frozen=True)
class Server:
    """A running function."""

    url: str
    process: subprocess.Popen[str]

    def get(self, path: str, **headers: str) -> httpx.Response:
        """GET a path."""
        return _CLIENT.get(self.url + path, headers=headers)

    def post(
        self, content: bytes, content_type: str = "image/jpeg", path: str = "/predict", **headers: str
    ) -> httpx.Response:
        """POST a body of a stated type."""
        return _CLIENT.post(self.url + path, content=content, headers={"Content-Type": content_type, **headers})


@contextmanager
def serve(
    source: Path,
    python: Path = Path(sys.executable),
    ready: str = "/health",
    stderr: int = subprocess.PIPE,
    **environment: str,
) -> Iterator[Server]:
    """Start `source` with the interpreter of some environment, wait until `ready` answers, and stop it afterwards."""
    port = free_port()
    process = start(source, port, environment, python, stderr)
    # Vertex AI's variable goes before the framework's.
    url = f"http://127.0.0.1:{environment.get('AIP_HTTP_PORT', port)}"
    server = Server(url, process)
    try:
        _wait(server, ready)
        yield server
    finally:
        process.terminate()
        process.communicate(timeout=30)


def start(
    source: Path,
    port: int,
    environment: dict[str, str],
    python: Path = Path(sys.executable),
    stderr: int = subprocess.PIPE,
    host: str = "127.0.0.1",
) -> subprocess.Popen[str]:
    """Start the function without waiting for it."""
    command = [python, "-m", "functions_framework", "--source", source / "main.py", "--target", "predict"]
    return subprocess.Popen(
        [*map(str, command), "--host", host, "--port", str(port)],
        # An empty PYTHONPATH and a foreign folder: nothing of this repository is found by accident.
        cwd=source.parent.anchor,
        # Nobody reads its log while it runs: a line for each request would fill the pipe and stop it.
        env={**os.environ, "PYTHONPATH": "", "LOG_LEVEL": "ERROR", **environment},
        stdout=subprocess.DEVNULL,
        stderr=stderr,
        text=True,
    )


def refusal(source: Path, **environment: str) -> str:
    """The last line that a function says which cannot start."""
    process = start(source, free_port(), environment)
    _, errors = process.communicate(timeout=_START_SECONDS)
    assert process.returncode == 1, errors
    assert "Traceback" not in errors
    return errors.strip().splitlines()[-1]


def _wait(server: Server, ready: str) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline:
        if server.process.poll() is not None:
            raise AssertionError(f"the function ended at its start: {server.process.communicate()[1]}")
        try:
            if server.get(ready).is_success:
                return
        except httpx.TransportError:
            time.sleep(0.05)
    raise AssertionError("the function does not answer")
