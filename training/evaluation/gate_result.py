"""The gate's result for one release: checks, notes and an override."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from training.errors import StepError
from training.evaluation.comparison import Difference
from training.evaluation.metric_table import MetricSpec, spec
from training.files import write_text

GATE_FILE = "gate.json"
# Name of the check that fails if the champion could not be compared with.
FAIR = "fair_comparison"

# Comparison of a check, in words.
_WORDS = {"<=": "at most", ">=": "at least", "not_worse": "no worse than"}


@dataclass(frozen=True)
class GateCheck:
    """One metric against its limit."""

    name: str
    """Name in the metric table; against the champion, followed by ", " and the group."""
    value: float | None
    """None for a number that is not finite."""
    comparison: str
    """"<=", ">=" or, against the champion, "not_worse"."""
    limit: float
    """The threshold, or the champion's value."""
    passed: bool
    detail: str = ""
    """Statistics of a comparison with the champion."""

    @property
    def title(self) -> str:
        """Return the name for people, for example "gender accuracy, female"."""
        metric, separator, group = self.name.partition(", ")
        return f"{self._spec.title}{separator}{group}" if metric == self._spec.name else self.name

    @property
    def found(self) -> str:
        """Return the value with its unit."""
        return self._spec.text(self.value)

    @property
    def wanted(self) -> str:
        """Return the condition in words, for example "at most 4.50 years"."""
        return f"{_WORDS[self.comparison]} {self._spec.text(self.limit)}"

    @property
    def verdict(self) -> str:
        """Return "pass" or "FAIL"."""
        return "pass" if self.passed else "FAIL"

    @property
    def _spec(self) -> MetricSpec:
        return spec(self.name.partition(", ")[0])

    def __str__(self) -> str:
        return f"{self.verdict}  {self.title:46} {self.found:>15}  {self.wanted}"

    def as_json(self) -> dict[str, Any]:
        """Return the members for gate.json and the manifest."""
        members = asdict(self)
        return members if self.detail else {name: value for name, value in members.items() if name != "detail"}


def at_most(name: str, value: float, limit: float) -> GateCheck:
    """Check that a metric does not exceed a limit; NaN fails."""
    return GateCheck(name, _finite(value), "<=", limit, value <= limit)


def at_least(name: str, value: float, limit: float) -> GateCheck:
    """Check that a metric does not fall below a limit; NaN fails."""
    return GateCheck(name, _finite(value), ">=", limit, value >= limit)


def not_worse(row: Difference, level: float) -> GateCheck:
    """Check that a metric is not worse than the champion's.

    It is worse if the one-sided bootstrap bound at 1 - `level` says so: if the challenger is no worse in a smaller
    share of the resamples than `level`.
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


@dataclass(frozen=True)
class Override:
    """A person's decision to publish a release that failed the gate.

    Raises:
        StepError: the name or the reason is missing.
    """

    by: str
    """Name of the person."""
    reason: str

    def __post_init__(self) -> None:
        if not self.by.strip() or not self.reason.strip():
            raise StepError("an override needs a reason and a name; give --override REASON --by NAME")


@dataclass(frozen=True)
class GateResult:
    """The gate's verdict on one release."""

    sha256: str
    """Hex digest of the model file."""
    champion: str
    """Version of the release it was compared with; "" for none."""
    notes: tuple[str, ...]
    """What the checks leave out, one sentence each."""
    checks: tuple[GateCheck, ...]
    override: Override | None = None
    """None if there is none, or if no check failed."""

    @property
    def failed(self) -> list[str]:
        """Return the names of the failed checks."""
        return [check.name for check in self.checks if not check.passed]

    @property
    def failed_titles(self) -> str:
        """Return the failed checks as one line of text."""
        return "; ".join(check.title for check in self.checks if not check.passed)

    @property
    def judged(self) -> bool:
        """Return whether the verdict is on the model: the champion, if there is one, could be compared with."""
        return FAIR not in self.failed

    @property
    def publishable(self) -> bool:
        """Return whether the release may be published."""
        return not self.failed or self.override is not None

    def save(self, folder: Path) -> None:
        """Write gate.json into the release in `folder`."""
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
    """Return the content of gate.json for the model with that digest.

    Raises:
        StepError: the model has not been through the gate, or failed it without an override.
    """
    path = folder / GATE_FILE
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    if found.get("sha256") != sha256:
        raise StepError("this model has not been through the gate; run `python -m training gate` first")
    if not found["passed"] and not found["override"]:
        raise StepError(f"this model did not pass the gate, so it is not published; see {path}")
    return found
