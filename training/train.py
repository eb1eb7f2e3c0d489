"""Shards -> a trained Keras model, on whatever devices there are."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

import keras
import tensorflow as tf

from training import architectures, checkpoints, dataset, losses, run, shards, teacher
from training.checkpoints import Checkpoint
from training.config import TrainConfig
from training.errors import StepError
from training.run import Run
from training.schedules import optimizer, steps_per_epoch


def train(data: Path, folder: Path, config: TrainConfig, preset: str, resume: bool) -> Path:
    """Train and leave the best model of all epochs in `folder`/best.keras.

    Args:
        data: what `prepare` wrote.
        folder: where checkpoints, history and logs go.
        config: how to train.
        preset: its name, for the record.
        resume: continue after the last completed epoch, where there is one.

    Raises:
        StepError: there are no shards, or `folder` holds a training under another configuration.
    """
    fingerprint = shards.fingerprint(data)
    _begin(folder, Run(preset, fingerprint.sha256, config), resume)
    keras.utils.set_random_seed(config.seed)
    if checkpoints.finished(folder, config):
        print(f"{folder} holds this training already, finished")
        return folder / "best.keras"
    strategy = _strategy()
    done = checkpoints.epochs(folder)
    first = done[-1][0] if done else 0
    steps = steps_per_epoch(config, fingerprint.faces["train"])
    with strategy.scope():
        model = keras.models.load_model(done[-1][1]) if done else _build(config, fingerprint.size, steps)
    if first:
        print(f"continuing after epoch {first}")
    model.fit(
        # Another seed after each break, so that a continued run does not see the same faces in the same order again.
        dataset.training_batches(data, config, config.seed + first, _answers(data, folder, config)),
        validation_data=dataset.validation_batches(data, config),
        shuffle=False,
        steps_per_epoch=steps,
        initial_epoch=first,
        epochs=config.epochs,
        verbose=1 if sys.stdout.isatty() else 2,
        callbacks=[
            keras.callbacks.TerminateOnNaN(),
            Checkpoint(folder, config.patience),
            keras.callbacks.TensorBoard(folder / "tensorboard"),
        ],
    )
    return folder / "best.keras"


def best_model(folder: Path) -> keras.Model:
    """The model of the epoch with the best validation figures.

    Raises:
        StepError: nothing was trained in `folder`.
    """
    path = folder / "best.keras"
    if not path.is_file():
        raise StepError(f"{path} does not exist; run `python -m training train` first")
    return keras.models.load_model(path, compile=False)


def _begin(folder: Path, started: Run, resume: bool) -> None:
    if resume and run.exists(folder):
        if run.load(folder) != started:
            raise StepError(
                f"{folder} holds a training on other data or with another configuration; "
                "continue with those, choose another work folder, or leave --resume out to begin again"
            )
        return
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    run.save(folder, started)


def _answers(data: Path, folder: Path, config: TrainConfig) -> Path | None:
    """The folder of the teacher's answers, where there is a teacher."""
    if not config.teacher:
        return None
    answers = folder / "teacher"
    teacher.write_answers(config.teacher, data, answers)
    return answers


def _build(config: TrainConfig, size: int, steps: int) -> keras.Model:
    model = architectures.build(config, size)
    # XLA makes training ten times slower on processors; on GPUs keras may choose.
    jit = "auto" if tf.config.list_physical_devices("GPU") else False
    model.compile(optimizer=optimizer(config, steps), jit_compile=jit, **losses.compile_options(config))
    return model


def _strategy() -> tf.distribute.Strategy:
    gpus = tf.config.list_physical_devices("GPU")
    if not gpus:
        cores = tf.config.threading.get_inter_op_parallelism_threads() or os.cpu_count()
        print(f"training on the CPU ({cores} cores): no GPU found")
        return tf.distribute.get_strategy()
    keras.mixed_precision.set_global_policy("mixed_float16")
    print(f"training on {len(gpus)} GPU(s), in mixed precision: {', '.join(gpu.name for gpu in gpus)}")
    return tf.distribute.MirroredStrategy() if len(gpus) > 1 else tf.distribute.get_strategy()
