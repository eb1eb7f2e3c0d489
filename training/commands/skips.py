"""The inputs and outputs of each step that can have nothing to do."""

from __future__ import annotations

import argparse
import hashlib
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from serving.release import MANIFEST
from training import runs, sources
from training.config import NAMED_WEIGHTS, ConvertConfig, EvaluateConfig, PrepareConfig, TrainConfig
from training.data import readers, shards
from training.errors import StepError
from training.learning import checkpoints, curve, weights
from training.registry import releases
from training.registry.registry import MODEL_FILE, REPORT_FILE, Registry
from training.registry.signing import Trust
from training.runs import TrainingRun
from training.skipping import Inputs, Step, contents, digest

KEY_FILE = "key.json"
# Options of `prepare` that do not determine what it writes, or do so through its configuration.
_NOT_KEYED = {"command", "run", "work", "data", "preset", "size", "expect", "force"}
# Members of a manifest that `publish` adds, or that say where a release comes from.
_LATER = ("gate", "metrics", "provenance")


def nothing_to_do(step: Step, sentence: str, force: bool = False) -> bool:
    """Print a sentence if the step has nothing to do, or why it runs again. Return whether it has nothing to do."""
    reason = "--force" if force else step.reason()
    if not reason:
        print(f"nothing to do: {sentence}")
    elif step.record.is_file():
        print(f"runs again ({reason})")
    return not reason


def prepare(options: argparse.Namespace, config: PrepareConfig) -> Step:
    """Return the step `prepare`. Every option counts that is not known to leave the output as it is."""
    given = {name: _state(value) for name, value in vars(options).items() if name not in _NOT_KEYED}
    inputs = {"data": readers.state(options.data), "options": given, "configuration": asdict(config)}
    data = options.work / "data"
    return Step(data / KEY_FILE, inputs | _code("prepare"), (data,))


def prepared(step: Step, options: argparse.Namespace) -> bool:
    """Return whether `prepare` has nothing to do, and print so. It refuses other faces than --expect names itself."""
    data = options.work / "data"
    if options.expect and not step.reason() and shards.fingerprint(data).sha256 != options.expect:
        return False
    return nothing_to_do(step, f"{data} has these faces already; --force prepares again", options.force)


def train(work: Path, preset: str, config: TrainConfig) -> Step:
    """Return the step `train`.

    Raises:
        StepError: the address of a teacher or of initial weights cannot be read.
    """
    folder = work / "model"
    uris = [uri for uri in (config.init_from, *config.teachers) if uri not in ("", *NAMED_WEIGHTS)]
    inputs = {
        "data": _data(work / "data"),
        "other": _data(Path(config.other)) if config.other else "",
        "preset": preset,
        "configuration": asdict(config),
        "releases": {uri: _release(uri) for uri in uris},
    }
    return Step(folder / KEY_FILE, inputs | _code("train"), (folder / checkpoints.BEST,))


def train_curve(step: Step) -> Step:
    """Return the step `train --learning-curve`, which adds the smaller trainings to those of the step `train`."""
    folder = step.record.parent
    networks = tuple(curve.folder(folder, part) / checkpoints.BEST for part in curve.SHARES)
    return Step(folder / curve.FOLDER / KEY_FILE, step.inputs | {"learning_curve": curve.SHARES}, networks)


def resumes(step: Step, options: argparse.Namespace, config: TrainConfig) -> bool:
    """Return whether `train` continues the training in its folder, or finds it complete.

    Raises:
        StepError: a complete training has other data, code or configuration, and there is no --restart.
    """
    folder = options.work / "model"
    if not (options.resume and runs.exists(folder)):
        return False
    complete = step.record.is_file()
    found = runs.load(folder)
    now = TrainingRun(options.preset, shards.fingerprint(options.work / "data").sha256, config, found.devices, step.key)
    if (complete and not step.reason()) or (not complete and (found.same(now) or not options.restart)):
        return True
    if not options.restart:
        raise StepError(
            f"{folder} has a complete training that is another one ({step.reason()}); start again with --restart "
            "(make: TRAIN_ARGS=--restart), or choose another work folder (make: WORK=…)"
        )
    print("trains again" + (f" ({step.reason()})" if complete else ""))
    return False


