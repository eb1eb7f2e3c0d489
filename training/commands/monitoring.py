"""Monitoring of a deployed release: `drift`."""

from __future__ import annotations

import argparse
import re
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

from training.commands import Command
from training.config import DriftConfig
from training.errors import StepError
from training.files import write_text

# Not 1: a scheduled retraining must not start because a bucket is unreadable.
FAILED = 3


def drift(options: argparse.Namespace) -> int:
    """Compare the logged predictions with the release's predictions for its test faces, or with earlier logs.

    Exit codes: 0 no drift or too few requests, 1 drift, 3 error, for example if no line is a log line of the function.
    """
    try:
        return _drift(options)
    except StepError as error:
        print(f"drift: {error}", file=sys.stderr)
        return FAILED


def _drift(options: argparse.Namespace) -> int:
    from training import notices, openmetrics
    from training.monitoring import drift_report
    from training.registry.registry import Registry

    release = options.release
    if options.registry is not None:
        registry = Registry(options.registry)
        release = registry.address(registry.in_production())
    report = drift_report.create(release, options.logs, DriftConfig(), options.reference, options.since)
    print(drift_report.table(report))
    if options.metrics:
        options.metrics.parent.mkdir(parents=True, exist_ok=True)
        write_text(options.metrics, openmetrics.render(drift_report.gauges(report)))
    if options.log_to:
        from training.monitoring import cloudlog

        cloudlog.write(options.log_to, drift_report.entry(report), "WARNING" if report.drifted else "INFO")
    if report.drifted:
        notices.send(f"the predictions drifted: {', '.join(report.drifted)}")
    return 1 if report.drifted else 0


def _drift_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--logs",
        required=True,
        help="file, folder or gs://bucket/folder with log lines of the function or entries of Cloud Logging",
    )
    which = parser.add_mutually_exclusive_group(required=True)
    which.add_argument("--release", help="folder or gs:// address of the release to check")
    which.add_argument("--registry", help="folder or gs://bucket/path of a registry: check its production release")
    parser.add_argument(
        "--reference",
        metavar="LOGS",
        default="",
        help="earlier logs to compare with, instead of the release's predictions for its test faces",
    )
    parser.add_argument(
        "--since",
        type=_moment,
        metavar="WHEN",
        help="ignore earlier requests: 36h, 7d, or a date with an optional time, UTC",
    )
    parser.add_argument("--metrics", type=Path, metavar="FILE", help="write the metrics to this file, as OpenMetrics")
    parser.add_argument(
        "--log-to", metavar="LOG", help="write the verdict to the log projects/<project>/logs/<name>, for an alert"
    )


def _moment(text: str) -> datetime:
    """Parse a moment (UTC by default) or a time ago."""
    if ago := re.fullmatch(r"(\d{1,5})([hd])", text):
        return datetime.now(UTC) - timedelta(hours=int(ago[1]) * (24 if ago[2] == "d" else 1))
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r} is not a date, 36h or 7d") from error
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


COMMANDS = (Command(drift, _drift_arguments),)
