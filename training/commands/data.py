"""Commands that look at prepared data."""

from __future__ import annotations

import argparse
from pathlib import Path

from training.commands import Command
from training.config import DriftConfig
from training.files import write_text


def data_diff(options: argparse.Namespace) -> int:
    """Compare two versions of the prepared data: faces, labels, splits, distributions. Differences are no failure."""
    from training.data import diff, diff_report
    from training.data.versions import Versions

    with Versions(options.old, options.new) as both:
        found = diff.create(both, DriftConfig())
        for path, render in ((options.json, diff_report.to_json), (options.markdown, diff_report.markdown)):
            if path:
                path.parent.mkdir(parents=True, exist_ok=True)
                write_text(path, render(found))
        if options.list:
            options.list.parent.mkdir(parents=True, exist_ok=True)
            diff_report.write_list(both, options.list)
    print(diff_report.text(found))
    return 0


def _data_diff_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("old", type=Path, help="work folder of `prepare` with the old version")
    parser.add_argument("new", type=Path, help="work folder of `prepare` with the new version")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all counts to this file, as JSON")
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="write the report to this file, as Markdown")
    parser.add_argument(
        "--list", type=Path, metavar="FILE", help="write each changed face with path and labels to this file, as CSV"
    )


COMMANDS = (Command(data_diff, _data_diff_arguments),)
