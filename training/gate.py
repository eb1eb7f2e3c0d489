"""Figures and thresholds -> may this release go on?"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from serving.release import MANIFEST
from training.config import GateConfig
from training.errors import StepError
from training.evaluate import load_metrics

GATE_FILE = "gate.json"


@dataclass(frozen=True)
class Check:
    """One figure against its threshold."""

    name: str
    found: float
    # "at most" or "at least"
    relation: str
    threshold: float

    @property
    def passed(self) -> bool:
        """NaN passes nothing."""
        return self.found <= self.threshold if self.relation == "at most" else self.found >= self.threshold

    def __str__(self) -> str:
        verdict = "pass" if self.passed else "FAIL"
        return f"{verdict}  {self.name:20} {self.found:12.4f}  {self.relation} {self.threshold:.4f}"


def gate(folder: Path, config: GateConfig) -> list[Check]:
    """Check the release in `folder` and leave the verdict beside it.

    Raises:
        StepError: the release was not evaluated.
    """
    measured = load_metrics(folder)["overall"]
    manifest = json.loads((folder / MANIFEST).read_text())
    checks = [
        Check("age_mae", measured["age_mae"]["value"], "at most", config.age_mae),
        Check("gender_accuracy", measured["gender_accuracy"]["value"], "at least", config.gender_accuracy),
        Check("ethnicity_accuracy", measured["ethnicity_accuracy"]["value"], "at least", config.ethnicity_accuracy),
        Check("bytes", manifest["model"]["bytes"], "at most", config.max_bytes),
    ]
    verdict = {
        "sha256": manifest["model"]["sha256"],
        "passed": all(check.passed for check in checks),
        "checks": [str(check) for check in checks],
    }
    (folder / GATE_FILE).write_text(json.dumps(verdict, indent=1) + "\n")
    return checks


def require_passed(folder: Path, sha256: str) -> dict[str, Any]:
    """The verdict on the model with that digest.

    Raises:
        StepError: there is none, or it did not pass.
    """
    path = folder / GATE_FILE
    verdict: dict[str, Any] = json.loads(path.read_text()) if path.is_file() else {}
    if verdict.get("sha256") != sha256:
        raise StepError("this model has not been through the gate; run `python -m training gate` first")
    if not verdict["passed"]:
        raise StepError("this model did not pass the gate, so it is not published; see " + str(path))
    return verdict
