"""Monitoring of a deployed release: `drift`, `feedback` and `audience`."""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from training.commands import Command
from training.config import DriftConfig, FeedbackConfig
from training.errors import StepError
from training.files import write_text

if TYPE_CHECKING:
    from training.openmetrics import Gauge

# Not 1: a scheduled retraining must not start because a bucket is unreadable.
FAILED = 3


def drift(options: argparse.Namespace) -> int:
    """Compare the logged predictions with the release's predictions for its test faces, or with earlier logs.

    Exit codes: 0 no drift or too few requests, 1 drift, 3 error, for example if no line is a log line of the function.
    """
    return _run(_drift, options)


def _drift(options: argparse.Namespace) -> int:
    from training.monitoring import drift_report

    report = drift_report.create(_release(options), options.logs, DriftConfig(), options.reference, options.since)
    print(drift_report.table(report))
    found = f"the predictions drifted: {', '.join(report.drifted)}" if report.drifted else ""
    return _tell(options, drift_report.gauges(report), drift_report.entry(report), found)


def feedback(options: argparse.Namespace) -> int:
    """Compare a release's answers for faces with true labels with its metrics on its test faces.

    Exit codes: 0 not worse or too few labels, 1 worse, 3 error, for example if no row labels a face.
    """
    return _run(_feedback, options)


def _feedback(options: argparse.Namespace) -> int:
    from training.monitoring import feedback_report, true_labels

    labels = true_labels.read(options.labels, options.columns, options.values)
    source = feedback_report.Source(options.answers or (), options.logs or "", options.since)
    report = feedback_report.create(_release(options), labels, source, FeedbackConfig())
    print(feedback_report.table(report))
    if options.output:
        _write(options.output, json.dumps(feedback_report.as_json(report), indent=1))
    found = f"release {report.release} is worse on live faces: {'; '.join(report.worse)}" if report.worse else ""
    return _tell(options, feedback_report.gauges(report), feedback_report.entry(report), found)


def _run(command: Callable[[argparse.Namespace], int], options: argparse.Namespace) -> int:
    try:
        return command(options)
    except StepError as error:
        print(f"{command.__name__.strip('_')}: {error}", file=sys.stderr)
        return FAILED


def _tell(options: argparse.Namespace, gauges: Iterable[Gauge], entry: dict[str, Any], found: str) -> int:
    """Write a verdict where the options say, send a notice of what was found, and return the exit code."""
    from training import notices, openmetrics

    if options.metrics:
        _write(options.metrics, openmetrics.render(gauges))
    if options.log_to:
        from training.monitoring import cloudlog

        cloudlog.write(options.log_to, entry, "WARNING" if found else "INFO")
    if found:
        notices.send(found)
    return 1 if found else 0


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_text(path, text)


def audience(options: argparse.Namespace) -> int:
    """Estimate the shares of genders and age bands among the faces in a release's log, corrected for its errors."""
    return _run(_audience, options)


def _audience(options: argparse.Namespace) -> int:
    from training.monitoring import audience as estimates

    found = estimates.estimate(_release(options), options.logs, options.since)
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
    _logs_argument(parser, required=True)
    _release_arguments(parser)


def _logs_argument(parser: argparse._ActionsContainer, *, required: bool = False) -> None:
    parser.add_argument(
        "--logs",
        required=required,
        help="file, folder or gs://bucket/folder with log lines of the function or entries of Cloud Logging",
    )


def _release_arguments(parser: argparse.ArgumentParser) -> None:
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
    _result_arguments(parser)


def _feedback_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--labels",
        required=True,
        metavar="TABLE",
        help="table (CSV, JSON Lines, Parquet; a file or gs://…) with request_id or file, image and face as numbers "
        "from 1 where there are several, and age, gender, ethnicity",
    )
    parser.add_argument("--columns", default="", metavar="NAME=COLUMN,…", help="other names of columns, as in prepare")
    parser.add_argument("--values", type=Path, metavar="FILE", help="words for labels, as in prepare")
    answers = parser.add_mutually_exclusive_group(required=True)
    answers.add_argument(
        "--answers",
        nargs="+",
        metavar="FILE",
        help="files of `age-gender predict --json` or `batch`, or of responses with their request_id, one a line",
    )
    _logs_argument(answers)
    _release_arguments(parser)
    parser.add_argument("--output", type=Path, metavar="FILE", help="write the report to this file, as JSON")
    _result_arguments(parser)


def _result_arguments(parser: argparse.ArgumentParser) -> None:
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


COMMANDS = (
    Command(drift, _drift_arguments),
    Command(feedback, _feedback_arguments),
    Command(audience, _audience_arguments),
)
