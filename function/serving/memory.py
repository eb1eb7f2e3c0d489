"""Memory budgets: parsing and decoding reserve bytes before they use them, so their sum is bounded.

`peak` is the most memory that the limits in `Settings` allow. A deployment needs at least that much.
"""

from __future__ import annotations

import ctypes
import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from serving.limits import WEBP_BYTES_PER_PIXEL, Limits
from serving.settings import Settings
from serving.timeouts import Deadline, DeadlineError

MIB = 2**20

AT_REST = 104 * MIB
"""The process after many requests: networks, interpreters, threads, and blocks that the allocator retains."""
SMALL_BODY = MIB // 16
"""Bytes of a body whose parsing needs no reservation."""
SMALL_DECODE = 2 * MIB
"""Bytes of a decode that needs no reservation, so a cropped face never waits for memory. A processor runs one."""
SUMMARY = 128 * MIB
"""Bytes that a summary of a crowd takes, of those for decoding."""
_PARSED_BODIES = 2

# Options of glibc's malloc.h.
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_ARENA_MAX = -1, -3, -8


class Budget:
    """A number of bytes, or of other units, that threads reserve: first come, first served."""

    def __init__(self, size: int) -> None:
        self.size = size
        self._free = size
        self._waiting: deque[tuple[int, threading.Lock]] = deque()
        self._lock = threading.Lock()

    @contextmanager
    def reserve(self, amount: int, deadline: Deadline) -> Iterator[None]:
        """Wait for `amount` units, and hold them until the context ends.

        An amount above the budget's size takes all of it, so the work runs alone. Do not reserve twice: requests that
        hold units and wait for more could block each other.

        Raises:
            DeadlineError: the deadline passed first.
        """
        held = min(amount, self.size)
        self._take(held, deadline)
        try:
            yield
        finally:
            with self._lock:
                self._free += held
                self._grant()

    def _take(self, amount: int, deadline: Deadline) -> None:
        with self._lock:
            if not amount or (amount <= self._free and not self._waiting):
                self._free -= amount
                return
            granted = threading.Lock()
            granted.acquire()
            self._waiting.append((amount, granted))
        if granted.acquire(timeout=deadline.left()):
            return
        with self._lock:
            if (amount, granted) in self._waiting:
                self._waiting.remove((amount, granted))
                # Those behind may need less.
                self._grant()
                raise DeadlineError
        # Granted at the last moment.

    def _grant(self) -> None:
        while self._waiting and self._waiting[0][0] <= self._free:
            amount, granted = self._waiting.popleft()
            self._free -= amount
            granted.release()


def parse_bytes(content_type: str, length: int) -> int:
    """Return the bytes to reserve for the parsing of a body and for the images in it, beside the body itself."""
    if content_type.startswith("image/") or length <= SMALL_BODY:
        return 0
    # JSON as a text and its strings, or a form's parts, then the images.
    return _PARSED_BODIES * length


def decode_bytes(needed: int) -> int:
    """Return the bytes to reserve for a decode that needs so many."""
    return needed if needed > SMALL_DECODE else 0


def parse_budget(max_request_bytes: int) -> int:
    """Return the bytes for all parsing: of one of the largest bodies."""
    return _PARSED_BODIES * max_request_bytes


def decode_budget(limits: Limits, max_request_bytes: int) -> int:
    """Return the bytes for all decodes: one of the largest, with the copies of its file."""
    return max(
        limits.decode_bytes + max_request_bytes,
        # The decoder of WebP has its own copy of the file.
        WEBP_BYTES_PER_PIXEL * limits.max_full_decode_pixels + 2 * max_request_bytes,
    )


def peak(settings: Settings, buffers: int, processors: int) -> int:
    """Return the most bytes that the function takes, whatever clients send.

    Args:
        settings: with the limits of a request.
        buffers: bytes of requests that connections may hold, as `connections.buffer_bytes` returns them.
        processors: that decode images.
    """
    unreserved = settings.threads * _PARSED_BODIES * SMALL_BODY + processors * SMALL_DECODE
    reserved = parse_budget(settings.max_request_bytes) + decode_budget(settings.limits, settings.max_request_bytes)
    return AT_REST + buffers + unreserved + reserved


def trim() -> None:
    """Return the freed memory between blocks in use to the system. It takes about a millisecond.

    The blocks of a search have many sizes. Without this, glibc retains 40 MB between them after many clients.
    """
    # Only glibc has it.
    with suppress(AttributeError, OSError):
        ctypes.CDLL(None).malloc_trim(0)


def configure_allocator() -> None:
    """Make glibc return large blocks to the system when they are freed, and share its heaps between threads.

    By default, glibc retains blocks as large as the largest one that was freed, and has eight heaps per processor.
    """
    # Only glibc has these options.
    with suppress(AttributeError, OSError):
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(_M_ARENA_MAX, 2)
        mallopt(_M_MMAP_THRESHOLD, MIB)
        # Less would return the memory of every request, and each page costs time when it comes back.
        mallopt(_M_TRIM_THRESHOLD, 4 * MIB)
