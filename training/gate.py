"""Figures and thresholds -> may this release go on?"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from serving.release import MANIFEST
from training.config import GateConfig
from training.errors import StepError
from training.evaluate import load_metrics
from training.metrics import CELL_FACES, worst_cell

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
        return f"{verdict}  {self.name:27} {self.found:12.4f}  {self.relation} {self.threshold:.4f}"


def gate(folder: Path, config: GateConfig) -> list[Check]:
    """Check the release in `folder` and leave the verdict beside it.

    Raises:
        StepError: the release was not evaluated.
    """
    measured = load_metrics(folder)
    manifest = json.loads((folder / MANIFEST).read_text())
    checks = [*_accuracy(measured, config), *_honesty(measured, manifest, config)]
    checks.append(Check("bytes", manifest["model"]["bytes"], "at most", config.max_bytes))
    verdict = {
        "sha256": manifest["model"]["sha256"],
        "passed": all(check.passed for check in checks),
        "checks": [str(check) for check in checks],
    }
    (folder / GATE_FILE).write_text(json.dumps(verdict, indent=1) + "\n")
    return checks


def _accuracy(measured: dict[str, Any], config: GateConfig) -> Iterator[Check]:
    overall, adults = measured["overall"], measured["from_13_years"]
    yield Check("age_mae", overall["age_mae"]["value"], "at most", config.age_mae)
    yield Check("age_within_5", overall["age_within_5"]["value"], "at least", config.age_within_5)
    yield Check("gender_accuracy", overall["gender_accuracy"]["value"], "at least", config.gender_accuracy)
    if adults["n"]:
        found = adults["gender_accuracy"]["value"]
        yield Check("gender_accuracy_from_13", found, "at least", config.gender_accuracy_from_13)
    yield Check("ethnicity_accuracy", overall["ethnicity_accuracy"]["value"], "at least", config.ethnicity_accuracy)


def _honesty(measured: dict[str, Any], manifest: dict[str, Any], config: GateConfig) -> Iterator[Check]:
    """Whether the release says how unsure it is, and does not fail a group; too small groups are not looked at."""
    stated = manifest["calibration"]["age"]["coverage"]
    found = measured["overall"]["age_coverage"]["value"]
    yield Check("age_coverage_error", round(abs(found - stated), 4), "at most", config.coverage_error)
    bands = [row["age_coverage"]["value"] for row in measured["by_age_band"] if row["n"] >= CELL_FACES]
    if bands:
        yield Check("worst_band_coverage", min(bands), "at least", config.band_coverage)
    for head, error in measured["calibration_error"].items():
        yield Check(f"{head}_calibration_error", error, "at most", config.calibration_error)
    yield Check("false_alarms", measured["likeness"]["false_alarms"], "at most", config.false_alarms)
    if worst := worst_cell(measured):
        mean = measured["from_13_years"]["gender_accuracy"]["value"]
        yield Check("worst_cell_gap", round(mean - worst["gender_accuracy"]["value"], 4), "at most", config.cell_gap)


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
