"""What the gate found, and who let a release through all the same."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from training.errors import StepError
from training.evaluation.comparison import Difference
from training.files import write_text

GATE_FILE = "gate.json"


# comparison of a check -> how a line of text says it
_WORDS = {"<=": "at most", ">=": "at least", "not_worse": "no worse than"}


@dataclass(frozen=True)
class GateCheck:
    """One metric against what is asked of it."""

    name: str
    # None where it is no finite number
    value: float | None
    # "<=", ">=" or, against the champion, "not_worse"
    comparison: str
    # the threshold, or the champion's value
    limit: float
    passed: bool
    # what more a reader wants to know
    detail: str = ""

    @property
    def found(self) -> str:
        """The value as text."""
        return "none" if self.value is None else _text(self.value)

    @property
    def wanted(self) -> str:
        """What is asked for, in words."""
        return f"{_WORDS[self.comparison]} {_text(self.limit)}{f': {self.detail}' if self.detail else ''}"

    def __str__(self) -> str:
        return f"{'pass' if self.passed else 'FAIL'}  {self.name:46} {self.found:>12}  {self.wanted}"

    def as_json(self) -> dict[str, Any]:
        """As gate.json and the manifest hold it."""
        members = asdict(self)
        return members if self.detail else {name: value for name, value in members.items() if name != "detail"}


def at_most(name: str, value: float, limit: float) -> GateCheck:
    """A metric that may not be larger; NaN passes nothing."""
    return GateCheck(name, _finite(value), "<=", limit, value <= limit)


def at_least(name: str, value: float, limit: float) -> GateCheck:
    """A metric that may not be smaller; NaN passes nothing."""
    return GateCheck(name, _finite(value), ">=", limit, value >= limit)


def not_worse(row: Difference, level: float) -> GateCheck:
    """A metric that may not be worse than the champion's.

    It is worse where the one-sided bootstrap bound at 1 - `level` says so: where the challenger is no worse in fewer
    than that share of the resamples.
    """
    detail = (
        f"{row.difference:+.4f} ({row.low:+.4f} to {row.high:+.4f}), "
        f"worse in {100 * (1 - row.p_not_worse):.2f} % of the resamples, at most {100 * (1 - level):.2f} %"
    )
    passed = row.p_not_worse >= level
    value, limit = round(row.challenger, 4), round(row.champion, 4)
    return GateCheck(row.name, _finite(value), "not_worse", limit, passed, detail)


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _text(value: float) -> str:
    return str(value) if isinstance(value, int) else f"{value:.4f}"


@dataclass(frozen=True)
class Override:
    """Somebody lets a release through a closed gate.

    Raises:
        StepError: it is not said who, or why.
    """

    by: str
    reason: str

    def __post_init__(self) -> None:
        if not self.by.strip() or not self.reason.strip():
            raise StepError("an override needs a reason and a name; give --override REASON --by NAME")


@dataclass(frozen=True)
class GateResult:
    """All that the gate says of one release."""

    # hex digest of the model file
    sha256: str
    # version of the release that it was compared with; "" for none
    champion: str
    # what a reader must know, a sentence each
    notes: tuple[str, ...]
    checks: tuple[GateCheck, ...]
    # None as well where it was not needed
    override: Override | None = None

    @property
    def failed(self) -> list[str]:
        """The names of what did not pass."""
        return [check.name for check in self.checks if not check.passed]

    @property
    def open(self) -> bool:
        """Whether the release may go on."""
        return not self.failed or self.override is not None

    def save(self, folder: Path) -> None:
        """Write it beside the release in `folder`."""
        record = {
            "sha256": self.sha256,
            "passed": not self.failed,
            "override": asdict(self.override) if self.override else None,
            "champion": self.champion,
            "notes": self.notes,
            "checks": [check.as_json() for check in self.checks],
        }
        write_text(folder / GATE_FILE, json.dumps(record, indent=1) + "\n")


def require_passed(folder: Path, sha256: str) -> dict[str, Any]:
    """What `GateResult.save` wrote of the model with that digest.

    Raises:
        StepError: nothing, or it did not pass and nobody let it through.
    """
    path = folder / GATE_FILE
    found: dict[str, Any] = json.loads(path.read_text()) if path.is_file() else {}
    if found.get("sha256") != sha256:
        raise StepError("this model has not been through the gate; run `python -m training gate` first")
    if not found["passed"] and not found["override"]:
        raise StepError(f"this model did not pass the gate, so it is not published; see {path}")
    return found
