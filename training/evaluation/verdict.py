"""What the gate found, and who let a release through all the same."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from training.errors import StepError
from training.evaluation.comparison import Difference
from training.files import write_text

GATE_FILE = "gate.json"


@dataclass(frozen=True)
class Check:
    """One figure against what is asked of it."""

    name: str
    found: float
    # in words
    wanted: str
    passed: bool

    def __str__(self) -> str:
        verdict = "pass" if self.passed else "FAIL"
        found = f"{self.found:12d}" if isinstance(self.found, int) else f"{self.found:12.4f}"
        return f"{verdict}  {self.name:46} {found}  {self.wanted}"


def at_most(name: str, found: float, limit: float) -> Check:
    """A figure that may not be larger; NaN passes nothing."""
    return Check(name, found, f"at most {_text(limit)}", found <= limit)


def at_least(name: str, found: float, limit: float) -> Check:
    """A figure that may not be smaller; NaN passes nothing."""
    return Check(name, found, f"at least {_text(limit)}", found >= limit)


def not_worse(row: Difference, level: float) -> Check:
    """A figure that may not be worse than the champion's.

    It is worse where the one-sided bootstrap bound at 1 - `level` says so: where the challenger is no worse in fewer
    than that share of the resamples.
    """
    wanted = (
        f"no worse than {row.champion:.4f}: {row.difference:+.4f} ({row.low:+.4f} to {row.high:+.4f}), "
        f"worse in {100 * (1 - row.doubt):.2f} % of the resamples, at most {100 * (1 - level):.2f} %"
    )
    return Check(row.name, row.challenger, wanted, row.doubt >= level)


def _text(limit: float) -> str:
    return str(limit) if isinstance(limit, int) else f"{limit:.4f}"


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
class Verdict:
    """All that the gate says of one release."""

    # hex digest of the model file
    sha256: str
    # version of the release that it was compared with; "" for none
    champion: str
    # what a reader must know, a sentence each
    notes: tuple[str, ...]
    checks: tuple[Check, ...]
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
            "checks": [str(check) for check in self.checks],
        }
        write_text(folder / GATE_FILE, json.dumps(record, indent=1) + "\n")


def require_passed(folder: Path, sha256: str) -> dict[str, Any]:
    """What `Verdict.save` wrote of the model with that digest.

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
