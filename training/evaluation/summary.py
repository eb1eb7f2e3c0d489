"""Summaries of an evaluation: the gate's section of the report, a merge request comment, metrics for GitLab."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, NamedTuple

from training.evaluation import baseline, tables
from training.evaluation.age_groups import measured_groups
from training.evaluation.comparison import Comparison, Difference
from training.evaluation.gate_result import GateResult
from training.evaluation.metric_table import (
    AT_AGES,
    CALIBRATION_ERRORS,
    COMPARED,
    COMPARED_RANGES,
    FALSE_POSITIVES,
    MODEL_BYTES,
    MetricSpec,
    spec,
)
from training.evaluation.metrics import MIN_SUBGROUP_SIZE
from training.evaluation.report import local_report
from training.files import write_text
from training.openmetrics import Gauge
from training.registry.registry import REPORT_FILE
from training.templating import render

COMMENT_FILE = "comparison.md"
OPEN_METRICS_FILE = "metrics.txt"
# Around the section of report.html that `evaluate` writes first and `gate` replaces.
_BEGIN, _END = "<!-- gate -->", "<!-- end of gate -->"


def write(folder: Path, measured: dict[str, Any], compared: Comparison, result: GateResult | None = None) -> None:
    """Write comparison.md beside `folder`, and the gate's section into the reports.

    Args:
        folder: the release.
        measured: content of metrics.json.
        compared: the comparison with the champion.
        result: None before the gate.
    """
    overall = [_row(row, result) for row in compared.overall()]
    values = {
        "measured": measured,
        "compared": compared,
        "result": result,
        "interval": tables.interval_title(measured),
        "baseline": baseline.sentence(measured),
        "labelled": tables.labelled(measured),
        "not_better": baseline.not_better(measured),
        "tiles": _tiles(measured, overall),
        "ages": list(_at_ages(measured, compared)),
        "words": list(_words(overall, list(compared.groups()), result)),
        "overall": overall,
        "groups": list(_groups(compared, result)),
    }
    write_text(folder.with_name(COMMENT_FILE), render("comparison.md", **values))
    section = render("gate.html", **values)
    for path in (folder / REPORT_FILE, local_report(folder)):
        if path.is_file():
            before, _, rest = path.read_text(encoding="utf-8").partition(_BEGIN)
            write_text(path, f"{before}{_BEGIN}\n{section}{_END}{rest.partition(_END)[2]}")


def gauges(measured: dict[str, Any], size: int) -> Iterator[Gauge]:
    """Yield the metrics for GitLab, which compares them with those of the target branch.

    Args:
        measured: content of metrics.json.
        size: of the model file, bytes.
    """
    for name, shown in tables.shown(measured).items():
        yield _gauge(shown, measured["overall"][name]["value"])
    for group in measured_groups(measured):
        if group.metric in measured[group.key]:
            yield _gauge(AT_AGES[group], measured[group.key][group.metric]["value"])
    for head, error in measured["calibration_error"].items():
        yield _gauge(CALIBRATION_ERRORS[head], error)
    yield _gauge(FALSE_POSITIVES, measured["input_check"]["false_positive_rate"])
    yield _gauge(MODEL_BYTES, size)


def _gauge(spec: MetricSpec, value: float) -> Gauge:
    return Gauge(spec.gauge_name, spec.title, [({}, value)])


class _Outcome(StrEnum):
    """A difference from the champion, in words."""

    BETTER = "better"
    SAME = "no clear difference"
    MAYBE_WORSE = "maybe worse"
    WORSE = "worse"


@dataclass(frozen=True)
class _Shown:
    """A difference from the champion, as text."""

    metric: str
    title: str
    n: int
    champion: str
    challenger: str
    difference: str
    interval: str
    outcome: _Outcome

    @property
    def worse(self) -> bool:
        return self.outcome is _Outcome.WORSE


def _row(row: Difference, result: GateResult | None) -> _Shown:
    spec = row.spec
    return _Shown(
        metric=row.metric,
        title=spec.title,
        n=row.n,
        champion=spec.text(row.champion),
        challenger=spec.text(row.challenger),
        difference=spec.difference(row.difference),
        interval=f"{spec.number(row.low, '+')} to {spec.number(row.high, '+')}",
        outcome=_outcome(row, result),
    )


def _outcome(row: Difference, result: GateResult | None) -> _Outcome:
    """Return WORSE only if the gate says so; its bound is stricter than the interval."""
    if result and row.name in result.failed:
        return _Outcome.WORSE
    ends = row.spec.worse_sign * row.low, row.spec.worse_sign * row.high
    if max(ends) < 0:
        return _Outcome.BETTER
    return _Outcome.MAYBE_WORSE if min(ends) > 0 else _Outcome.SAME


class _Tile(NamedTuple):
    """A metric beside the baseline and the champion; the latter is "" without one."""

    title: str
    value: str
    interval: str
    baseline: str
    champion: str
    outcome: str


# Champion and outcome of a metric that was not compared.
_UNCOMPARED = ("", "not compared")


def _tiles(measured: dict[str, Any], overall: list[_Shown]) -> list[_Tile]:
    """Return the metrics that the gate compares."""
    champion = {row.metric: (row.champion, row.outcome.value) for row in overall}
    return [
        _Tile(*row[1:], *champion.get(row.name, _UNCOMPARED))
        for row in tables.beside_baseline(measured)
        if row.name in {**COMPARED, **COMPARED_RANGES}
    ]


def _at_ages(measured: dict[str, Any], compared: Comparison) -> Iterator[_Tile]:
    """Yield the metric that each group of ages is known for. The gate does not compare it."""
    champion = {(row.group, row.metric): _row(row, None) for row in compared.ages}
    for group in measured_groups(measured):
        for row in tables.beside_baseline(measured, group.key):
            if row.name == group.metric:
                before = champion.get((group.title, row.name))
                against = (before.champion, before.outcome.value) if before else _UNCOMPARED
                yield _Tile(AT_AGES[group].title, *row[2:], *against)


def _words(overall: list[_Shown], groups: list[Difference], result: GateResult | None) -> Iterator[str]:
    """Yield one sentence for each outcome over all faces, and one about the groups."""
    meaning = {
        _Outcome.WORSE: "Worse, which fails the gate",
        _Outcome.MAYBE_WORSE: "Maybe worse, not clearly enough to fail the gate",
        _Outcome.SAME: "No clear difference",
        _Outcome.BETTER: "Better",
    }
    for outcome, words in meaning.items():
        rows = [f"{row.title} {row.challenger}, champion {row.champion}" for row in overall if row.outcome is outcome]
        if rows:
            yield f"{words}: {'; '.join(rows)}."
    if groups and result:
        worse = [f"{row.spec.title}, {row.group}" for row in groups if row.name in result.failed]
        found = f"worse are {'; '.join(worse)}" if worse else "none is worse"
        yield f"Of {len(groups)} metrics of groups with at least {MIN_SUBGROUP_SIZE} faces, {found}."


def _groups(compared: Comparison, result: GateResult | None) -> Iterator[tuple[str, list[_Shown]]]:
    """Yield the name of each group and its differences, one for each metric of all faces: `_missing` if too few."""
    rows = compared.groups()
    metrics = [row.metric for row in compared.overall()]
    for group in dict.fromkeys(row.group for row in rows):
        found = {row.metric: _row(row, result) for row in rows if row.group == group}
        yield group, [found.get(metric) or _missing(metric, max(row.n for row in found.values())) for metric in metrics]


def _missing(metric: str, n: int) -> _Shown:
    """Return a metric for which a group of `n` faces has too few labels."""
    return _Shown(metric, spec(metric).title, n, "", "", "", "too few", _Outcome.SAME)
