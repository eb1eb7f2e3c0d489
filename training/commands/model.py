"""Commands from labelled faces to a release."""

from __future__ import annotations

import argparse
import dataclasses
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from serving import addresses
from serving.addresses import AddressError
from training.commands import Command, positive, signing, work
from training.config import FACES, ConvertConfig, EvaluateConfig, PrepareConfig, TrainConfig, with_values
from training.errors import StepError
from training.files import write_text
from training.labels import PATTERN
from training.presets import PRESETS, RENAMED
from training.quiet import hide_runtime_messages

if TYPE_CHECKING:
    from training.evaluation.champion import Champion
    from training.registry.signing import Trust


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
    from training.commands import skips
    from training.data import coverage, labelling, readers
    from training.data.label_options import LabelOptions

    readers.require(options.data)
    chosen = LabelOptions(tuple(options.labels), options.columns, options.values, options.group)
    labels, config = labelling.choose(options.data, chosen), _prepare_config(options)
    step = skips.prepare(options, config)
    if skips.prepared(step, options):
        return 0
    from training.prepare import prepare, summary

    for line in labels.description():
        print(line, flush=True)
    if config.align:
        hide_runtime_messages()
    fingerprint = prepare(options.data, options.work / "data", config, options.expect, labels)
    step.finish()
    print(summary(fingerprint), *labels.account(), sep="\n")
    if fingerprint.copies:
        print(f"folded {fingerprint.copies} copies: files with the same bytes and labels count as one face")
    print(f"fingerprint: {fingerprint.sha256}")
    for gap in (*labels.warnings(), *coverage.find(options.work / "data")):
        print(f"warning: {gap}", file=sys.stderr)
    print(f"exploration: {options.work / 'data' / 'exploration' / 'index.html'}")
    return 0


def _prepare_config(options: argparse.Namespace) -> PrepareConfig:
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
        type=_local,
        required=True,
        help=f"folder, .tar, .tar.gz or .zip of faces named {PATTERN}, or labelled by a table",
    )
    _label_arguments(parser)
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
    _preset(parser, "preset with the size of the faces")
    _force(parser, "prepare again although the same faces were prepared in the same way")


def _label_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--labels",
        metavar="TABLE",
        type=_local,
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
        type=_local,
        help="labels of words: a CSV with column, found and label, or JSON such as "
        '{"gender": {"femme": "female"}}; an empty label is a missing one',
    )
    parser.add_argument(
        "--group",
        metavar="COLUMN",
        default="",
        help="column of what belongs into one split: a person, a video (default: near-duplicates only)",
    )


def train(options: argparse.Namespace) -> int:
    """Train a preset's network on the prepared faces and keep the best epoch."""
    config = _train_config(options)
    # Imported after the options are checked, because it takes as long as the rest together.
    from training import runs
    from training.commands import skips
    from training.learning import inputs

    data, folder = options.work / "data", options.work / "model"
    trust = signing.trust_if_any(options)
    step = skips.train(options.work, options.preset, config)
    resume = skips.resumes(step, options, config)
    if resume and step.record.is_file():
        print(f"nothing to do: {folder} has this training already, complete; without --resume it starts again")
        return 0
    if not (resume and runs.exists(folder)):
        inputs.require(data, config, trust)
    hide_runtime_messages()
    from training.train import train

    print(f"best model: {train(data, folder, config, options.preset, resume, trust, step.key)}")
    # A training of an earlier version has no key.
    if runs.load(folder).key == step.key:
        step.finish()
    return 0


def _train_config(options: argparse.Namespace) -> TrainConfig:
    named = {
        "init_from": options.init_from,
        "teachers": options.teacher and tuple(options.teacher),
        "other": options.other and str(options.other),
    }
    chosen = {name: value for name, value in named.items() if value is not None}
    return with_values(dataclasses.replace(PRESETS[options.preset].train, **chosen), options.values)


def train_key(options: argparse.Namespace) -> int:
    """Print the key of a training, with the options of `train`: the same data, code and configuration have the same."""
    from training.commands import skips

    step = skips.train(options.work, options.preset, _train_config(options))
    if options.env_file:
        options.env_file.parent.mkdir(parents=True, exist_ok=True)
        write_text(options.env_file, f"TRAIN_DIGEST={step.key}\n")
    print(step.key)
    return 0


