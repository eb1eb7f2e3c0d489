"""A loss for each head, and the metrics that a person reads while a network learns."""

from __future__ import annotations

import keras
import tensorflow as tf

from serving.heads import AGE
from training.config import TrainConfig
from training.labels import CHOICES, COLUMNS
from training.learning.dataset import Heads


def metrics(targets: Heads, predictions: Heads, config: TrainConfig) -> dict[str, tf.Tensor]:
    """What a batch is learnt by and looked at by, each (N,) float32.

    Cross-entropy is linear in its target, so that one loss a head serves one-hot, soft and taught targets alike.

    Args:
        targets: probabilities by head, as `dataset.targets` gives them.
        predictions: the network's, in the same shapes.
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
    """(N, AGE_CLASSES) probabilities -> (N,) years between the likeliest target and the median answer."""
    below = tf.cast(tf.cumsum(prediction, axis=1) < 0.5, tf.float32)
    return tf.abs(tf.reduce_sum(below, axis=1) - tf.cast(tf.argmax(target, axis=1), tf.float32))


def selection_metric(row: dict[str, float]) -> float:
    """One metric to choose an epoch by, in years; lower is better.

    Years of age error on validation, with the cost of each choice for the share of it that is wrong. The validation
    loss would not do: late in training it mostly punishes confidence, which calibration takes back.
    """
    return sum(
        (head.selection_weight * (1 - row[f"val_{head.name}_accuracy"]) for head in CHOICES), row["val_age_error"]
    )


def _cross_entropy(target: tf.Tensor, prediction: tf.Tensor) -> tf.Tensor:
    if target.shape[1] == 1:
        return keras.losses.binary_crossentropy(target, prediction)
    return keras.losses.categorical_crossentropy(target, prediction)


def _same(target: tf.Tensor, prediction: tf.Tensor) -> tf.Tensor:
    """Whether the likeliest label is the same, 0 or 1 for each face."""
    one, other = (
        values[:, 0] > 0.5 if values.shape[1] == 1 else tf.argmax(values, axis=1) for values in (target, prediction)
    )
    return tf.cast(one == other, tf.float32)
