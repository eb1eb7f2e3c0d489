"""Real processes that run the code of registries and are killed, at a byte by SIGKILL or at a moment by a timer."""

from __future__ import annotations

import multiprocessing
import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from typing import Any
from urllib.parse import urlsplit

# Each victim is forked from one clean process that has imported everything: a kill costs no imports.
_PROCESSES = multiprocessing.get_context("forkserver")
_PROCESSES.set_forkserver_preload(
    [
        "training.registry.gcs",
        "training.registry.local",
        "training.registry.registry",
        "training.registry.retention",
    ]
)
_WAIT_SECONDS = 60


def publish(uri: str, version: str, files: dict[str, bytes]) -> None:
    from training.registry.registry import Registry

    Registry(uri).publish(version, files)


def promote(uri: str, version: str) -> None:
    from training.registry.registry import Registry

    Registry(uri).promote(version)


def rollback(uri: str) -> None:
    from training.registry.registry import Registry

    Registry(uri).rollback()


def prune(uri: str) -> None:
    from training.registry.registry import Registry
    from training.registry.retention import Retention, prune

    list(prune(Registry(uri), Retention(keep=0, days=0), dry_run=False))


def _live(
    wire: Connection, storage: str, moment: float | None, work: Callable[..., None], arguments: tuple[Any, ...]
) -> None:
    os.environ["STORAGE_EMULATOR_HOST"] = storage
    wire.send(None)
    begin = time.monotonic()
    if moment is not None:
        # The kernel ends it by SIGALRM, no handler runs. A parent that is busy with its own threads would be late.
        signal.setitimer(signal.ITIMER_REAL, max(moment, 1e-6))
    work(*arguments)
    signal.setitimer(signal.ITIMER_REAL, 0)
    wire.send(time.monotonic() - begin)


class Victim:
    """One process that does something to a registry, and is killed after `moment` seconds of it, if any."""

    def __init__(self, storage: str, work: Callable[..., None], *arguments: Any, moment: float | None = None) -> None:
        """Start it; `storage` is the address of Cloud Storage for it."""
        self._wire, other = _PROCESSES.Pipe(duplex=False)
        self.process = _PROCESSES.Process(target=_live, args=(other, storage, moment, work, arguments), daemon=True)
        self.process.start()
        assert self._wire.poll(_WAIT_SECONDS)
        self._wire.recv()

    def was_killed(self) -> bool:
        """Wait for its end: killed, or done before."""
        self.process.join(_WAIT_SECONDS)
        ends = (0, -signal.SIGKILL, -signal.SIGALRM)
        assert self.process.exitcode in ends, f"it ended with {self.process.exitcode}"
        return self.process.exitcode != 0

    def seconds(self) -> float:
        """How long its work took, of one that was not killed."""
        taken: float = self._wire.recv()
        return taken


class Scales:
    """A wire to Cloud Storage that counts the bytes of both directions, and kills when so many have passed."""

    def __init__(self, storage: str) -> None:
        self.upstream = urlsplit(storage)
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self.listener.getsockname()[1]}"
        self.passed = 0
        self._lock = threading.Lock()
        self._limit: int | None = None
        self._kill: Callable[[], None] | None = None
        self._armed = threading.Event()

    def arm(self, limit: int | None, kill: Callable[[], None]) -> None:
        """Begin to count; what comes earlier waits."""
        self.passed, self._limit, self._kill = 0, limit, kill
        self._armed.set()

    def disarm(self) -> None:
        """Let the next victim wait."""
        self._armed.clear()

    def serve(self) -> None:
        """Accept connections until the listener is closed."""
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            server = socket.create_connection((self.upstream.hostname, self.upstream.port or 80))
            for one, other in ((client, server), (server, client)):
                one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                threading.Thread(target=self._pass, args=(one, other), daemon=True).start()

    def _pass(self, one: socket.socket, other: socket.socket) -> None:
        try:
            while data := one.recv(65536):
                self._armed.wait(_WAIT_SECONDS)
                allowed = self._weigh(data)
                other.sendall(data[:allowed])
                if allowed < len(data):
                    break
        except OSError:
            pass
        for end in (one, other):
            try:
                end.shutdown(socket.SHUT_RDWR)
            except OSError:
                end.close()

    def _weigh(self, data: bytes) -> int:
        """How many of the bytes may pass; the victim is dead before the last one does."""
        with self._lock:
            if self._limit is None or self.passed + len(data) <= self._limit:
                self.passed += len(data)
                return len(data)
            allowed = max(0, self._limit - self.passed)
            self.passed = self._limit
            assert self._kill is not None
            self._kill()
            return allowed


@contextmanager
def scales(storage: str) -> Iterator[Scales]:
    """Hang the scales before a storage."""
    wire = Scales(storage)
    threading.Thread(target=wire.serve, daemon=True).start()
    try:
        yield wire
    finally:
        wire.listener.close()
