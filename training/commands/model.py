"""Commands from prepared data to a release that passed the gate."""

from __future__ import annotations

import argparse
import dataclasses
import os
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from training.commands import Command, force, made_from, positive, preset, preset_name, signing, work
from training.config import ConvertConfig, EvaluateConfig, TrainConfig, with_values
from training.errors import StepError
from training.files import write_text
from training.presets import PRESETS
from training.quiet import hide_runtime_messages

if TYPE_CHECKING:
    from training.evaluation.champion import Champion
    from training.registry.signing import Trust

GPU = "gpu"


def train(options: argparse.Namespace) -> int:
    """Train a preset's network on the prepared faces and keep the best epoch."""
    config = train_config(options)
    # Imported after the options are checked, because it takes as long as the rest together.
    from training import runs
    from training.commands import skips
    from training.learning import curve, inputs

    data, folder = options.work / "data", options.work / "model"
    trust = signing.trust_if_any(options)
    step = skips.train(options.work, options.preset, config)
    smaller = skips.train_curve(step) if options.learning_curve else None
    resume = skips.resumes(step, options, config)
    if resume and step.record.is_file() and not (smaller and smaller.reason()):
        print(f"nothing to do: {folder} has this training already, complete; without --resume it starts again")
        return 0
    if not (resume and runs.exists(folder)):
        inputs.require(data, config, trust)
    if smaller:
        curve.require(data)
    if config.starts_from_release and not config.other:
        print(
            f"warning: what {config.init_from} knows of faces unlike these is forgotten without --other "
            "(docs/how-to/fine-tune.md)",
            file=sys.stderr,
        )
    hide_runtime_messages()
    from training.learning import devices
    from training.train import Record, train, train_curve

    if options.device == GPU:
        devices.require_gpu()

    record = Record(step.key, _backup(folder, options.backup))
    print(f"best model: {train(data, folder, config, options.preset, resume, trust, record)}")
    # A training of an earlier version has no key.
    known = runs.load(folder).key == step.key
    if known:
        step.finish()
    record.backup()
    if smaller:
        train_curve(data, folder, trust)
        if known:
            smaller.finish()
        record.backup()
    return 0


def _backup(folder: Path, uri: str) -> Callable[[], object]:
    """Return a function that copies the folder of a training to `uri`, or does nothing without one."""
    if not uri:
        return lambda: None
    from training.registry.folders import store

    return partial(store, folder, uri)


def train_config(options: argparse.Namespace) -> TrainConfig:
    """Return the preset's configuration with the changes that the options of `train` make.

    Raises:
        StepError: `--set` names no number of the configuration, or one that is out of its range.
    """
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

    step = skips.train(options.work, options.preset, train_config(options))
    if options.learning_curve:
        step = skips.train_curve(step)
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
    preset(parser, "preset to train")
    parser.add_argument("--resume", action="store_true", help="continue after the last completed epoch")
    parser.add_argument(
        "--restart",
        action="store_true",
        help="with --resume: start again if the training there had other data, code or configuration",
    )
    parser.add_argument(
        "--backup",
        metavar="URI",
        default="",
        help="gs://bucket/path/name: copy the checkpoints there after each epoch, for `restore` on another machine",
    )
    parser.add_argument(
        "--device",
        choices=("any", GPU),
        default="any",
        help="gpu: fail at once if there is none, in place of a training that takes days (default: any)",
    )
    parser.add_argument(
        "--learning-curve",
        action="store_true",
        help="also train on a quarter and on a half of the faces, and tell in the report what more faces would bring",
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
    force(parser, "convert again although the same model was converted in the same way")


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
    from training.evaluation import before_after, comparison, learning_curve, tables
    from training.evaluation.metrics import METRICS_FILE
    from training.evaluation.report import local_report
    from training.registry.registry import REPORT_FILE

    measured = evaluate(options.work / "data", model, folder, EvaluateConfig(), _champion(options, trust))
    step.finish()
    tracking.of(model).evaluation(measured["overall"], [folder / METRICS_FILE, folder / REPORT_FILE])
    print(*before_after.words(measured), *learning_curve.words(measured), tables.text(measured), sep="\n")
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
    force(parser, "evaluate again although the same release was evaluated in the same way")
    signing.trust_arguments(parser)


def gate(options: argparse.Namespace) -> int:
    """Check the metrics against the thresholds of the preset and against the champion; exit code 1 if one fails."""
    from training import notices
    from training.evaluation.gate_result import Override
    from training.gate import gate
    from training.monitoring import live_verdict
    from training.registry.registry import Registry
    from training.runs import load

    chosen = options.preset or load(options.work / "model").preset
    override = Override(options.by, options.override) if options.override else None
    live = live_verdict.load(options.feedback) if options.feedback else None
    found = gate(options.work / "release", PRESETS[chosen].gate, override, live)
    print(*found.checks, *found.notes, sep="\n")
    if not found.failed:
        against = f", and no metric is significantly worse than that of {found.champion}" if found.champion else ""
        print(f"gate passed: all thresholds of {chosen!r} are met{against}")
    else:
        print(f"gate failed: {found.failed_titles}")
    if not found.publishable:
        print("next steps: more or better faces, another preset, or --override REASON --by NAME")
        print("see docs/how-to/override-the-gate.md")
        notices.send(f"the gate refused a release: {found.failed_titles}")
        if options.refusals and options.made_from and found.judged:
            Registry(options.refusals).refuse(options.made_from, found.failed_titles)
    if found.override:
        print(f"GATE OVERRIDDEN by {found.override.by}: {found.override.reason}")
    return 0 if found.publishable else 1


def _gate_arguments(parser: argparse.ArgumentParser) -> None:
    work(parser)
    parser.add_argument(
        "--preset",
        type=preset_name,
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
        "--feedback",
        type=Path,
        metavar="FILE",
        help="output of `feedback` on this release; the gate fails if a metric is worse on live faces",
    )
    parser.add_argument(
        "--by",
        metavar="NAME",
        default=os.environ.get("GITLAB_USER_LOGIN", ""),
        help="your name, for the override (default: GitLab's GITLAB_USER_LOGIN)",
    )
    parser.add_argument(
        "--refusals",
        metavar="REGISTRY",
        default="",
        help="registry that records a refusal, so that later pipelines do not train the same again",
    )
    made_from(parser, "the recorded refusal is of this state")


def note(options: argparse.Namespace) -> int:
    """Write the comparison into one note on the merge request of this job. Without NOTE_TOKEN nothing is written."""
    from training import merge_request
    from training.evaluation.summary import COMMENT_FILE

    if not os.environ.get(merge_request.VARIABLE):
        print(f"{merge_request.VARIABLE} is not set: the comparison stays in {options.work / COMMENT_FILE}")
        return 0
    print(merge_request.note((options.work / COMMENT_FILE).read_text(encoding="utf-8"), os.environ))
    return 0


COMMANDS = (
    Command(train, _train_arguments),
    Command(train_key, _train_key_arguments),
    Command(convert, _convert_arguments),
    Command(evaluate, _evaluate_arguments),
    Command(gate, _gate_arguments),
    Command(note, work),
)