def _train_key_arguments(parser: argparse.ArgumentParser) -> None:
    _train_arguments(parser)
    parser.add_argument(
        "--env-file",
        type=Path,
        metavar="FILE",
        help="also write TRAIN_DIGEST to this file, for later jobs",
    )


def _train_arguments(parser: argparse.ArgumentParser) -> None:
    work(parser)
    _preset(parser, "preset to train")
    parser.add_argument("--resume", action="store_true", help="continue after the last completed epoch")
    parser.add_argument(
        "--restart",
        action="store_true",
        help="with --resume: start again if the training there had other data, code or configuration",
    )
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
    from training.commands import skips
    from training.data import shards
    from training.learning import checkpoints

    data, trained = options.work / "data", options.work / "model"
    runs.load(trained)
    checkpoint = checkpoints.find(trained, options.epoch)
    shards.fingerprint(data)
    config = ConvertConfig(epoch=options.epoch)
    step, release = skips.convert(options.work, checkpoint, config), options.work / "release"
    if skips.nothing_to_do(step, f"{release} has this model already; --force converts again", options.force):
        return 0
    hide_runtime_messages()
    from training.convert import convert

    manifest = convert(data, trained, release, config)
    step.finish()
    model = manifest["model"]
    print(f"release {manifest['version']}: {model['precision']}, {model['bytes']} bytes, SHA-256 {model['sha256']}")
    return 0


def _convert_arguments(parser: argparse.ArgumentParser) -> None:
    work(parser)
    parser.add_argument(
        "--epoch", type=positive, default=0, help="epoch to convert, one of the last two (default: the best)"
    )
    _force(parser, "convert again although the same model was converted in the same way")


def evaluate(options: argparse.Namespace) -> int:
    """Evaluate the release on the test faces and write metrics and a report; compare it with the champion."""
    from training.commands import skips

    folder, model = options.work / "release", options.work / "model"
    trust = signing.trust_if_any(options)
    step = skips.evaluate(options, EvaluateConfig(), trust)
    if skips.nothing_to_do(step, f"{folder} has these metrics already; --force evaluates again", options.force):
        return 0
    hide_runtime_messages()
    from training import tracking
    from training.evaluate import evaluate
    from training.evaluation import before_after, comparison, tables
    from training.evaluation.metrics import METRICS_FILE
    from training.evaluation.report import REPORT_FILE, local_report

    measured = evaluate(options.work / "data", model, folder, EvaluateConfig(), _champion(options, trust))
    step.finish()
    tracking.of(model).evaluation(measured["overall"], [folder / METRICS_FILE, folder / REPORT_FILE])
    print(*before_after.words(measured), tables.text(measured), sep="\n")
    compared = comparison.load(folder, measured["sha256"])
    print(*([f"compared with {compared.champion}"] if compared.champion else []), *compared.remarks, sep="\n")
    print(f"{measured['faces']} test faces; report: {folder / REPORT_FILE}; with faces: {local_report(folder)}")
    return 0


def _champion(options: argparse.Namespace, trust: Trust | None) -> Champion:
    from training.evaluation import champion
    from training.registry.registry import Registry

    if options.registry is not None:
        return champion.in_production(Registry(options.registry), trust, options.first_release)
    if options.first_release:
        raise StepError("--first-release needs --registry, which has no production release yet")
    return champion.NONE if options.champion is None else champion.named(options.champion, trust)


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
    _force(parser, "evaluate again although the same release was evaluated in the same way")
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


def _force(parser: argparse.ArgumentParser, purpose: str) -> None:
    parser.add_argument("--force", action="store_true", help=purpose)


COMMANDS = (
    Command(fetch, _fetch_arguments),
    Command(draw, _draw_arguments),
    Command(prepare, _prepare_arguments),
    Command(train, _train_arguments),
    Command(train_key, _train_key_arguments),
    Command(convert, _convert_arguments),
    Command(evaluate, _evaluate_arguments),
    Command(gate, _gate_arguments),
)
