"""The time limit of a request."""

from __future__ import annotations

import time
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

    def require(self) -> None:
        """Do nothing before the deadline.

        Raises:
            DeadlineError: it passed.
        """
        if not self.left():
            raise DeadlineError


class DeadlineError(Exception):
    """The deadline passed before the work ended."""
