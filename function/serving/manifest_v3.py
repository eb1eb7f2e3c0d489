"""Manifests of format 3, still read for one version: their names, and what the code held then, as format 4."""

from __future__ import annotations

import re
from typing import Any

FORMAT = 3
# member of the manifest, metrics.json or comparison.json -> what it is called now
NAMES = {
    "age_coverage": "interval_coverage",
    "cell_gap": "subgroup_gap",
    "doubt": "p_not_worse",
    "false_alarms": "false_positive_rate",
    "figure": "metric",
    "flat": "low_contrast",
    "flat_share": "low_contrast_share",
    "likeness": "input_check",
}
# check of the gate -> what it is called now
CHECKS = {
    "age_coverage_error": "interval_coverage_error",
    "false_alarms": "false_positive_rate",
    "worst_cell_gap": "worst_subgroup_gap",
}
# code of a warning -> what it is called now
WARNING_CODES = {
    "flat": "low_contrast",
    "small": "low_resolution",
    "narrow": "extreme_aspect_ratio",
    "unlike": "not_a_face",
}
# member of a line of the log -> what it is called now
LOG_FIELDS = {"pictures": "images", "answers": "predictions"}
# What format 3 left to the code.
AGE_DECISION = {"near_years": 5, "miss_cost": 2.0}
SIZE_BOUNDS = {"min_side": 32, "max_aspect_ratio": 2.0}

_CHECK = re.compile(r"(?P<verdict>pass|FAIL)  (?P<name>.+?) +(?P<value>-?[\d.]+|nan|inf)  (?P<wanted>.+)")
_LIMITS = {"at most": "<=", "at least": ">="}
_NOT_WORSE = re.compile(r"no worse than ([\d.]+): (.+)")


def upgrade(manifest: dict[str, Any]) -> dict[str, Any]:
    """A manifest as format 4; one of another format than 3 is returned as it is."""
    if manifest.get("format") != FORMAT:
        return manifest
    upgraded: dict[str, Any] = rename(manifest) | {"format": FORMAT + 1}
    if "calibration" in upgraded:
        upgraded["calibration"] = upgraded["calibration"] | {"age_decision": AGE_DECISION}
    if "input_check" in upgraded:
        upgraded["input_check"] = upgraded["input_check"] | SIZE_BOUNDS
    if "gate" in upgraded:
        upgraded["gate"] = _gate(upgraded["gate"])
    return upgraded


def rename(record: Any) -> Any:
    """Any JSON value with the members' names of format 4."""
    if isinstance(record, dict):
        return {NAMES.get(name, name): rename(value) for name, value in record.items()}
    return [rename(value) for value in record] if isinstance(record, list) else record


def check(line: str | dict[str, Any]) -> dict[str, Any]:
    """A check of the gate, which format 3 held as a line of text, as an object."""
    if isinstance(line, dict):
        return line
    found = _CHECK.fullmatch(line)
    if found is None:
        return {"name": line, "value": None, "comparison": "", "limit": None, "passed": line.startswith("pass")}
    name, value, wanted = found["name"], _number(found["value"]), found["wanted"]
    name = CHECKS.get(name, name.replace("figures of groups", "metrics of groups"))
    passed = found["verdict"] == "pass"
    if stated := _NOT_WORSE.fullmatch(wanted):
        limit, detail = _number(stated[1]), stated[2]
        made = {"name": name, "value": value, "comparison": "not_worse", "limit": limit, "passed": passed}
        return made | {"detail": detail}
    comparison, _, limit_text = wanted.rpartition(" ")
    return {
        "name": name,
        "value": value,
        "comparison": _LIMITS.get(comparison, comparison),
        "limit": _number(limit_text),
        "passed": passed,
    }


def _gate(gate: dict[str, Any] | list[str]) -> dict[str, Any]:
    """Return the gate's result; releases before the comparison with a champion have a list of checks only."""
    if isinstance(gate, list):
        passed = all(line.startswith("pass") for line in gate)
        gate = {"passed": passed, "override": None, "champion": "", "notes": [], "checks": gate}
    return gate | {"checks": [check(each) for each in gate["checks"]]}


def _number(text: str) -> float | int | None:
    """None for what is no finite number, as JSON has none."""
    if text in ("nan", "inf", "-inf"):
        return None
    return float(text) if "." in text else int(text)
