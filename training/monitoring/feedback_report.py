"""The feedback report of a release: terminal table, feedback.json, OpenMetrics and log entry."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from serving import manifest_v3
from training import text_table
from training.config import FeedbackConfig
from training.errors import StepError
from training.evaluation.metric_table import CALIBRATION_ERRORS, MetricSpec
from training.evaluation.metrics import METRICS_FILE, calibration_error
from training.labels import LABELS
from training.monitoring import feedback, live_answers
from training.monitoring.feedback import FeedbackComparison, Joined
from training.monitoring.live_metrics import SPECS, LiveFaces
from training.monitoring.live_verdict import FeedbackStatus
from training.monitoring.true_labels import TrueLabels
from training.openmetrics import Gauge
from training.registry import releases

_TITLES = ("metric", "group", "faces", "live", "expected", "limit", "verdict")
# Columns of the table with numbers.
_NUMBERS = (2, 3, 4, 5)


@dataclass(frozen=True)
class FeedbackReport:
    """Live faces with true labels, compared with a release's test faces."""

    release: str
    """Version."""
    labels: TrueLabels
    joined: Joined
    comparisons: list[FeedbackComparison]
    config: FeedbackConfig

    @property
    def verdict(self) -> FeedbackStatus:
        """Return the verdict over all comparisons."""
        return feedback.verdict(self.comparisons)

    @property
    def worse(self) -> list[str]:
        """Return what is worse, for people: "age MAE, 60+"."""
        return [title(one) for one in self.comparisons if one.verdict is FeedbackStatus.WORSE]

    @property
    def matched(self) -> int:
        """Return the number of labelled faces with an answer."""
        return len(self.labels.rows) - self.joined.missing.total()


@dataclass(frozen=True)
class Source:
    """Where the answers are: files that the caller kept, or the function's log."""

    answers: Sequence[str] = ()
    """.jsonl or .parquet files."""
    logs: str = ""
    """A file, a folder or gs://bucket/folder."""
    since: datetime | None = None
    """Requests in the log before this moment are ignored."""


def create(release: str, labels: TrueLabels, source: Source, config: FeedbackConfig) -> FeedbackReport:
    """Join labels with the answers of a release, and compare with its metrics on its test faces.

    Args:
        release: its folder or gs:// address.
        labels: the true labels.
        source: of the answers.
        config: the thresholds.

    Raises:
        StepError: the release, its metrics or the answers cannot be read.
    """
    found = releases.read(release)
    if METRICS_FILE not in found.files:
        raise StepError(f"{release} has no {METRICS_FILE} to compare with; run `python -m training evaluate` first")
    measured = manifest_v3.rename(json.loads(found.files[METRICS_FILE]))
    names = {place.name for place in labels.rows}
    if source.logs:
        answers = live_answers.from_logs(source.logs, names, source.since)
    else:
        answers = live_answers.from_files(source.answers, names)
    joined = feedback.join(labels, answers, found.version)
    comparisons = feedback.judge(joined.faces, measured, config) if joined.faces else []
    return FeedbackReport(found.version, labels, joined, comparisons, config)


def as_json(report: FeedbackReport) -> dict[str, Any]:
    """Return the report as the content of feedback.json."""
    return {
        "release": report.release,
        "verdict": report.verdict.name.lower(),
        "worse": report.worse,
        "labels": len(report.labels.rows),
        "matched": report.matched,
        "missing": dict(report.joined.missing),
        "unusable_rows": dict(report.labels.unusable),
        "groups": [*_groups(report.joined.faces, report.config)] if report.joined.faces else [],
        "calibration_error": _calibration_errors(report.joined.faces),
        "comparisons": [_comparison(one) for one in report.comparisons],
    }


def _groups(faces: LiveFaces, config: FeedbackConfig) -> Iterator[dict[str, Any]]:
    values = faces.contributions()
    for names, mask in faces.groups():
        estimates = {name: faces.estimate(values[name], mask) for name in SPECS}
        known = {name: found.as_json(SPECS[name], config.confidence) for name, found in estimates.items() if found}
        if known:
            yield {**names, "n": int(mask.sum()), **known}


def _calibration_errors(faces: LiveFaces | None) -> dict[str, float]:
    """Return the expected calibration error by head. Few faces make it large by chance."""
    if faces is None:
        return {}
    scored = faces.scored
    columns = zip(LABELS, scored.probabilities.T, scored.right().T, scored.labelled().T, strict=True)
    return {
        head: calibration_error(probabilities[known], right[known])
        for head, probabilities, right, known in columns
        if known.any()
    }


