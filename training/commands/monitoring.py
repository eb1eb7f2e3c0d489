"""What a deployed release does, seen from its log."""

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

# Whoever retrains where answers drift must not do so where a bucket cannot be read.
UNSEEN = 3


def drift(options: argparse.Namespace) -> int:
    """Compare served answers with those expected; exit code 1 where they have drifted.

    0: nothing has, or too little was asked to tell. 3: it could not be seen, or the verdict not be written.
    """
    try:
        return _drift(options)
    except StepError as error:
        print(f"drift: {error}", file=sys.stderr)
        return UNSEEN


def _drift(options: argparse.Namespace) -> int:
    from training import openmetrics
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
    return 1 if report.drifted else 0


def _drift_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--logs",
        required=True,
        help="file, folder or gs://bucket/folder of lines, as the function writes them or as Cloud Logging's entries",
    )
    which = parser.add_mutually_exclusive_group(required=True)
    which.add_argument("--release", help="folder or gs:// address of the release whose lines are looked at")
    which.add_argument("--registry", help="folder or gs://bucket/path of the releases: the one in production")
    parser.add_argument(
        "--reference",
        metavar="LOGS",
        default="",
        help="an earlier stretch of the log to compare with, instead of the release's answers on the test faces",
    )
    parser.add_argument(
        "--since",
        type=_moment,
        metavar="WHEN",
        help="leave out earlier requests: 36h, 7d, or a date with or without a time, UTC",
    )
    parser.add_argument("--metrics", type=Path, metavar="FILE", help="write the metrics there too, as OpenMetrics text")
    parser.add_argument(
        "--log-to", metavar="LOG", help="write the verdict as an entry of projects/<project>/logs/<name>, for an alert"
    )


def _moment(text: str) -> datetime:
    """A moment, UTC unless it says otherwise, or as long ago as it says."""
    if ago := re.fullmatch(r"(\d{1,5})([hd])", text):
        return datetime.now(UTC) - timedelta(hours=int(ago[1]) * (24 if ago[2] == "d" else 1))
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r} is neither a date nor 36h or 7d") from error
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


COMMANDS = (Command(drift, _drift_arguments),)
