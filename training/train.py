"""Step `train`: shards -> a trained Keras model."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf

from training import runs, tracking
from training.config import TrainConfig
from training.data import shards
from training.errors import StepError
from training.labels import CHOICES
from training.learning import (
    architectures,
    checkpoints,
    curve,
    dataset,
    devices,
    other_faces,
    provenance,
    teacher,
    weights,
)
from training.learning.loop import Loop
from training.learning.schedules import optimizer, steps_per_epoch
from training.registry.signing import Trust
from training.runs import TrainingRun
from training.tracking import Tracker

# Faces from which the statistics of the features are measured.
_STATISTICS_FACES = 500


@dataclass(frozen=True)
class Record:
    """How a training is recorded."""

    key: str = ""
    """Key of data, code and configuration, "" if it is unknown."""
    backup: Callable[[], object] = lambda: None
    """Called after each epoch, when its checkpoint is complete."""


def train(
    data: Path,
    folder: Path,
    config: TrainConfig,
    preset: str,
    resume: bool,
    trust: Trust | None = None,
    record: Record = Record(),
) -> Path:
    """Train and write the best model of all epochs to `folder`/best.keras.

    Args:
        data: output of `prepare`.
        folder: folder for checkpoints, history and logs.
        config: configuration for one device. `devices.scaled` adapts it to several.
        preset: name of the preset, for the record.
        resume: whether to continue after the last completed epoch, if there is one.
        trust: signer that teachers and initial weights must have, or None.
        record: how the training is recorded.

    Returns:
        The path of the best model.

    Raises:
        StepError: there are no shards, `folder` has a training with another configuration, the server at
            MLFLOW_TRACKING_URI does not work, or the training diverged.
    """
    strategy = _strategy()
    fingerprint = shards.fingerprint(data)
    started = TrainingRun(preset, fingerprint.sha256, config, strategy.num_replicas_in_sync, record.key)
    continued = resume and runs.exists(folder)
    if continued:
        _require_same(folder, started)
    if continued and checkpoints.finished(folder, config):
        print(f"{folder} has this training already, complete")
        return folder / checkpoints.BEST
    tracker = tracking.begin(folder, started, data, continued) if devices.is_chief() else Tracker(folder)
    if not continued:
        _clear(folder, started)
    _run(data, folder, config, trust, tracker, record)
    return folder / checkpoints.BEST


def train_curve(data: Path, folder: Path, trust: Trust | None = None) -> None:
    """Train the networks of a learning curve: on parts of the faces, with the configuration of a complete training.

    Each part has the same epochs and the same validation faces, so fewer steps. Trainings that are complete are kept,
    and an interrupted one continues after its last epoch. They are not tracked.

    Args:
        data: output of `prepare`.
        folder: folder of the complete training.
        trust: as in `train`.

    Raises:
        StepError: as `train`.
    """
    started, whole = runs.load(folder), shards.fingerprint(data).faces["train"]
    for part in curve.SHARES:
        here = curve.folder(folder, part)
        if part in curve.finished(folder):
            print(f"{here} has the training on a {part} of the faces already, complete")
            continue
        faces = curve.write(data, folder, part)
        count = shards.fingerprint(faces).faces["train"]
        print(f"learning curve: training on a {part} of the faces, {count:,} of {whole:,}", flush=True)
        if curve.unfinished(folder, part):
            _require_same(here, started)
        else:
            _clear(here, started)
        if not checkpoints.finished(here, started.config):
            _run(faces, here, started.config, trust, Tracker(here))
        curve.finish(folder, part, faces)


@cache
def _strategy() -> tf.distribute.Strategy:
    """Return the strategy of all trainings of this process: machines join each other once."""
    return devices.strategy()


def _run(
    data: Path, folder: Path, config: TrainConfig, trust: Trust | None, tracker: Tracker, record: Record = Record()
) -> None:
    """Train from the last completed epoch in `folder` to the best model."""
    strategy = _strategy()
    provenance.remember(folder, config)
    keras.utils.set_random_seed(config.seed)
    config = devices.scaled(config, strategy.num_replicas_in_sync)
    steps = steps_per_epoch(config, shards.fingerprint(data).faces["train"])
    done = dict(checkpoints.epochs(folder))
    first = devices.agreed(max(done, default=0), strategy)
    if first:
        print(f"resuming after epoch {first}")
    with strategy.scope():
        model = keras.models.load_model(done[first]) if first else _build(config, data, steps, trust)

    def after_epoch() -> None:
        tracker.epochs(runs.history(folder))
        if devices.is_chief():
            record.backup()

    with tracker:
        loop = Loop(model, config, strategy)
        # A resumed run uses another seed: the same one would repeat the order of the first faces.
        batches = _batches(data, folder, config, config.seed + first, trust)
        _learn(loop, batches, data, folder, first, steps, after_epoch)
        if config.ends_between:
            with strategy.scope():
                start = _build(config, data, steps, trust).get_weights()
            (_keep_others if config.other else _keep_initial)(loop, start, data, folder)


def _batches(data: Path, folder: Path, config: TrainConfig, seed: int, trust: Trust | None) -> tf.data.Dataset:
    """Write the predictions that the training learns from, and return its batches."""
    predictions = None
    if config.teachers:
        predictions = folder / "teacher"
        teacher.write_predictions(config.teachers, data, predictions, trust)
    if not config.other:
        return dataset.training_batches(data, config, seed, predictions)
    other, initial = other_faces.sample(Path(config.other), folder), folder / "initial"
    teacher.write_predictions((config.init_from,), other, initial, trust)
    return dataset.mixed_batches(data, other, config, seed, predictions, initial)


def _keep_others(loop: Loop, start: list[Any], data: Path, folder: Path) -> None:
    """Move the weights back towards the initial ones as far as the other faces need, and write the best model.

    Other faces of the ages that the training has improve with it. They would hide what the others lose.
    """
    config, sample = loop.config, folder / other_faces.FOLDER
    low, high = other_faces.usual_ages(data)
    others = dataset.outside(sample, config, low, high)

    def error() -> float:
        return loop.validate(others)["age_error"]

    found = other_faces.interpolate(loop.model, start, error, config.max_forgetting, folder)
    print(
        f"other faces below {low:.0f} or above {high:.0f} years: age error {found['error_before']:.2f} years before, "
        f"{found['error_fine_tuned']:.2f} after the training, {found['error']:.2f} with {found['share']:.0%} of the "
        f"way; at most {config.max_forgetting} more is allowed"
    )
    checkpoints.write_best(folder, loop.model)


def _keep_initial(loop: Loop, start: list[Any], data: Path, folder: Path) -> None:
    """Move the weights back towards the initial ones by the configured share, and write the best model."""
    share = loop.config.initial_share
    loop.model.set_weights(weights.between(start, loop.model.get_weights(), 1 - share))
    found = loop.validate(dataset.validation_batches(data, loop.config))
    print(f"with {share:.0%} of the initial weights: validation age error {found['age_error']:.2f} years")
    checkpoints.write_best(folder, loop.model)


def _learn(
    loop: Loop,
    faces: tf.data.Dataset,
    data: Path,
    folder: Path,
    first: int,
    steps: int,
    after_epoch: Callable[[], None],
) -> None:
    config = loop.config
    batches, validation = loop.learn(faces), dataset.validation_batches(data, config)
    log = tf.summary.create_file_writer(str(folder / "tensorboard"))
    for epoch in range(first + 1, config.epochs + 1):
        learnt = loop.epoch(batches, steps, f"epoch {epoch}/{config.epochs}")
        if not math.isfinite(learnt["loss"]):
            raise StepError(f"the loss of epoch {epoch} is {learnt['loss']}; train again with a lower learning rate")
        row = {"epoch": float(epoch), **learnt}
        row |= {f"val_{name}": value for name, value in loop.validate(validation).items()}
        # Few own validation faces would choose an epoch by chance, and none of the others. With a share of the initial
        # weights, no epoch's weights are those of the result.
        checkpoints.write(folder, loop.model, row, select=not config.ends_between)
        with log.as_default(epoch):
            for name, value in row.items():
                if not math.isnan(value):
                    tf.summary.scalar(name, value)
        print(_line(row, config.epochs), flush=True)
        after_epoch()
        if checkpoints.finished(folder, config):
            break


def _line(row: dict[str, float], epochs: int) -> str:
    names = {
        "age_error": "age error {:.2f} years",
        **{f"{head.name}_accuracy": f"{head.name} {{:.1%}}" for head in CHOICES},
    }
    # Without a labelled face, a metric is NaN.
    known = {name: text for name, text in names.items() if not math.isnan(row[name] + row[f"val_{name}"])}
    parts = [", ".join(text.format(row[of + name]) for name, text in known.items()) for of in ("", "val_")]
    return f"epoch {row['epoch']:.0f}/{epochs}  training: {parts[0]}  validation: {parts[1]}"


def _require_same(folder: Path, started: TrainingRun) -> None:
    if not runs.load(folder).same(started):
        raise StepError(
            f"{folder} has a training on other data, on other devices, by other code or with another configuration; "
            "resume with these, choose another work folder (make: WORK=…), or start again with --restart "
            "(make: TRAIN_ARGS=--restart)"
        )


def _clear(folder: Path, started: TrainingRun) -> None:
    runs.FOLDER.clear(folder)
    folder.mkdir(parents=True)
    runs.save(folder, started)


def _build(config: TrainConfig, data: Path, steps: int, trust: Trust | None) -> keras.Model:
    faces, _ = shards.first(data, "train", _STATISTICS_FACES)
    model = architectures.build(config, shards.fingerprint(data).size, trust, faces)
    # A compiled model saves its optimizer's state.
    model.compile(optimizer=optimizer(config, steps))
    return model
