"""The command line of the training side: one sub-command a step, nothing else."""

from __future__ import annotations

import argparse
import dataclasses
import os
import sys
from collections.abc import Callable
from pathlib import Path

# TensorFlow prints pages about its build before it says anything of use.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

from training.config import ConvertConfig, EvaluateConfig, with_values
from training.errors import StepError
from training.presets import PRESETS

# Each step imports what it needs when it runs: `releases` need not wait for TensorFlow.


def prepare(options: argparse.Namespace) -> int:
    """Read labelled faces once; write splits, shards, index.csv, rejected.csv and the exploration."""
    from training import gaps
    from training.prepare import prepare, summary

    config = PRESETS[options.preset].prepare
    if options.size:
        config = dataclasses.replace(config, size=options.size)
    print(summary(prepare(options.data, options.work / "data", config)))
    for gap in gaps.find(options.work / "data"):
        print(f"warning: {gap}", file=sys.stderr)
    print(f"exploration: {options.work / 'data' / 'exploration' / 'index.html'}")
    return 0


def train(options: argparse.Namespace) -> int:
    """Train a preset's network on the prepared faces; keep the best epoch."""
    from training.train import train

    named = {"init_from": options.init_from, "teachers": options.teacher and tuple(options.teacher)}
    chosen = {name: value for name, value in named.items() if value is not None}
    config = with_values(dataclasses.replace(PRESETS[options.preset].train, **chosen), options.values)
    best = train(options.work / "data", options.work / "model", config, options.preset, options.resume)
    print(f"best model: {best}")
    return 0


def convert(options: argparse.Namespace) -> int:
    """Convert the best model to TFLite and calibrate it: the beginning of a release."""
    from training.convert import convert

    config = ConvertConfig(epoch=options.epoch)
    manifest = convert(options.work / "data", options.work / "model", options.work / "release", config)
    model = manifest["model"]
    print(f"release {manifest['version']}: {model['precision']}, {model['bytes']} bytes, SHA-256 {model['sha256']}")
    return 0


def evaluate(options: argparse.Namespace) -> int:
    """Score the release on the test faces through the function's own predictor."""
    from training import tracking
    from training.evaluate import METRICS_FILE, REPORT_FILE, evaluate, local_report

    folder, model = options.work / "release", options.work / "model"
    measured = evaluate(options.work / "data", model, folder, EvaluateConfig(), options.champion)
    tracking.of(model).evaluation(measured["overall"], [folder / METRICS_FILE, folder / REPORT_FILE])
    for name, figure in measured["overall"].items():
        if name != "n":
            print(f"{name:20} {figure['value']:8.4f}  ({figure['low']:.4f} to {figure['high']:.4f})")
    print(f"{measured['faces']} test faces; report: {folder / REPORT_FILE}; with faces: {local_report(folder)}")
    return 0


def gate(options: argparse.Namespace) -> int:
    """Check the figures against the thresholds of the preset; exit code 1 where one fails."""
    from training.gate import gate
    from training.run import load

    preset = options.preset or load(options.work / "model").preset
    checks = gate(options.work / "release", PRESETS[preset].gate)
    print(*checks, sep="\n")
    failed = [check.name for check in checks if not check.passed]
    print(f"gate closed: {', '.join(failed)}" if failed else f"gate open: the thresholds of {preset!r} are met")
    return 1 if failed else 0


def publish(options: argparse.Namespace) -> int:
    """Write the release into the registry, never over an existing version."""
    from training import tracking
    from training.publish import publish
    from training.registry import Registry

    address = publish(options.work / "release", Registry(options.registry))
    tracking.of(options.work / "model").release(options.work / "release", address)
    print(f"release: {address}")
    print(f"serve it: MODEL_URI={address} make run")
    return 0


