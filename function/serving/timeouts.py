"""The time limit of a request, for its body and for its turn."""

from __future__ import annotations

import socket
import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import NamedTuple

# Seconds between two checks of the bodies that are being read.
_CHECK_SECONDS = 0.25


class Deadline(NamedTuple):
    """The time by which a request must end."""

    at: float
    """Seconds of the monotonic clock."""

    @classmethod
    def after(cls, seconds: float) -> Deadline:
        """Return the deadline `seconds` from now."""
        return cls(time.monotonic() + seconds)

    def left(self) -> float:
        """Return the remaining seconds, 0 after the deadline."""
        return max(self.at - time.monotonic(), 0.0)


class DeadlineError(Exception):
    """The deadline passed before the work began."""


class FifoSemaphore:
    """A semaphore that admits its waiters in order.

    `threading.Semaphore` lets a newcomer overtake waiters, so a long batch would starve all other requests.
    """

    def __init__(self, count: int) -> None:
        self._free = count
        self._waiting: deque[threading.Lock] = deque()
        self._lock = threading.Lock()

    @contextmanager
    def turn(self, deadline: Deadline) -> Iterator[None]:
        """Wait for a turn, and end it with the context.

        Raises:
            DeadlineError: the deadline passed first.
        """
        self._take(deadline)
        try:
            yield
        finally:
            self._give()

    def _take(self, deadline: Deadline) -> None:
        with self._lock:
            if self._free:
                self._free -= 1
                return
            mine = threading.Lock()
            mine.acquire()
            self._waiting.append(mine)
        if mine.acquire(timeout=deadline.left()):
            return
        with self._lock:
            if mine in self._waiting:
                self._waiting.remove(mine)
                raise DeadlineError
        # The turn came at the last moment.

    def _give(self) -> None:
        with self._lock:
            if self._waiting:
                self._waiting.popleft().release()
            else:
                self._free += 1


class BodyReadTimeout:
    """Ends reads from sockets at their deadline, with one thread for all sockets.

    A timeout of the socket itself would restart with every byte.
    """

    def __init__(self) -> None:
        self._reading: dict[socket.socket, Deadline] = {}
        self._some = threading.Event()
        self._thread: threading.Thread | None = None
        self._starting = threading.Lock()

    @contextmanager
    def reading(self, client: socket.socket | None, deadline: Deadline) -> Iterator[None]:
        """Let reads from `client` find the end of the stream after the deadline."""
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
        # On the first request: the server forks after the imports, and a fork has no threads.
        with self._starting:
            if self._thread is None:
                self._thread = threading.Thread(target=self._look, name="deadlines", daemon=True)
                self._thread.start()

    def _look(self) -> None:
        while True:
            self._some.wait()
            self._some.clear()
            time.sleep(_CHECK_SECONDS)
            for client, deadline in tuple(self._reading.items()):
                if not deadline.left():
                    with suppress(OSError):
                        client.shutdown(socket.SHUT_RD)
            if self._reading:
                self._some.set()
