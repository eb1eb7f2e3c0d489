"""Summaries of an evaluation: the gate's section of the report, a merge request comment, metrics for GitLab."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from training.evaluation.comparison import Comparison, Difference
from training.evaluation.gate_result import GateResult
from training.evaluation.metric_table import (
    CALIBRATION_ERRORS,
    COMPARED,
    FALSE_POSITIVES,
    GENDER_FROM_13,
    MEASURED,
    MODEL_BYTES,
    MetricSpec,
)
from training.evaluation.report import REPORT_FILE, local_report
from training.files import write_text
from training.openmetrics import Gauge
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
    values = {
        "measured": measured,
        "compared": compared,
        "result": result,
        "specs": COMPARED,
        "overall": [_row(row, result) for row in compared.overall()],
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
    overall, adults = measured["overall"], measured["from_13_years"]
    for name, spec in MEASURED.items():
        yield _gauge(spec, overall[name]["value"])
    if adults["n"]:
        yield _gauge(GENDER_FROM_13, adults["gender_accuracy"]["value"])
    for head, error in measured["calibration_error"].items():
        yield _gauge(CALIBRATION_ERRORS[head], error)
    yield _gauge(FALSE_POSITIVES, measured["input_check"]["false_positive_rate"])
    yield _gauge(MODEL_BYTES, size)


def _gauge(spec: MetricSpec, value: float) -> Gauge:
    return Gauge(spec.gauge_name, spec.title, [({}, value)])


@dataclass(frozen=True)
class _Shown:
    """A difference as text."""

    title: str
    n: int
    champion: str
    challenger: str
    difference: str
    interval: str
    worse: bool


def _row(row: Difference, result: GateResult | None) -> _Shown:
    spec = row.spec
    return _Shown(
        title=spec.title,
        n=row.n,
        champion=spec.text(row.champion),
        challenger=spec.text(row.challenger),
        difference=spec.difference(row.difference),
        interval=f"{spec.number(row.low, '+')} to {spec.number(row.high, '+')}",
        worse=result is not None and row.name in result.failed,
    )


def _groups(compared: Comparison, result: GateResult | None) -> Iterator[tuple[str, list[_Shown]]]:
    """Yield the name and the differences of each group."""
    rows = compared.groups()
    for group in dict.fromkeys(row.group for row in rows):
        yield group, [_row(row, result) for row in rows if row.group == group]
