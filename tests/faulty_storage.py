"""A proxy before the storage emulator that breaks chosen answers, as networks and overloaded services do."""

from __future__ import annotations

import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import pairwise
from urllib.parse import unquote

import httpx

from tests.emulator import Emulator

# Breaks one answer: gets the wire and the true answer.
Fault = Callable[["Wire", httpx.Response], None]
_ALWAYS = 1000
_STALL_SECONDS = 60
# What a client needs to go on with a body that broke off, or to check a whole one.
_PASSED_ON = (
    *("Content-Type", "Content-Range", "ETag", "Last-Modified", "Location", "Range"),
    *("x-goog-generation", "x-goog-metageneration", "x-goog-hash"),
)
_ASKED = ("Content-Type", "Content-Range", "Range")


class Wire(BaseHTTPRequestHandler):
    """One request, and the socket on which it is answered."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    storage: FaultyStorage

    def _answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        fault, done = self.storage.next_fault(f"{self.command} {unquote(self.path)}")
        prediction = self._forward(body) if done else httpx.Response(503)
        fault(self, prediction)

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _answer  # noqa: N815

    def _forward(self, body: bytes) -> httpx.Response:
        asked = {name: self.headers[name] for name in _ASKED if name in self.headers}
        asked["X-Forwarded-Host"] = self.headers["Host"]
        address = self.storage.upstream + self.path
        return self.storage.client.request(self.command, address, content=body, headers=asked)

    def send(
        self, response: httpx.Response, body: bytes | None = None, length: int | None = None, status: int | None = None
    ) -> None:
        """Pass the answer on, with another body, a Content-Length that lies, or another status."""
        body = response.content if body is None else body
        self.send_response(response.status_code if status is None else status)
        self.send_header("Content-Length", str(len(body) if length is None else length))
        for name in _PASSED_ON:
            if name in response.headers:
                self.send_header(name, response.headers[name])
        self.end_headers()
        self.wfile.write(body)
        self.wfile.flush()

    def begin(self, response: httpx.Response) -> None:
        """Send half of the bytes that are announced."""
        self.send(response, response.content[: len(response.content) // 2], len(response.content))
        self.close_connection = True

    def reset(self) -> None:
        """Break the connection with RST instead of FIN."""
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.connection.close()
        self.close_connection = True

    def stall(self) -> None:
        """Say nothing more until the test is over."""
        self.storage.over.wait(_STALL_SECONDS)
        self.close_connection = True

    def handle(self) -> None:
        try:
            super().handle()
        except (OSError, ValueError):
            # The client, or `reset`, has closed the connection.
            self.close_connection = True

    def finish(self) -> None:
        try:
            super().finish()
        except (OSError, ValueError):
            self.close_connection = True

    def log_message(self, *_: object) -> None:
        """Be quiet."""


@dataclass
class FaultyStorage:
    """The emulator's double; what is not planned is answered truly."""

    upstream: str
    url: str = ""
    # monotonic seconds, and method and path of each request
    requests: list[tuple[float, str]] = field(default_factory=list)
    over: threading.Event = field(default_factory=threading.Event)
    client: httpx.Client = field(default_factory=lambda: httpx.Client(timeout=30, trust_env=False))
    _planned: dict[str, list[tuple[Fault, bool]]] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def plan(self, name: str, fault: Fault, times: int = _ALWAYS, done: bool = True) -> None:
        """Break the next answers for requests whose method and path hold `name`, before or after it is done."""
        self._planned[name] = [(fault, done)] * times

    def next_fault(self, request: str) -> tuple[Fault, bool]:
        """What happens to the answer of a request, and whether the storage does what it asks for."""
        with self._lock:
            self.requests.append((time.monotonic(), request))
            for name, faults in self._planned.items():
                if name in request and faults:
                    return faults.pop()
        return Wire.send, True

    def pauses(self, name: str) -> list[float]:
        """Seconds between the requests for `name`."""
        times = [moment for moment, request in self.requests if name in request]
        return [after - before for before, after in pairwise(times)]


@contextmanager
def faulty(emulator: Emulator) -> Iterator[FaultyStorage]:
    """Start the proxy, and stop it afterwards."""
    storage = FaultyStorage(emulator.url)
    with ThreadingHTTPServer(("127.0.0.1", 0), type("BoundWire", (Wire,), {"storage": storage})) as server:
        server.daemon_threads = True
        server.block_on_close = False
        storage.url = f"http://127.0.0.1:{server.server_port}"
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        try:
            yield storage
        finally:
            storage.over.set()
            server.shutdown()


def status(code: int) -> Fault:
    """Answer with a status and a message of several lines, as cloud storage words it."""

    def fault(wire: Wire, prediction: httpx.Response) -> None:
        wire.send(prediction, b"<?xml version='1.0'?>\n<Error><Code>Planned</Code>\n</Error>", status=code)

    return fault


def document(text: bytes) -> Fault:
    """Answer with 200 and something else."""
    return lambda wire, prediction: wire.send(prediction, text)


def reset_at_once(wire: Wire, _: httpx.Response) -> None:
    wire.reset()


def reset_midway(wire: Wire, prediction: httpx.Response) -> None:
    wire.begin(prediction)
    # The client has read the first half when the connection breaks.
    time.sleep(0.05)
    wire.reset()


def stall_at_once(wire: Wire, _: httpx.Response) -> None:
    wire.stall()


def stall_midway(wire: Wire, prediction: httpx.Response) -> None:
    wire.begin(prediction)
    wire.stall()


def close_midway(wire: Wire, prediction: httpx.Response) -> None:
    """End in good order, too early."""
    wire.begin(prediction)


def half(wire: Wire, response: httpx.Response) -> None:
    """Half of the bytes, announced as half: only the digest tells."""
    wire.send(response, response.content[: len(response.content) // 2])


def altered(wire: Wire, response: httpx.Response) -> None:
    """One bit is another: only the digest tells."""
    body = bytearray(response.content)
    body[len(body) // 2] ^= 1
    wire.send(response, bytes(body))
