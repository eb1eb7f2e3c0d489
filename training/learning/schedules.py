"""Learning rate schedules and optimizers."""

from __future__ import annotations

import keras
from keras.optimizers import schedules

from training.config import TrainConfig


def steps_per_epoch(config: TrainConfig, faces: int) -> int:
    """Return the number of steps in an epoch: its whole batches, at least one, within the limits of `config`."""
    steps = max(1, faces // config.own_batch, config.min_steps)
    return min(steps, config.max_steps) if config.max_steps else steps


def optimizer(config: TrainConfig, steps: int) -> keras.Optimizer:
    """Return the optimizer that `config` names, for epochs of `steps` steps."""
    if config.optimizer == "adamw":
        warmup = int(config.warmup * steps)
        cosine = schedules.CosineDecay(
            initial_learning_rate=config.learning_rate / 20,
            decay_steps=max(1, config.epochs * steps - warmup),
            warmup_target=config.learning_rate,
            warmup_steps=warmup,
        )
        return keras.optimizers.AdamW(cosine, weight_decay=config.weight_decay)
    # Keras 2's `decay=learning_rate / epochs`, as in the original project.
    rate = config.learning_rate
    return keras.optimizers.Adam(schedules.InverseTimeDecay(rate, decay_steps=1, decay_rate=rate / config.epochs))
