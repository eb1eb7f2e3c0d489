"""The drift report of a release: terminal table, OpenMetrics and log entry."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from serving import manifest_v3
from training import text_table
from training.config import DriftConfig
from training.errors import StepError
from training.evaluation.metrics import METRICS_FILE
from training.monitoring import drift, logfiles, traffic
from training.monitoring.traffic import Traffic
from training.openmetrics import Gauge
from training.registry import releases
from training.stability import DriftComparison, DriftStatus, compare

_TITLES = ("measure", "images", "PSI", "corrected", "limit", "verdict", "moved most")
# Columns of the table with numbers.
_NUMBERS = (1, 2, 3, 4)


@dataclass(frozen=True)
class DriftReport:
    """The served traffic of a release, compared with a reference."""

    traffic: Traffic
    reference: str
    """The reference in words."""
    comparisons: list[DriftComparison]

    @property
    def drifted(self) -> list[str]:
        """Return the names of the drifted measures."""
        return [one.measure for one in self.comparisons if one.verdict is DriftStatus.DRIFTED]

    @property
    def verdict(self) -> DriftStatus:
        """Return the verdict over all measures."""
        if self.drifted:
            return DriftStatus.DRIFTED
        judged = [one for one in self.comparisons if one.verdict is DriftStatus.STABLE]
        return DriftStatus.STABLE if judged else DriftStatus.TOO_FEW


def create(
    release: str, logs: str, config: DriftConfig, reference: str = "", since: datetime | None = None
) -> DriftReport:
    """Compare the logged predictions of a release with those for its test faces, or with earlier logs.

    Args:
        release: its folder or gs:// address.
        logs: a file, a folder or gs://bucket/folder.
        config: the thresholds.
        reference: earlier logs; "" compares with the test faces.
        since: requests in `logs` before this moment are ignored.

    Raises:
        StepError: the release, its metrics or a log is missing, or no line of a log is a line of the function.
    """
    found = releases.read(release)
    manifest = found.manifest
    if reference:
        earlier = _counted(reference, manifest)
        words, expected = f"{earlier.answered:,} predictions of the reference log", drift.of_traffic(earlier)
    else:
        if METRICS_FILE not in found.files:
            raise StepError(f"{release} has no {METRICS_FILE}; compare with an earlier log: --reference")
        measured = manifest_v3.rename(json.loads(found.files[METRICS_FILE]))
        words = f"its predictions for {measured['faces']:,} test faces"
        expected = drift.of_release(measured, manifest)
    served = _counted(logs, manifest, since)
    return DriftReport(served, words, compare(expected, drift.of_traffic(served), config))


def _counted(logs: str, manifest: dict[str, Any], since: datetime | None = None) -> Traffic:
    counted = traffic.count(logfiles.lines(logs, since), manifest, since)
    # With `since`, all files can be older: a function without requests is no error.
    if not counted.of_function and (counted.lines or since is None):
        damaged = f", {counted.damaged:,} of them damaged" if counted.damaged else ""
        raise StepError(
            f"{logs}: none of the {counted.lines:,} lines is a log line of the function{damaged}; expected its "
            "JSON lines (LOG_LEVEL=INFO), also as written by docker, kubectl or compose, or entries of Cloud Logging "
            "as JSON"
        )
    return counted


def table(report: DriftReport) -> str:
    """Return the report as a table for the terminal."""
    rows = [_TITLES, *map(_row, report.comparisons)] if report.comparisons else []
    lines = text_table.lines(rows, _NUMBERS)
    return "\n".join([_served(report), *lines, _quality(report.traffic), _rest(report.traffic), _conclusion(report)])


def gauges(report: DriftReport) -> Iterator[Gauge]:
    """Yield the report as OpenMetrics gauges."""
    served, measures = report.traffic, [({"measure": one.measure}, one) for one in report.comparisons]
    yield Gauge("drift_detected", "1 if a measure has drifted.", [({}, report.verdict is DriftStatus.DRIFTED)])
    yield Gauge("drift_psi", "Population stability index, uncorrected.", [(name, one.psi) for name, one in measures])
    corrected = [(name, one.corrected) for name, one in measures]
    yield Gauge("drift_psi_corrected", "Population stability index minus its mean without drift.", corrected)
    yield Gauge("drift_requests", "Prediction requests in the log.", [({}, served.requests)])
    yield Gauge(
        "drift_server_error_share", "Share of the requests with a 5xx response.", [({}, served.server_error_share)]
    )
    yield Gauge("drift_images", "Images in the log.", [({}, served.images)])
    yield Gauge("drift_failed_share", "Share of the images with an error.", [({}, served.failed_share)])
    warned = [({"code": code}, share) for code, share in served.warned_shares.items()]
    yield Gauge("drift_warned_share", "Share of the predictions with a warning.", warned)
    yield Gauge("drift_damaged_lines", "Unreadable lines.", [({}, served.damaged)])


def entry(report: DriftReport) -> dict[str, Any]:
    """Return the report as the fields of a log entry, for an alert."""
    return {
        "message": _conclusion(report),
        "release": report.traffic.release,
        "verdict": report.verdict.name.lower(),
        "drifted": report.drifted,
        "psi": {one.measure: round(one.corrected, 4) for one in report.comparisons},
        "images": report.traffic.answered,
    }


def _row(one: DriftComparison) -> tuple[str, ...]:
    name, before, now = one.moved()
    moved = f"{name}: {before:.1%} -> {now:.1%}"
    metrics = f"{one.psi:.4f}", f"{one.corrected:.4f}", f"{one.config.psi:.4f}"
    return one.measure, f"{one.images:,}", *metrics, one.verdict, moved


def _served(report: DriftReport) -> str:
    served = report.traffic
    return (
        f"release {served.release}: {served.requests:,} requests with {served.images:,} images, compared with "
        f"{report.reference}"
    )


def _quality(served: Traffic) -> str:
    warned = ", ".join(f"{code} {share:.1%}" for code, share in served.warned_shares.items() if share)
    return (
        f"failed: {served.failed_share:.1%} of the images; warnings: {warned or 'none'}; "
        f"server errors: {served.server_error_share:.1%} of the requests"
    )


def _rest(served: Traffic) -> str:
    named = f" such as {served.other_release}" if served.other_release else ""
    return (
        f"other lines: {served.damaged:,} damaged, {served.of_other_releases:,} of other releases{named}, "
        f"{served.others:,} that are not prediction requests"
    )


def _conclusion(report: DriftReport) -> str:
    if report.drifted:
        return f"drifted: {', '.join(report.drifted)}"
    if report.verdict is DriftStatus.STABLE:
        return "no drift"
    return f"too few requests to judge: {report.traffic.requests_answered:,} with a prediction"
