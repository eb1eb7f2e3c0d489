"""The verdict of `feedback` on a release, as the gate reads it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from training.errors import StepError


class FeedbackStatus(StrEnum):
    """Verdict on one metric, or on all of them."""

    NOT_WORSE = "not worse"
    WORSE = "WORSE"
    TOO_FEW = "too few"


@dataclass(frozen=True)
class LiveVerdict:
    """The verdict of an earlier report."""

    release: str
    """Version."""
    status: FeedbackStatus
    worse: tuple[str, ...]
    """What is worse, for people."""


def load(path: Path) -> LiveVerdict:
    """Return the verdict in a file of `feedback --output`.

    Raises:
        StepError: it cannot be read, or is another file.
    """
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        status = FeedbackStatus[found["verdict"].upper()]
        return LiveVerdict(str(found["release"]), status, tuple(map(str, found["worse"])))
    except OSError as error:
        raise StepError(f"{path} cannot be read: {error.strerror}") from error
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise StepError(f"{path} is not what `python -m training feedback --output` writes ({error!r})") from error
