"""Losses of the heads, and metrics during training."""

from __future__ import annotations

import keras
import tensorflow as tf

from serving.heads import AGE
from training.config import TrainConfig
from training.labels import CHOICES, COLUMNS
from training.learning.dataset import Heads


def metrics(targets: Heads, predictions: Heads, config: TrainConfig) -> dict[str, tf.Tensor]:
    """Return the losses and metrics of a batch by name, each (N,) float32.

    Cross-entropy is linear in its target, so one loss serves one-hot, soft and distilled targets.

    Args:
        targets: probabilities by head, as `dataset.targets` returns them.
        predictions: the network's probabilities, in the same shapes.
        config: the weights of the losses.
    """
    losses = {head: _cross_entropy(targets[head], predictions[head]) for head in COLUMNS}
    return {
        "loss": sum(config.weight(head) * loss for head, loss in losses.items()),
        **{f"{head}_loss": loss for head, loss in losses.items()},
        "age_error": age_error(targets[AGE], predictions[AGE]),
        **{f"{head.name}_accuracy": _same(targets[head.name], predictions[head.name]) for head in CHOICES},
    }


def age_error(target: tf.Tensor, prediction: tf.Tensor) -> tf.Tensor:
    """Return the years between the most likely target and the median prediction.

    Args:
        target: (N, AGE_CLASSES) probabilities.
        prediction: (N, AGE_CLASSES) probabilities.

    Returns:
        (N,) float32.
    """
    below = tf.cast(tf.cumsum(prediction, axis=1) < 0.5, tf.float32)
    return tf.abs(tf.reduce_sum(below, axis=1) - tf.cast(tf.argmax(target, axis=1), tf.float32))


def _cross_entropy(target: tf.Tensor, prediction: tf.Tensor) -> tf.Tensor:
    if target.shape[1] == 1:
        return keras.losses.binary_crossentropy(target, prediction)
    return keras.losses.categorical_crossentropy(target, prediction)


def _same(target: tf.Tensor, prediction: tf.Tensor) -> tf.Tensor:
    """Return 1.0 for each face whose most likely label is the same, else 0.0."""
    one, other = (
        values[:, 0] > 0.5 if values.shape[1] == 1 else tf.argmax(values, axis=1) for values in (target, prediction)
    )
    return tf.cast(one == other, tf.float32)
