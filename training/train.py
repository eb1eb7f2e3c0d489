"""Step `train`: shards -> a trained Keras model."""

from __future__ import annotations

import math
from pathlib import Path

import keras
import tensorflow as tf

from training import runs, tracking
from training.config import TrainConfig
from training.data import shards
from training.errors import StepError
from training.labels import CHOICES
from training.learning import architectures, checkpoints, dataset, devices, provenance, teacher
from training.learning.loop import Loop
from training.learning.schedules import optimizer, steps_per_epoch
from training.registry.signing import Trust
from training.runs import TrainingRun
from training.tracking import Tracker

# Faces from which the statistics of the features are measured.
_STATISTICS_FACES = 500


def train(data: Path, folder: Path, config: TrainConfig, preset: str, resume: bool, trust: Trust | None = None) -> Path:
    """Train and write the best model of all epochs to `folder`/best.keras.

    Args:
        data: output of `prepare`.
        folder: folder for checkpoints, history and logs.
        config: configuration for one device. `devices.scaled` adapts it to several.
        preset: name of the preset, for the record.
        resume: whether to continue after the last completed epoch, if there is one.
        trust: signer that teachers and initial weights must have, or None.

    Returns:
        The path of the best model.

    Raises:
        StepError: there are no shards, `folder` has a training with another configuration, the server at
            MLFLOW_TRACKING_URI does not work, or the training diverged.
    """
    strategy = devices.strategy()
    fingerprint = shards.fingerprint(data)
    started = TrainingRun(preset, fingerprint.sha256, config, strategy.num_replicas_in_sync)
    continued = resume and runs.exists(folder)
    if continued:
        _require_same(folder, started)
    if continued and checkpoints.finished(folder, config):
        print(f"{folder} has this training already, complete")
        return folder / checkpoints.BEST
    tracker = tracking.begin(folder, started, data, continued) if devices.is_chief() else Tracker(folder)
    if not continued:
        _clear(folder, started)
    provenance.remember(folder, config)
    keras.utils.set_random_seed(config.seed)
    config = devices.scaled(config, strategy.num_replicas_in_sync)
    steps = steps_per_epoch(config, fingerprint.faces["train"])
    done = dict(checkpoints.epochs(folder))
    first = devices.agreed(max(done, default=0), strategy)
    if first:
        print(f"resuming after epoch {first}")
    with strategy.scope():
        model = keras.models.load_model(done[first]) if first else _build(config, data, steps, trust)
    with tracker:
        predictions = _predictions(data, folder, config, trust)
        _learn(Loop(model, config, strategy), data, folder, first, steps, tracker, predictions)
    return folder / checkpoints.BEST


def _learn(
    loop: Loop, data: Path, folder: Path, first: int, steps: int, tracker: Tracker, predictions: Path | None
) -> None:
    config = loop.config
    # A resumed run uses another seed: the same one would repeat the order of the first faces.
    faces = dataset.training_batches(data, config, config.seed + first, predictions)
    batches, validation = loop.learn(faces), dataset.validation_batches(data, config)
    log = tf.summary.create_file_writer(str(folder / "tensorboard"))
    for epoch in range(first + 1, config.epochs + 1):
        learnt = loop.epoch(batches, steps, f"epoch {epoch}/{config.epochs}")
        if not math.isfinite(learnt["loss"]):
            raise StepError(f"the loss of epoch {epoch} is {learnt['loss']}; train again with a lower learning rate")
        row = {"epoch": float(epoch), **learnt}
        row |= {f"val_{name}": value for name, value in loop.validate(validation).items()}
        checkpoints.write(folder, loop.model, row)
        with log.as_default(epoch):
            for name, value in row.items():
                tf.summary.scalar(name, value)
        tracker.epochs(runs.history(folder))
        print(_line(row, config.epochs), flush=True)
        if checkpoints.finished(folder, config):
            break


def _line(row: dict[str, float], epochs: int) -> str:
    names = {
        "age_error": "age error {:.2f} years",
        **{f"{head.name}_accuracy": f"{head.name} {{:.1%}}" for head in CHOICES},
    }
    parts = [", ".join(text.format(row[of + name]) for name, text in names.items()) for of in ("", "val_")]
    return f"epoch {row['epoch']:.0f}/{epochs}  training: {parts[0]}  validation: {parts[1]}"


def _require_same(folder: Path, started: TrainingRun) -> None:
    if runs.load(folder) != started:
        raise StepError(
            f"{folder} has a training on other data, on other devices or with another configuration; "
            "resume with these, choose another work folder (make: WORK=…), or leave --resume out to start again"
        )


def _clear(folder: Path, started: TrainingRun) -> None:
    runs.FOLDER.clear(folder)
    folder.mkdir(parents=True)
    runs.save(folder, started)


def _predictions(data: Path, folder: Path, config: TrainConfig, trust: Trust | None) -> Path | None:
    """Write the teachers' predictions, and return their folder, or None without teachers."""
    if not config.teachers:
        return None
    predictions = folder / "teacher"
    teacher.write_predictions(config.teachers, data, predictions, trust)
    return predictions


def _build(config: TrainConfig, data: Path, steps: int, trust: Trust | None) -> keras.Model:
    faces, _ = shards.first(data, "train", _STATISTICS_FACES)
    model = architectures.build(config, shards.fingerprint(data).size, trust, faces)
    # A compiled model saves its optimizer's state.
    model.compile(optimizer=optimizer(config, steps))
    return model