def releases(options: argparse.Namespace) -> int:
    """List the releases of a registry."""
    from training.registry import Registry

    registry = Registry(options.registry)
    production = registry.production()
    for manifest in registry.releases():
        mark = "*" if production and production.version == manifest["version"] else " "
        age, gender = manifest["metrics"]["age_mae"]["value"], manifest["metrics"]["gender_accuracy"]["value"]
        preset = manifest["provenance"]["preset"]
        print(
            f"{mark} {manifest['version']}  {preset:8}  age {age:.2f} years  gender {gender:.1%}  {manifest['created']}"
        )
    print(f"production: {production.version if production else 'none yet'}")
    return 0


def promote(options: argparse.Namespace) -> int:
    """Point `production` at a release."""
    from training.registry import Registry

    print(f"production: {Registry(options.registry).promote(options.version).version}")
    return 0


def rollback(options: argparse.Namespace) -> int:
    """Point `production` at the release before."""
    from training.registry import Registry

    print(f"production: {Registry(options.registry).rollback().version}")
    return 0


WORK_STEPS = (prepare, train, convert, evaluate, gate, publish)
REGISTRY_STEPS = (publish, releases, promote, rollback)


def parser() -> argparse.ArgumentParser:
    """The whole command line."""
    result = argparse.ArgumentParser(prog="python -m training", description="Labelled faces in, a release out.")
    steps = result.add_subparsers(dest="step", required=True, metavar="step")
    by_name = {step: _add(steps, step) for step in dict.fromkeys((*WORK_STEPS, *REGISTRY_STEPS))}
    by_name[prepare].add_argument(
        "--data",
        type=Path,
        required=True,
        help="folder, .tar, .tar.gz or .zip of [age]_[gender]_[race]_[date&time].jpg",
    )
    by_name[prepare].add_argument("--size", type=int, help="pixels, side of the faces, instead of the preset's")
    for step, purpose in ((prepare, "whose input size the shards have"), (train, "what to train")):
        help_text = f"{purpose} (default: default)"
        by_name[step].add_argument("--preset", choices=PRESETS, default="default", help=help_text)
    by_name[train].add_argument("--resume", action="store_true", help="continue after the last completed epoch")
    by_name[train].add_argument(
        "--init-from",
        metavar="RELEASE",
        help="initial weights instead of the preset's: a release's folder or gs:// address to fine-tune it, "
        '"faceres", "imagenet", or "" for random ones',
    )
    by_name[train].add_argument(
        "--teacher",
        metavar="RELEASE",
        action="append",
        help="release whose answers are learnt beside the labels, folder or gs:// address; may be given several times",
    )
    by_name[train].add_argument(
        "--set",
        metavar="NAME=VALUE",
        dest="values",
        action="append",
        default=[],
        help="another number than the preset's, for example epochs=30; training/config.py names and explains them",
    )
    by_name[convert].add_argument(
        "--epoch", type=int, default=0, help="convert this epoch, one of the last two, instead of the best"
    )
    by_name[evaluate].add_argument(
        "--champion",
        metavar="RELEASE",
        default="",
        help="release to show beside it in the report; folder or gs:// address",
    )
    by_name[gate].add_argument("--preset", choices=PRESETS, help="whose thresholds (default: the trained one's)")
    by_name[promote].add_argument("version", help="as `releases` lists it")
    return result


def _add(
    steps: argparse._SubParsersAction[argparse.ArgumentParser], step: Callable[..., int]
) -> argparse.ArgumentParser:
    added = steps.add_parser(step.__name__, help=step.__doc__, description=step.__doc__)
    added.set_defaults(run=step)
    if step in WORK_STEPS:
        added.add_argument(
            "--work",
            type=Path,
            default=Path("build/pipeline"),
            help="folder of the steps' files (default: build/pipeline)",
        )
    if step in REGISTRY_STEPS:
        added.add_argument("--registry", required=True, help="folder or gs://bucket/path of the releases")
    return added


def main(arguments: list[str] | None = None) -> int:
    """Run one step; exit code 1 with a sentence where it cannot go on, 2 for wrong usage."""
    options = parser().parse_args(arguments)
    try:
        result: int = options.run(options)
    except StepError as error:
        print(f"{options.step}: {error}", file=sys.stderr)
        return 1
    return result


if __name__ == "__main__":
    sys.exit(main())
