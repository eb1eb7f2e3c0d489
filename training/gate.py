"""The gate: decide by thresholds and by the champion whether a release may be published."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from serving.heads import AGE
from serving.release import MANIFEST, parse_manifest
from training.config import GateConfig
from training.evaluation import baseline, comparison, metrics, summary, tables
from training.evaluation.age_groups import FROM_13
from training.evaluation.comparison import Comparison, Difference
from training.evaluation.gate_result import FAIR, GateCheck, GateResult, Override, at_least, at_most, not_worse
from training.evaluation.metrics import MIN_SUBGROUP_SIZE, enough, worst_subgroup
from training.labels import LABELS
from training.monitoring.live_verdict import FeedbackStatus, LiveVerdict


def gate(
    folder: Path, config: GateConfig, override: Override | None = None, live: LiveVerdict | None = None
) -> GateResult:
    """Check the release in `folder`; write gate.json, the gate's section of the reports, and comparison.md.

    Args:
        folder: the evaluated release.
        config: the thresholds, and the significance levels of the comparison with the champion.
        override: who publishes it although a check failed, and why; dropped if no check failed.
        live: verdict of `feedback`, which counts if it is on this very release.

    Raises:
        StepError: the release was not evaluated.
    """
    measured = metrics.load(folder)
    manifest = parse_manifest((folder / MANIFEST).read_text(encoding="utf-8"))
    compared = comparison.load(folder, measured["sha256"])
    checks = [*_age(measured, config), *_accuracy(measured, config), *_intervals(measured, manifest, config)]
    checks += [*_calibration(measured, config), *_groups(measured, config)]
    checks += [at_most("bytes", manifest["model"]["bytes"], config.max_bytes), *against(compared, config)]
    checks += _live(manifest["version"], live)
    useless = baseline.not_better(measured)
    remarks = (
        *compared.remarks,
        *_unchecked(measured, config),
        *_unlabelled(measured),
        *_not_live(manifest["version"], live),
        *([useless] if useless else []),
    )
    found = GateResult(measured["sha256"], compared.champion, remarks, tuple(checks), override)
    found = found if found.failed else replace(found, override=None)
    found.save(folder)
    summary.write(folder, measured, compared, found)
    return found


def _unchecked(measured: dict[str, Any], config: GateConfig) -> Iterator[str]:
    for head in measured["calibration_error"]:
        if config.accuracy(head) is None:
            yield f"{head}_accuracy has no threshold: add {head}_accuracy to GateConfig in training/config.py."


def _unlabelled(measured: dict[str, Any]) -> Iterator[str]:
    """Yield what cannot be judged, or is judged otherwise, because test faces lack labels."""
    if partial := tables.labelled(measured):
        yield partial
    for head in LABELS:
        if head not in measured["calibration_error"]:
            yield f"No metric of {head} is judged: no test face has a label for it that the release predicts."
    if not {"age_mae", "age_range_distance"} & measured["overall"].keys():
        yield f"No metric of {AGE} is judged: no test face has a label for it."
    if _by_ranges(measured):
        yield (
            f"Fewer than {MIN_SUBGROUP_SIZE} test faces have an exact age. The limit of the age MAE judges the "
            "distance to the range, and the lower limit of the coverage judges the share of ranges that the age "
            "interval overlaps. Age within 5 years and the coverage in age bands are not judged."
        )


def _by_ranges(measured: dict[str, Any]) -> bool:
    """Return whether the age is judged by ranges: too few exact ages, and more ranges."""
    labelled = measured.get("labelled", {})
    return bool(labelled.get(tables.RANGE)) and labelled[AGE] < min(MIN_SUBGROUP_SIZE, labelled[tables.RANGE])


def _age(measured: dict[str, Any], config: GateConfig) -> Iterator[GateCheck]:
    overall = measured["overall"]
    if _by_ranges(measured):
        yield at_most("age_range_distance", overall["age_range_distance"]["value"], config.age_mae)
    elif "age_mae" in overall:
        yield at_most("age_mae", overall["age_mae"]["value"], config.age_mae)
        yield at_least("age_within_5", overall["age_within_5"]["value"], config.age_within_5)


def _accuracy(measured: dict[str, Any], config: GateConfig) -> Iterator[GateCheck]:
    overall, adults = measured["overall"], measured[FROM_13.key]
    for head in measured["calibration_error"]:
        name = f"{head}_accuracy"
        if (least := config.accuracy(head)) is not None:
            yield at_least(name, overall[name]["value"], least)
        if head == "gender" and name in adults:
            yield at_least("gender_accuracy_from_13", adults[name]["value"], config.gender_accuracy_from_13)


def _intervals(measured: dict[str, Any], manifest: dict[str, Any], config: GateConfig) -> Iterator[GateCheck]:
    """Check the coverage of the age intervals, overall and in the worst age band with MIN_SUBGROUP_SIZE exact ages.

    An interval that holds the age overlaps its range. So the share of overlaps is at least the coverage.
    """
    stated = manifest["calibration"]["age"]["coverage"]
    if _by_ranges(measured):
        overlap = measured["overall"]["interval_overlap"]["value"]
        yield at_least("interval_overlap", overlap, max(0.0, round(stated - config.coverage_error, 4)))
        return
    if "interval_coverage" not in measured["overall"]:
        return
    found = measured["overall"]["interval_coverage"]["value"]
    yield at_most("interval_coverage_error", round(abs(found - stated), 4), config.coverage_error)
    bands = [row["interval_coverage"]["value"] for row in enough(measured["by_age_band"], "interval_coverage")]
    if bands:
        yield at_least("worst_band_coverage", min(bands), config.band_coverage)


def _calibration(measured: dict[str, Any], config: GateConfig) -> Iterator[GateCheck]:
    for head, error in measured["calibration_error"].items():
        yield at_most(f"{head}_calibration_error", error, config.calibration_error)
    yield at_most("false_positive_rate", measured["input_check"]["false_positive_rate"], config.false_positive_rate)


def _groups(measured: dict[str, Any], config: GateConfig) -> Iterator[GateCheck]:
    if worst := worst_subgroup(measured):
        mean = measured[FROM_13.key]["gender_accuracy"]["value"]
        yield at_most("worst_subgroup_gap", round(mean - worst["gender_accuracy"]["value"], 4), config.subgroup_gap)


def _live(version: str, live: LiveVerdict | None) -> Iterator[GateCheck]:
    if live and live.release == version:
        yield at_most("live_worse", len(live.worse), 0)


def _not_live(version: str, live: LiveVerdict | None) -> Iterator[str]:
    if live is None:
        return
    if live.release != version:
        yield f"The feedback is on release {live.release}, not on {version}, and is not judged."
    elif live.worse:
        yield f"Worse on live faces: {'; '.join(live.worse)}."
    elif live.status is FeedbackStatus.TOO_FEW:
        yield "The live faces with labels are too few to show that no metric is worse on them."


def against(compared: Comparison, config: GateConfig) -> Iterator[GateCheck]:
    """Check that it is no worse than the champion: each overall metric, each worse group metric, and their number."""
    if compared.obstacle:
        yield at_least(FAIR, 0, 1)
    yield from _judged(compared.overall(), config.false_overall)
    if groups := _judged(compared.groups(), config.false_in_groups):
        worse = [check for check in groups if not check.passed]
        yield from worse
        yield at_most(f"worse among {len(groups)} metrics of groups", len(worse), 0)


def _judged(rows: list[Difference], level: float) -> list[GateCheck]:
    """Check all rows at a shared `level` (Bonferroni), since each row can be a false positive."""
    return [not_worse(row, level / len(rows)) for row in rows]
