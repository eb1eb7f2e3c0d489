"""What others read of an evaluation: a section of the report, a comment on a merge request, GitLab's metrics."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from training.evaluation.comparison import COMPARED, Comparison, Difference
from training.evaluation.gate_result import GateResult
from training.evaluation.report import REPORT_FILE, TITLES, local_report
from training.files import write_text
from training.openmetrics import Gauge
from training.templating import render

COMMENT_FILE = "comparison.md"
OPEN_METRICS_FILE = "metrics.txt"
# Around the section in report.html, which `evaluate` writes first and `gate` replaces.
_BEGIN, _END = "<!-- gate -->", "<!-- end of gate -->"


def write(folder: Path, measured: dict[str, Any], compared: Comparison, result: GateResult | None = None) -> None:
    """Write the comment beside `folder`, and the section into the reports on the release in it.

    Args:
        folder: the release.
        measured: as `metrics.measure` gives it, with the version and the number of faces.
        compared: with the champion.
        result: None before the gate.
    """
    values = {
        "measured": measured,
        "compared": compared,
        "result": result,
        "titles": {metric: TITLES[metric] for metric in COMPARED},
        "overall": [_row(row, result) for row in compared.overall()],
        "groups": list(_groups(compared, result)),
    }
    write_text(folder.with_name(COMMENT_FILE), render("comparison.md", **values))
    section = render("gate.html", **values)
    for path in (folder / REPORT_FILE, local_report(folder)):
        if path.is_file():
            before, _, rest = path.read_text().partition(_BEGIN)
            write_text(path, f"{before}{_BEGIN}\n{section}{_END}{rest.partition(_END)[2]}")


def gauges(measured: dict[str, Any], size: int) -> Iterator[Gauge]:
    """The metrics for GitLab, which shows how they differ from the target branch's.

    Args:
        measured: as `metrics.measure` gives it.
        size: of the model file, bytes.
    """
    overall, adults = measured["overall"], measured["from_13_years"]
    yield _gauge("age_mae_years", TITLES["age_mae"], overall["age_mae"]["value"])
    for name, title in TITLES.items():
        if name != "age_mae":
            yield _gauge(f"{name}_ratio", title, overall[name]["value"])
    if adults["n"]:
        right = adults["gender_accuracy"]["value"]
        yield _gauge("gender_accuracy_from_13_years_ratio", f"{TITLES['gender_accuracy']}, 13 and older", right)
    for head, error in measured["calibration_error"].items():
        yield _gauge(f"{head}_calibration_error_ratio", "expected calibration error", error)
    yield _gauge(
        "false_positive_ratio", "faces warned of as if they were none", measured["input_check"]["false_positive_rate"]
    )
    yield _gauge("model_bytes", "of the model file", size)


def _gauge(name: str, meaning: str, value: float) -> Gauge:
    return Gauge(name, meaning, [({}, value)])


@dataclass(frozen=True)
class _Shown:
    """A difference as text; a share's in percent points."""

    metric: str
    n: int
    champion: str
    challenger: str
    difference: str
    interval: str
    worse: bool


def _row(row: Difference, result: GateResult | None) -> _Shown:
    scale, unit, digits = (1, "", 2) if row.metric == "age_mae" else (100, " %", 1)
    return _Shown(
        metric=row.metric,
        n=row.n,
        champion=f"{scale * row.champion:.{digits}f}{unit}",
        challenger=f"{scale * row.challenger:.{digits}f}{unit}",
        difference=f"{scale * row.difference:+.{digits}f}",
        interval=f"{scale * row.low:+.{digits}f} to {scale * row.high:+.{digits}f}",
        worse=result is not None and row.name in result.failed,
    )


def _groups(compared: Comparison, result: GateResult | None) -> Iterator[tuple[str, list[_Shown]]]:
    """A name and its metrics, for each group."""
    rows = compared.groups()
    for group in dict.fromkeys(row.group for row in rows):
        yield group, [_row(row, result) for row in rows if row.group == group]
