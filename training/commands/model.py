"""Commands from labelled faces to a release."""

from __future__ import annotations

import argparse
import dataclasses
import os
import sys
from pathlib import Path

from serving import addresses
from serving.addresses import AddressError
from training.commands import Command, positive, signing, work
from training.config import ConvertConfig, EvaluateConfig, with_values
from training.errors import StepError
from training.labels import PATTERN
from training.presets import PRESETS, RENAMED
from training.quiet import hide_runtime_messages


def fetch(options: argparse.Namespace) -> int:
    """Download an archive of faces from a bucket, unless the same object is already there."""
    from training.fetch import fetch

    copy, fetched = fetch(options.uri, options.folder)
    print(f"{copy}: {copy.stat().st_size} bytes, {'fetched' if fetched else 'already there'}")
    return 0


def _fetch_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("uri", help="gs://bucket/path of the archive")
    parser.add_argument("folder", type=Path, help="folder for the copy")


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
    from training.data import coverage, readers

    readers.require(options.data)
    from training.prepare import prepare, summary

    config = PRESETS[options.preset].prepare
    if options.size:
        config = dataclasses.replace(config, size=options.size)
    fingerprint = prepare(options.data, options.work / "data", config, options.expect)
    print(summary(fingerprint))
    if fingerprint.copies:
        print(f"folded {fingerprint.copies} copies: files with the same bytes and labels count as one face")
    print(f"fingerprint: {fingerprint.sha256}")
    for gap in coverage.find(options.work / "data"):
        print(f"warning: {gap}", file=sys.stderr)
    print(f"exploration: {options.work / 'data' / 'exploration' / 'index.html'}")
    return 0


def _prepare_arguments(parser: argparse.ArgumentParser) -> None:
    work(parser)
    parser.add_argument(
        "--data",
        type=_local,
        required=True,
        help=f"folder, .tar, .tar.gz or .zip of faces named {PATTERN}",
    )
    parser.add_argument("--size", type=positive, help="side of the faces in pixels (default: the preset's)")
    parser.add_argument(
        "--expect",
        metavar="SHA256",
        default="",
        help="required fingerprint, as an earlier run printed it for this size (default: any)",
    )
    _preset(parser, "preset with the size of the faces")


def train(options: argparse.Namespace) -> int:
    """Train a preset's network on the prepared faces and keep the best epoch."""
    named = {
        "init_from": options.init_from,
        "teachers": options.teacher and tuple(options.teacher),
        "other": options.other and str(options.other),
    }
    chosen = {name: value for name, value in named.items() if value is not None}
    config = with_values(dataclasses.replace(PRESETS[options.preset].train, **chosen), options.values)
    # Imported after the options are checked, because it takes as long as the rest together.
    from training import runs
    from training.learning import inputs

    data, folder = options.work / "data", options.work / "model"
    trust = signing.trust_if_any(options)
    if not (options.resume and runs.exists(folder)):
        inputs.require(data, config, trust)
    hide_runtime_messages()
    from training.train import train

    print(f"best model: {train(data, folder, config, options.preset, options.resume, trust)}")
    return 0


def _train_arguments(parser: argparse.ArgumentParser) -> None:
    work(parser)
    _preset(parser, "preset to train")
    parser.add_argument("--resume", action="store_true", help="continue after the last completed epoch")
    parser.add_argument(
        "--init-from",
        metavar="RELEASE",
        help="initial weights: folder or gs:// address of a release to fine-tune, "
        '"bundled", "faceres", "imagenet", or "" for random ones (default: the preset\'s)',
    )
    parser.add_argument(
        "--other",
        metavar="DATA",
        type=Path,
        help="output of `prepare` with other faces, on which the release with the initial weights stays as good",
    )
    parser.add_argument(
        "--teacher",
        metavar="RELEASE",
        action="append",
        help="folder or gs:// address of a release to distill from; can be repeated",
    )
    parser.add_argument(
        "--set",
        metavar="NAME=VALUE",
        dest="values",
        action="append",
        default=[],
        help="change a number of the preset, for example epochs=30; training/config.py explains them; can be repeated",
    )
    signing.trust_arguments(parser)


def convert(options: argparse.Namespace) -> int:
    """Convert the best model to TFLite and calibrate it."""
    from training import runs
    from training.data import shards
    from training.learning import checkpoints

    data, trained = options.work / "data", options.work / "model"
    runs.load(trained)
    checkpoints.find(trained, options.epoch)
    shards.fingerprint(data)
    hide_runtime_messages()
    from training.convert import convert

    manifest = convert(data, trained, options.work / "release", ConvertConfig(epoch=options.epoch))
    model = manifest["model"]
    print(f"release {manifest['version']}: {model['precision']}, {model['bytes']} bytes, SHA-256 {model['sha256']}")
    return 0