def _comparison(one: FeedbackComparison) -> dict[str, Any]:
    return {
        "metric": one.spec.name,
        "group": one.group,
        "live": one.live.as_json(one.spec, one.config.confidence),
        "expected": round(one.reference.value, 4),
        "worsening": round(one.worsening, 4),
        "counts_from": one.margin,
        "found_from": round(one.detectable, 4),
        "faces_needed": one.needed,
        "verdict": one.verdict.name.lower(),
    }


def title(one: FeedbackComparison) -> str:
    """Return the name of a comparison for people."""
    return f"{one.spec.title}, {one.group}" if one.group else one.spec.title


def table(report: FeedbackReport) -> str:
    """Return the report as a table for the terminal."""
    rows = [_TITLES, *map(_row, report.comparisons)] if report.comparisons else []
    lines = text_table.lines(rows, _NUMBERS)
    return "\n".join(
        [
            _joined(report),
            *_left_out(report),
            *lines,
            *_calibration(report),
            *map(_few, _undecided(report)),
            _conclusion(report),
        ]
    )


def _row(one: FeedbackComparison) -> tuple[str, ...]:
    live = one.live.as_json(one.spec, one.config.confidence)
    return (
        one.spec.title,
        one.group or "all",
        f"{one.live.n:,}",
        f"{one.spec.text(one.live.value)} ({one.spec.interval(live['low'], live['high'])})",
        one.spec.text(one.reference.value),
        _change(one.spec, one.margin),
        one.verdict,
    )


def _change(spec: MetricSpec, amount: float) -> str:
    return spec.difference(amount).lstrip("+")


def _joined(report: FeedbackReport) -> str:
    return (
        f"release {report.release}: {report.matched:,} of {len(report.labels.rows):,} labelled faces in "
        f"{report.labels.name} have an answer"
    )


def _left_out(report: FeedbackReport) -> Iterator[str]:
    for reason, count in report.joined.missing.most_common():
        yield f"without an answer: {count:,}: {reason}"
    for reason, count in report.labels.unusable.most_common():
        yield f"unusable: {count:,}: {reason}"
    if report.labels.first_fault:
        yield f"the first unusable row: {report.labels.first_fault}"
    if report.joined.unstated:
        yield f"{report.joined.unstated:,} answers do not state their release and count as answers of this one"


def _calibration(report: FeedbackReport) -> Iterator[str]:
    for head, error in _calibration_errors(report.joined.faces).items():
        yield f"{CALIBRATION_ERRORS[head].title}: {CALIBRATION_ERRORS[head].text(error)}"


def _conclusion(report: FeedbackReport) -> str:
    if report.worse:
        return f"worse than on the test faces: {'; '.join(report.worse)}"
    if report.verdict is FeedbackStatus.NOT_WORSE:
        return "not worse than on the test faces"
    if not report.comparisons:
        return f"nothing to judge: none of {report.matched:,} labels with an answer is an age, a gender or an ethnicity"
    return f"too few labels to judge: {', '.join(title(one) for one in _undecided(report))}"


def _undecided(report: FeedbackReport) -> list[FeedbackComparison]:
    return [one for one in report.comparisons if not one.group and one.verdict is FeedbackStatus.TOO_FEW]


def _few(one: FeedbackComparison) -> str:
    if one.live.requests < one.config.requests:
        return (
            f"{title(one)}: {one.live.requests} requests have a label and an answer, {one.config.requests} are needed"
        )
    found = f"{title(one)}: only a change of {_change(one.spec, one.detectable)} would be found"
    if not one.needed:
        return f"{found}, and the test faces are too few for less"
    return f"{found}; a change of {_change(one.spec, one.margin)} needs about {one.needed:,} labelled faces"


def gauges(report: FeedbackReport) -> Iterator[Gauge]:
    """Yield the report as OpenMetrics gauges."""
    yield Gauge("feedback_worse", "1 if a metric is worse than on the test faces.", [({}, bool(report.worse))])
    yield Gauge("feedback_labels", "Labelled faces with an answer.", [({}, report.matched)])
    rows = [({"group": one.group or "all"}, one) for one in report.comparisons]
    for name in dict.fromkeys(one.spec.name for one in report.comparisons):
        values = [(labels, one.live.value) for labels, one in rows if one.spec.name == name]
        yield Gauge(f"feedback_{name}", f"{SPECS[name].title} of live faces.", values)


def entry(report: FeedbackReport) -> dict[str, Any]:
    """Return the report as the fields of a log entry, for an alert."""
    return {
        "message": _conclusion(report),
        "release": report.release,
        "verdict": report.verdict.name.lower(),
        "worse": report.worse,
        "labels": report.matched,
    }
