"""The time limit of a request, for its body and for its turn."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple


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
