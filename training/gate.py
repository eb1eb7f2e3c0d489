"""Metrics, thresholds and the champion -> may this release go on?"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from serving.release import MANIFEST, parse_manifest
from training.config import GateConfig
from training.evaluation import comparison, metrics, summary
from training.evaluation.comparison import Comparison, Difference
from training.evaluation.gate_result import GateCheck, GateResult, Override, at_least, at_most, not_worse
from training.evaluation.metrics import MIN_SUBGROUP_SIZE, worst_subgroup


def gate(folder: Path, config: GateConfig, override: Override | None = None) -> GateResult:
    """Judge the release in `folder`; leave the verdict beside it, in its report and in comparison.md.

    Args:
        folder: the release, as `evaluate` left it.
        config: the thresholds, and how sure it must be that the release is worse than the champion.
        override: who lets it through in spite of what failed, and why; forgotten where nothing did.

    Raises:
        StepError: the release was not evaluated.
    """
    measured = metrics.load(folder)
    manifest = parse_manifest((folder / MANIFEST).read_text())
    compared = comparison.load(folder, measured["sha256"])
    checks = [*_accuracy(measured, config), *_honesty(measured, manifest, config)]
    checks += [at_most("bytes", manifest["model"]["bytes"], config.max_bytes), *against(compared, config)]
    remarks = (*compared.remarks, *_not_asked(measured, config))
    found = GateResult(measured["sha256"], compared.champion, remarks, tuple(checks), override)
    found = found if found.failed else replace(found, override=None)
    found.save(folder)
    summary.write(folder, measured, compared, found)
    return found


def _not_asked(measured: dict[str, Any], config: GateConfig) -> Iterator[str]:
    for head in measured["calibration_error"]:
        if config.accuracy(head) is None:
            yield f"No accuracy is asked of {head}: GateConfig in training/config.py has no {head}_accuracy."


def _accuracy(measured: dict[str, Any], config: GateConfig) -> Iterator[GateCheck]:
    overall, adults = measured["overall"], measured["from_13_years"]
    yield at_most("age_mae", overall["age_mae"]["value"], config.age_mae)
    yield at_least("age_within_5", overall["age_within_5"]["value"], config.age_within_5)
    for head in measured["calibration_error"]:
        name = f"{head}_accuracy"
        if (least := config.accuracy(head)) is not None:
            yield at_least(name, overall[name]["value"], least)
        if head == "gender" and adults["n"]:
            yield at_least("gender_accuracy_from_13", adults[name]["value"], config.gender_accuracy_from_13)


def _honesty(measured: dict[str, Any], manifest: dict[str, Any], config: GateConfig) -> Iterator[GateCheck]:
    """Whether the release says how unsure it is, and does not fail a group; too small groups are not looked at."""
    stated = manifest["calibration"]["age"]["coverage"]
    found = measured["overall"]["interval_coverage"]["value"]
    yield at_most("interval_coverage_error", round(abs(found - stated), 4), config.coverage_error)
    bands = [row["interval_coverage"]["value"] for row in measured["by_age_band"] if row["n"] >= MIN_SUBGROUP_SIZE]
    if bands:
        yield at_least("worst_band_coverage", min(bands), config.band_coverage)
    for head, error in measured["calibration_error"].items():
        yield at_most(f"{head}_calibration_error", error, config.calibration_error)
    yield at_most("false_positive_rate", measured["input_check"]["false_positive_rate"], config.false_positive_rate)
    if worst := worst_subgroup(measured):
        mean = measured["from_13_years"]["gender_accuracy"]["value"]
        yield at_most("worst_subgroup_gap", round(mean - worst["gender_accuracy"]["value"], 4), config.subgroup_gap)


def against(compared: Comparison, config: GateConfig) -> Iterator[GateCheck]:
    """Whether it is no worse than the champion: each metric overall, then what is worse in groups and how much is."""
    if compared.obstacle:
        yield at_least("fair_comparison", 0, 1)
    yield from _judged(compared.overall(), config.false_overall)
    if groups := _judged(compared.groups(), config.false_in_groups):
        worse = [check for check in groups if not check.passed]
        yield from worse
        yield at_most(f"worse among {len(groups)} metrics of groups", len(worse), 0)


def _judged(rows: list[Difference], level: float) -> list[GateCheck]:
    """Bonferroni: `level` is shared among all rows, for each of them can raise a false alarm."""
    return [not_worse(row, level / len(rows)) for row in rows]
