"""How the learning rate falls, and the optimizers that take it."""

from __future__ import annotations

import keras
from keras.optimizers import schedules

from training.config import TrainConfig
from training.errors import StepError


def steps_per_epoch(config: TrainConfig, faces: int) -> int:
    """How many whole batches of the training faces make an epoch, at least one."""
    steps = max(1, faces // config.batch)
    return min(steps, config.max_steps) if config.max_steps else steps


def optimizer(config: TrainConfig, steps: int) -> keras.Optimizer:
    """The optimizer that `config` names, for epochs of `steps` steps.

    Raises:
        StepError: there is no such optimizer.
    """
    if config.optimizer == "adamw":
        warmup = int(config.warmup * steps)
        cosine = schedules.CosineDecay(
            initial_learning_rate=config.learning_rate / 20,
            decay_steps=max(1, config.epochs * steps - warmup),
            warmup_target=config.learning_rate,
            warmup_steps=warmup,
        )
        return keras.optimizers.AdamW(cosine, weight_decay=config.weight_decay)
    if config.optimizer == "adam":
        # Keras 2's `decay=learning_rate / epochs`, which the original project used.
        rate = config.learning_rate
        return keras.optimizers.Adam(schedules.InverseTimeDecay(rate, decay_steps=1, decay_rate=rate / config.epochs))
    raise StepError(f"no optimizer {config.optimizer!r}; there are adamw, adam")
