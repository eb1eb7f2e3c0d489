"""Monitoring of a deployed release: `drift` and `audience`."""

from __future__ import annotations

import argparse
import json
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

    report = drift_report.create(_release(options), options.logs, DriftConfig(), options.reference, options.since)
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


def audience(options: argparse.Namespace) -> int:
    """Estimate the shares of genders and age bands among the faces in a release's log, corrected for its errors."""
    from training.monitoring import audience as estimates

    try:
        found = estimates.estimate(_release(options), options.logs, options.since)
    except StepError as error:
        print(f"audience: {error}", file=sys.stderr)
        return FAILED
    print(json.dumps(found.as_json()) if options.json else "\n".join(estimates.table(found)))
    return 0


def _release(options: argparse.Namespace) -> str:
    """Return the address of the release that the options name."""
    from training.registry.registry import Registry

    if options.registry is None:
        return str(options.release)
    registry = Registry(options.registry)
    return registry.address(registry.in_production())


def _log_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--logs",
        required=True,
        help="file, folder or gs://bucket/folder with log lines of the function or entries of Cloud Logging",
    )
    which = parser.add_mutually_exclusive_group(required=True)
    which.add_argument("--release", help="folder or gs:// address of the release to check")
    which.add_argument("--registry", help="folder or gs://bucket/path of a registry: check its production release")
    parser.add_argument(
        "--since",
        type=_moment,
        metavar="WHEN",
        help="ignore earlier requests: 36h, 7d, or a date with an optional time, UTC",
    )


def _audience_arguments(parser: argparse.ArgumentParser) -> None:
    _log_arguments(parser)
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of a table")


def _drift_arguments(parser: argparse.ArgumentParser) -> None:
    _log_arguments(parser)
    parser.add_argument(
        "--reference",
        metavar="LOGS",
        default="",
        help="earlier logs to compare with, instead of the release's predictions for its test faces",
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


COMMANDS = (Command(drift, _drift_arguments), Command(audience, _audience_arguments))
