"""The time limit of a request: what waits for its turn, or for its body, ends by it."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import NamedTuple

# seconds between two looks at the bodies that are being read
_LOOK = 0.25


class Deadline(NamedTuple):
    """The moment by which a request must be answered, in seconds of the monotonic clock."""

    at: float

    @classmethod
    def after(cls, seconds: float) -> Deadline:
        """The moment `seconds` from now."""
        return cls(time.monotonic() + seconds)

    def left(self) -> float:
        """Seconds that are left, 0 when it has passed."""
        return max(self.at - time.monotonic(), 0.0)


class DeadlineError(Exception):
    """The deadline passed before the work began."""


class BodyReadTimeout:
    """Ends the reading from sockets whose deadline passes; one thread for all of them.

    A time limit on the socket itself would start anew with every byte that trickles in.
    """

    def __init__(self) -> None:
        self._reading: dict[socket.socket, Deadline] = {}
        self._some = threading.Event()
        self._thread: threading.Thread | None = None
        self._starting = threading.Lock()

    @contextmanager
    def reading(self, client: socket.socket | None, deadline: Deadline) -> Iterator[None]:
        """While this lasts, `client` is read from; past the deadline it reads as if it had closed."""
        if client is None:
            yield
            return
        self._reading[client] = deadline
        self._some.set()
        if self._thread is None:
            self._start()
        try:
            yield
        finally:
            self._reading.pop(client, None)

    def _start(self) -> None:
        # Not before the first request: the server forks after it has imported this, and threads stay behind.
        with self._starting:
            if self._thread is None:
                self._thread = threading.Thread(target=self._look, name="deadlines", daemon=True)
                self._thread.start()

    def _look(self) -> None:
        while True:
            self._some.wait()
            self._some.clear()
            time.sleep(_LOOK)
            for client, deadline in tuple(self._reading.items()):
                if not deadline.left():
                    with suppress(OSError):
                        client.shutdown(socket.SHUT_RD)
            if self._reading:
                self._some.set()