def convert(work: Path, checkpoint: Path, config: ConvertConfig) -> Step:
    """Return the step `convert` of a checkpoint.

    Raises:
        StepError: there is no training.
    """
    model = work / "model"
    trained = {"model": digest(checkpoint), "training": asdict(runs.load(model)), "epochs": len(runs.history(model))}
    inputs = {"data": _data(work / "data"), **trained, "configuration": asdict(config)}
    release = work / "release"
    outputs = (release / MODEL_FILE, release / weights.FILE)
    return Step(work / f"convert.{KEY_FILE}", inputs | _code("convert"), outputs, (release / MANIFEST,))


def evaluate(options: argparse.Namespace, config: EvaluateConfig, trust: Trust | None) -> Step:
    """Return the step `evaluate`.

    Raises:
        StepError: the champion's address cannot be read.
    """
    from training.evaluation.comparison import COMPARISON_FILE
    from training.evaluation.metrics import METRICS_FILE
    from training.evaluation.report import local_report
    from training.evaluation.summary import COMMENT_FILE, OPEN_METRICS_FILE

    work, release = options.work, options.work / "release"
    inputs = {
        "data": _data(work / "data"),
        "release": _manifest(release / MANIFEST),
        "epochs": runs.history(work / "model"),
        "learning_curve": _learning_curve(work / "model"),
        "champion": _champion(options),
        "trust": asdict(trust) | {"key": _state(Path(trust.key))} if trust else {},
        "configuration": asdict(config),
    }
    outputs = (release / METRICS_FILE, release / COMPARISON_FILE, work / OPEN_METRICS_FILE)
    shared = (release / REPORT_FILE, local_report(release), work / COMMENT_FILE)
    return Step(work / f"evaluate.{KEY_FILE}", inputs | _code("evaluate"), outputs, shared)


def _code(step: str) -> Inputs:
    return {"code": sources.digests(f"training.{step}")}


def _data(data: Path) -> str:
    """Return the digest of the shards in a folder. Unlike the fingerprint, it changes with the pixels."""
    return contents(data, "*.npy", data / KEY_FILE)


def _learning_curve(model: Path) -> Inputs:
    """Return the digest of each network of a learning curve, {} if no such training was begun."""
    if not curve.begun(model):
        return {}
    networks = {part: found.network for part, found in curve.finished(model).items()}
    return {name: digest(path) for name, path in {**networks, "all": model / checkpoints.BEST}.items()}


def _state(value: Any) -> Any:
    """Return an option's value as JSON. A file or folder counts by its contents."""
    if isinstance(value, Path) and value.exists():
        return [str(value), readers.state(value)]
    if isinstance(value, list | tuple):
        return [_state(each) for each in value]
    return value if isinstance(value, bool | int | float | None) else str(value)


def _release(uri: str) -> str:
    """Return the SHA-256 of the manifest at an address, "" if there is none. It states every other file's digest."""
    stored = releases.storage(uri).read(MANIFEST)
    return hashlib.sha256(stored.data).hexdigest() if stored else ""


def _champion(options: argparse.Namespace) -> list[Any]:
    """Return what `evaluate` compares with, and whether it may be nothing."""
    if options.registry is not None:
        registry = Registry(options.registry)
        pointer = registry.production()
        return [options.registry, _release(registry.address(pointer.version)) if pointer else "", options.first_release]
    return ["", _release(options.champion) if options.champion is not None else "", options.first_release]


def _manifest(path: Path) -> Inputs:
    """Return a manifest as `convert` wrote it, {} if there is none that can be read."""
    try:
        found = json.loads(path.read_bytes())
        return {name: value for name, value in found.items() if name not in _LATER}
    except (OSError, ValueError, AttributeError):
        return {}
