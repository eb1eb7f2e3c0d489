"""Commands from labelled faces to prepared data, and between versions of it."""

from __future__ import annotations

import argparse
import dataclasses
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from serving import addresses
from serving.addresses import AddressError
from training.commands import Command, force, positive, preset, work
from training.config import FACES, DriftConfig, PrepareConfig
from training.errors import StepError
from training.files import write_text
from training.labels import PATTERN
from training.presets import PRESETS
from training.quiet import hide_runtime_messages

if TYPE_CHECKING:
    from training.data.labelling import Labelling
    from training.data.shards import Fingerprint


def fetch(options: argparse.Namespace) -> int:
    """Download an archive of faces from a bucket, unless the same object is already there."""
    from training.fetch import fetch

    copy, fetched = fetch(options.uri, options.folder)
    print(f"{copy}: {copy.stat().st_size} bytes, {'fetched' if fetched else 'already there'}")
    return 0


def _fetch_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("uri", help="gs://bucket/path of the archive")
    parser.add_argument("folder", type=Path, help="folder for the copy")


def store(options: argparse.Namespace) -> int:
    """Copy a folder to a bucket, for a later job. Files that are there already are not sent again."""
    from training.registry.folders import store

    print(f"{options.uri}: {store(options.folder, options.uri)} objects uploaded")
    return 0


def restore(options: argparse.Namespace) -> int:
    """Copy a folder that `store` left in a bucket back. Without a complete copy nothing is written."""
    from training.registry.folders import restore

    found = restore(options.uri, options.folder)
    print(f"{options.uri}: {'nothing there' if found is None else f'{found} files in {options.folder}'}")
    return 0


def _store_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("folder", type=Path, help="folder to copy")
    parser.add_argument("uri", help="gs://bucket/path/name of the copy")


def _restore_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("uri", help="gs://bucket/path/name of the copy")
    parser.add_argument("folder", type=Path, help="folder that does not exist or is empty")


def draw(options: argparse.Namespace) -> int:
    """Generate synthetic labelled faces for a smoke test."""
    from training.faces import write_faces

    write_faces(options.folder, options.count)
    print(f"{options.folder}: {options.count} drawn faces")
    return 0


def _draw_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("folder", type=Path, help="output folder")
    parser.add_argument("--count", type=positive, default=600, help="number of faces (default: 600)")


def prepare(options: argparse.Namespace) -> int:
    """Read labelled faces and write splits, shards, index.csv, rejected.csv and the exploration page."""
    from training.commands import skips
    from training.data import coverage, labelling, readers
    from training.data.label_options import LabelOptions

    readers.require(options.data)
    chosen = LabelOptions(tuple(options.labels), options.columns, options.values, options.group)
    labels, config = labelling.choose(options.data, chosen), prepare_config(options)
    step = skips.prepare(options, config)
    if skips.prepared(step, options):
        return 0
    from training.prepare import prepare

    for line in labels.description():
        print(line, flush=True)
    if config.align:
        hide_runtime_messages()
    fingerprint = prepare(options.data, options.work / "data", config, options.expect, labels)
    step.finish()
    report(fingerprint, labels, coverage.find(options.work / "data"), str(options.work / "data"))
    return 0


def report(fingerprint: Fingerprint, labels: Labelling, gaps: list[str], data: str) -> None:
    """Print the counts, the fingerprint and the warnings of the faces prepared in the folder `data`."""
    from training.data.preparation import summary

    print(summary(fingerprint), *labels.account(), sep="\n")
    if fingerprint.copies:
        print(f"folded {fingerprint.copies} copies: files with the same bytes and labels count as one face")
    print(f"fingerprint: {fingerprint.sha256}")
    for gap in (*labels.warnings(), *gaps):
        print(f"warning: {gap}", file=sys.stderr)
    print(f"exploration: {data}/exploration/index.html")


def prepare_config(options: argparse.Namespace) -> PrepareConfig:
    """Return the configuration of `prepare` for its options.

    Raises:
        StepError: --faces is without --align.
    """
    config = PRESETS[options.preset].prepare
    if options.size:
        config = dataclasses.replace(config, size=options.size)
    if options.faces and not options.align:
        raise StepError("--faces chooses among the faces that --align finds; add --align")
    return dataclasses.replace(config, align=options.align, faces=options.faces or config.faces)


def _prepare_arguments(parser: argparse.ArgumentParser) -> None:
    work(parser)
    parser.add_argument(
        "--data",
        type=local,
        required=True,
        help=f"folder, .tar, .tar.gz or .zip of faces named {PATTERN}, or labelled by a table",
    )
    label_arguments(parser, local)
    face_arguments(parser)
    force(parser, "prepare again although the same faces were prepared in the same way")


def face_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options about how faces are prepared."""
    parser.add_argument("--size", type=positive, help="side of the faces in pixels (default: the preset's)")
    parser.add_argument(
        "--expect",
        metavar="SHA256",
        default="",
        help="required fingerprint, as an earlier run printed it for this size (default: any)",
    )
    parser.add_argument(
        "--align",
        action="store_true",
        help="the files are photographs: find the face of each and align it as `POST /detect` does; files named "
        "*.chip.jpg are taken as they are",
    )
    parser.add_argument(
        "--faces",
        choices=FACES,
        help="with --align: reject a photograph of several faces (only), or take its largest face (default: only)",
    )
    preset(parser, "preset with the size of the faces")


def label_arguments(parser: argparse.ArgumentParser, table: Callable[[str], Any]) -> None:
    """Add the options about labels. `table` returns the value for the address of a table."""
    parser.add_argument(
        "--labels",
        metavar="TABLE",
        type=table,
        nargs="+",
        action="extend",
        default=[],
        help="tables of labels: .csv, .tsv, .jsonl or .parquet; `names` for the names of the files "
        "(default: metadata.csv, .jsonl or .parquet among the faces, else the names)",
    )
    parser.add_argument(
        "--columns",
        metavar="NAME=COLUMN,…",
        default="",
        help="columns with other names, for example age=AGE,gender=sex,file=photo; an empty one leaves a label out",
    )
    parser.add_argument(
        "--values",
        metavar="FILE",
        type=local,
        help="labels of words: a CSV with column, found and label, or JSON such as "
        '{"gender": {"femme": "female"}}; an empty label is a missing one',
    )
    parser.add_argument(
        "--group",
        metavar="COLUMN",
        default="",
        help="column of what belongs into one split: a person, a video (default: near-duplicates only)",
    )


def local(text: str) -> Path:
    """Return the path of a dataset, or let argparse refuse another address."""
    try:
        address = addresses.parse(text)
    except AddressError as error:
        raise argparse.ArgumentTypeError(f"{error}") from error
    if address.bucket:
        raise argparse.ArgumentTypeError(
            f"{text} is in Cloud Storage; `fetch` it, then name the copy, or use `prepare-beam`"
        )
    return Path(address.path)


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


COMMANDS = (
    Command(fetch, _fetch_arguments),
    Command(store, _store_arguments),
    Command(restore, _restore_arguments),
    Command(draw, _draw_arguments),
    Command(prepare, _prepare_arguments),
    Command(data_diff, _data_diff_arguments),
)