def _convert_arguments(parser: argparse.ArgumentParser) -> None:
    work(parser)
    parser.add_argument(
        "--epoch", type=positive, default=0, help="epoch to convert, one of the last two (default: the best)"
    )


def evaluate(options: argparse.Namespace) -> int:
    """Evaluate the release on the test faces and write metrics and a report; compare it with the champion."""
    from training import tracking
    from training.evaluate import evaluate
    from training.evaluation import before_after, champion, comparison, tables
    from training.evaluation.metrics import METRICS_FILE
    from training.evaluation.report import REPORT_FILE, local_report
    from training.registry.registry import Registry

    hide_runtime_messages()
    folder, model = options.work / "release", options.work / "model"
    against, trust = champion.NONE, signing.trust_if_any(options)
    if options.registry is not None:
        against = champion.in_production(Registry(options.registry), trust, options.first_release)
    elif options.first_release:
        raise StepError("--first-release needs --registry, which has no production release yet")
    elif options.champion is not None:
        against = champion.named(options.champion, trust)
    measured = evaluate(options.work / "data", model, folder, EvaluateConfig(), against)
    tracking.of(model).evaluation(measured["overall"], [folder / METRICS_FILE, folder / REPORT_FILE])
    print(*before_after.words(measured), tables.text(measured), sep="\n")
    compared = comparison.load(folder, measured["sha256"])
    print(*([f"compared with {compared.champion}"] if compared.champion else []), *compared.remarks, sep="\n")
    print(f"{measured['faces']} test faces; report: {folder / REPORT_FILE}; with faces: {local_report(folder)}")
    return 0


def _evaluate_arguments(parser: argparse.ArgumentParser) -> None:
    work(parser)
    against = parser.add_mutually_exclusive_group()
    against.add_argument("--registry", help="compare with the production release of this folder or gs://bucket/path")
    against.add_argument("--champion", metavar="RELEASE", help="compare with this release; folder or gs:// address")
    parser.add_argument(
        "--first-release",
        action="store_true",
        help="the registry has no production release yet, or does not exist: only the thresholds count",
    )
    signing.trust_arguments(parser)


def gate(options: argparse.Namespace) -> int:
    """Check the metrics against the thresholds of the preset and against the champion; exit code 1 if one fails."""
    from training.evaluation.gate_result import Override
    from training.gate import gate
    from training.runs import load

    preset = options.preset or load(options.work / "model").preset
    override = Override(options.by, options.override) if options.override else None
    found = gate(options.work / "release", PRESETS[preset].gate, override)
    print(*found.checks, *found.notes, sep="\n")
    if not found.failed:
        against = f", and no metric is significantly worse than that of {found.champion}" if found.champion else ""
        print(f"gate passed: all thresholds of {preset!r} are met{against}")
    else:
        print(f"gate failed: {found.failed_titles}")
    if not found.publishable:
        print("next steps: more or better faces, another preset, or --override REASON --by NAME")
        print("see docs/how-to/override-the-gate.md")
    if found.override:
        print(f"GATE OVERRIDDEN by {found.override.by}: {found.override.reason}")
    return 0 if found.publishable else 1


def _gate_arguments(parser: argparse.ArgumentParser) -> None:
    work(parser)
    parser.add_argument(
        "--preset",
        type=_current,
        choices=PRESETS,
        help="preset with the thresholds (default: that of the training)",
    )
    parser.add_argument(
        "--override",
        metavar="REASON",
        default="",
        help="publish although a check failed; the manifest records why",
    )
    parser.add_argument(
        "--by",
        metavar="NAME",
        default=os.environ.get("GITLAB_USER_LOGIN", ""),
        help="your name, for the override (default: GitLab's GITLAB_USER_LOGIN)",
    )


def _current(name: str) -> str:
    """Return the name of a preset, for argparse. A former name is refused with the new one."""
    if name in RENAMED:
        raise argparse.ArgumentTypeError(f"{name} is now {RENAMED[name]}: rename it")
    return name


def _local(text: str) -> Path:
    """Return the path of a dataset, or let argparse refuse another address."""
    try:
        address = addresses.parse(text)
    except AddressError as error:
        raise argparse.ArgumentTypeError(f"{error}") from error
    if address.bucket:
        raise argparse.ArgumentTypeError(f"{text} is in Cloud Storage; `fetch` it, then name the copy")
    return Path(address.path)


def _preset(parser: argparse.ArgumentParser, purpose: str) -> None:
    parser.add_argument(
        "--preset", type=_current, choices=PRESETS, default="default", help=f"{purpose} (default: default)"
    )


COMMANDS = (
    Command(fetch, _fetch_arguments),
    Command(draw, _draw_arguments),
    Command(prepare, _prepare_arguments),
    Command(train, _train_arguments),
    Command(convert, _convert_arguments),
    Command(evaluate, _evaluate_arguments),
    Command(gate, _gate_arguments),
)
