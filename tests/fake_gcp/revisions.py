"""Fake revisions: a built source that functions-framework runs on demand."""

from __future__ import annotations

import os
import socket
import subprocess
import threading
import time
from typing import Any

import httpx
from google.cloud import run_v2

from tests.fake_gcp.builds import PYTHON, FakeImage
from tests.fake_gcp.logs import FakeLog
from tests.ports import free_port

PLACEHOLDER = "us-docker.pkg.dev/cloudrun/container/hello"
_START_SECONDS = 60
_HOP = ("connection", "transfer-encoding", "content-length", "host", "content-encoding")
_HELLO = b"<html><title>Congratulations | Cloud Run</title>It's running!</html>"

State = run_v2.Condition.State
Reason = run_v2.Condition.RevisionReason


class FakeRevision:
    """One revision and its process, if it runs."""

    def __init__(self, message: run_v2.Revision, image: FakeImage | None, log: FakeLog) -> None:
        self.message, self.log = message, log
        self.short = message.name.rpartition("/")[2]
        self._image = image
        self._process: subprocess.Popen[str] | None = None
        self._port = 0
        self._lock = threading.Lock()

    @property
    def ready(self) -> bool:
        return any(
            each.type_ == "Ready" and each.state == State.CONDITION_SUCCEEDED for each in self.message.conditions
        )

    def reconcile(self) -> None:
        """Start the revision once, like Cloud Run, and set its conditions to the result."""
        problem, reason = self._start()
        state = State.CONDITION_FAILED if problem else State.CONDITION_SUCCEEDED
        condition = run_v2.Condition(type_="Ready", state=state, message=problem)
        if problem:
            condition.revision_reason = reason
        self.message.conditions = [condition]
        self.message.reconciling = False

    def respond(
        self, method: str, path: str, headers: dict[str, str], body: bytes
    ) -> tuple[int, bytes, dict[str, str]]:
        """Forward a request and log it like Cloud Run."""
        started = time.perf_counter()
        status, content, sent = self._ask(method, path, headers, body)
        self._log_request(method, path, status, time.perf_counter() - started)
        return status, content, sent

    def refuse(self, method: str, path: str) -> tuple[int, bytes, dict[str, str]]:
        """Log a request and answer it with 429, without the container."""
        self._log_request(method, path, 429, 0.0)
        return 429, b"Rate exceeded.", {"Content-Type": "text/plain"}

    def stop(self) -> None:
        """Scale to zero."""
        with self._lock:
            if self._process:
                self._process.terminate()
                self._process.wait(30)
            self._process = None

    def _log_request(self, method: str, path: str, status: int, seconds: float) -> None:
        http = {"requestMethod": method, "requestUrl": path, "status": status, "latency": f"{seconds:.6f}s"}
        self.log.request(self.message.name.split("/")[1], self._resource(), http)

    def _ask(self, method: str, path: str, headers: dict[str, str], body: bytes) -> tuple[int, bytes, dict[str, str]]:
        if self._image is None:
            return 200, _HELLO, {"Content-Type": "text/html"}
        problem, _ = self._start()
        if problem:
            return 503, b"Service Unavailable", {"Content-Type": "text/plain"}
        passed = {name: value for name, value in headers.items() if name.lower() not in _HOP}
        try:
            found = httpx.request(
                method, f"http://127.0.0.1:{self._port}{path}", headers=passed, content=body, timeout=60
            )
        except httpx.TransportError:
            return 503, b"upstream connect error", {"Content-Type": "text/plain"}
        return found.status_code, found.content, {k: v for k, v in found.headers.items() if k.lower() not in _HOP}

    def _start(self) -> tuple[str, Any]:
        """Start the process if needed. Return an error message and a reason if it does not start."""
        image = self.message.containers[0].image
        if self._image is None and image != PLACEHOLDER:
            return f"Revision '{self.short}' is not ready and cannot serve traffic. Image '{image}' not found.", Reason(
                0
            )
        with self._lock:
            if self._image is None or (self._process and self._process.poll() is None):
                return "", None
            self._port = free_port()
            self._process = self._run(self._image)
            threading.Thread(target=self._read_log, args=(self._process,), daemon=True).start()
            if self._listens(self._process):
                return "", None
            return (
                f"Revision '{self.short}' is not ready and cannot serve traffic. The user-provided container failed to "
                "start and listen on the port defined provided by the PORT=8080 environment variable within the "
                f"allocated timeout. Logs URL: {self.message.log_uri}",
                Reason.HEALTH_CHECK_CONTAINER_ERROR,
            )

    def _run(self, image: FakeImage) -> subprocess.Popen[str]:
        environment = {
            "PATH": os.environ["PATH"],
            "STORAGE_EMULATOR_HOST": image.storage,
            "FUNCTION_TARGET": image.target,
            "K_SERVICE": self.message.service.rpartition("/")[2],
            "K_REVISION": self.short,
            # An image is read-only.
            "PYTHONDONTWRITEBYTECODE": "1",
            **{each.name: each.value for each in self.message.containers[0].env},
        }
        command = [str(PYTHON), "-m", "functions_framework", "--host", "127.0.0.1", "--port", str(self._port)]
        return subprocess.Popen(
            command, cwd=image.folder, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
        )

    def _listens(self, process: subprocess.Popen[str]) -> bool:
        deadline = time.monotonic() + _START_SECONDS
        while process.poll() is None and time.monotonic() < deadline:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self._port)) == 0:
                    return True
            time.sleep(0.05)
        return False

    def _read_log(self, process: subprocess.Popen[str]) -> None:
        for line in process.stderr or ():
            self.log.line(self.message.name.split("/")[1], self._resource(), line.rstrip("\n"))

    def _resource(self) -> dict[str, str]:
        _, project, _, region, _, service, *_ = self.message.name.split("/")
        return {"project_id": project, "location": region, "service_name": service, "revision_name": self.short}
