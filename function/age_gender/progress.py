"""A progress bar on the last line of a terminal."""

from __future__ import annotations

import sys
import threading
import time
from types import TracebackType
from typing import TextIO

# Smaller jobs end before anyone has read the bar.
MIN_IMAGES = 32
_WIDTH = 30
_BLOCKS = ("█", "░")
_ERASE = "\r\x1b[K"
# Seconds between two updates.
_PAUSE = 0.1


class Progress:
    """A bar on standard error if that is a terminal; otherwise nothing. Output lines appear above it.

    Lines may come from several threads.
    """

    def __init__(self, total: int) -> None:
        self._total, self._done = total, 0
        self._shown = total >= MIN_IMAGES and sys.stderr.isatty()
        self._began = time.monotonic()
        self._lock = threading.Lock()
        self._drawn = 0.0

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._erase()

    def advance(self) -> None:
        """Count one more image."""
        with self._lock:
            self._done += 1
            now = time.monotonic()
            if self._shown and now - self._drawn >= _PAUSE:
                self._drawn = now
                sys.stderr.write(_ERASE + self._bar(now - self._began))
                sys.stderr.flush()

    def print(self, *lines: str) -> None:
        """Write lines to standard output."""
        self._write(sys.stdout, lines)

    def complain(self, *lines: str) -> None:
        """Write lines to standard error."""
        self._write(sys.stderr, lines)

    def _write(self, stream: TextIO, lines: tuple[str, ...]) -> None:
        with self._lock:
            if stream.isatty():
                self._erase()
            for line in lines:
                print(line, file=stream)

    def _erase(self) -> None:
        if self._shown:
            sys.stderr.write(_ERASE)
            sys.stderr.flush()
            self._drawn = 0.0

    def _bar(self, seconds: float) -> str:
        filled = _WIDTH * self._done // self._total
        rate = self._done / max(seconds, 0.001)
        left = (self._total - self._done) / rate
        full, empty = _BLOCKS if _can_show(sys.stderr, "".join(_BLOCKS)) else "#."
        return f"{full * filled}{empty * (_WIDTH - filled)} {self._done}/{self._total}  {rate:.0f}/s  {left:.0f} s left"


def _can_show(stream: TextIO, text: str) -> bool:
    try:
        text.encode(stream.encoding)
    except UnicodeEncodeError:
        return False
    return True
