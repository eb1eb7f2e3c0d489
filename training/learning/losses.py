"""Losses of the heads, and metrics during training."""

from __future__ import annotations

import keras
import tensorflow as tf

from serving.heads import AGE
from training.config import TrainConfig
from training.labels import CHOICES, COLUMNS
from training.learning.dataset import RANGE, Heads, weight_of

# Smallest probability of a range. Its logarithm and its gradient stay finite.
_TINY = 1e-7


def metrics(targets: Heads, predictions: Heads, config: TrainConfig) -> dict[str, tf.Tensor]:
    """Return the losses and metrics of a batch by name, each (N,) float32, 0 for a face that does not count.

    Cross-entropy is linear in its target, so one loss serves one-hot, soft and distilled targets. A missing label adds
    nothing. A range of ages adds the negative logarithm of the probability inside it: the likelihood of an
    interval-censored observation (Turnbull 1976, Journal of the Royal Statistical Society B 38(3)).

    Args:
        targets: probabilities and weights, as `dataset.targets` returns them.
        predictions: the network's probabilities by head.
        config: the weights of the losses.
    """
    losses = {head: targets[weight_of(head)] * _cross_entropy(targets[head], predictions[head]) for head in COLUMNS}
    losses[AGE] += (1 - targets[weight_of(AGE)]) * _range_loss(targets[RANGE], predictions[AGE])
    counted = counts(targets)
    return {
        "loss": sum(config.weight(head) * loss for head, loss in losses.items()),
        **{f"{head}_loss": loss for head, loss in losses.items()},
        "age_error": counted["age_error"] * age_error(targets, predictions[AGE]),
        **{
            f"{head.name}_accuracy": counted[f"{head.name}_accuracy"]
            * _same(targets[head.name], predictions[head.name])
            for head in CHOICES
        },
    }


def counts(targets: Heads) -> dict[str, tf.Tensor]:
    """Return by name of a metric which faces count, (N,) float32 of 0 and 1. The loss counts all.

    A face counts for a head's loss if it has a label or a teacher, and for its error or accuracy if it has a label.
    """
    weights = {head: targets[weight_of(head)] for head in COLUMNS}
    ranged = tf.reduce_max(targets[RANGE], axis=1)
    labelled = {head: tf.cast(weight == 1, tf.float32) for head, weight in weights.items()}
    learned = {head: tf.cast(weight > 0, tf.float32) for head, weight in weights.items()}
    return {
        "loss": tf.ones_like(ranged),
        **{f"{head}_loss": tf.maximum(known, ranged) if head == AGE else known for head, known in learned.items()},
        "age_error": tf.maximum(labelled[AGE], ranged),
        **{f"{head.name}_accuracy": labelled[head.name] for head in CHOICES},
    }


def age_error(targets: Heads, prediction: tf.Tensor) -> tf.Tensor:
    """Return the years between the median prediction and the most likely target, or the nearest age of a range.

    Args:
        targets: as `dataset.targets` returns them.
        prediction: (N, AGE_CLASSES) probabilities.

    Returns:
        (N,) float32.
    """
    below = tf.cast(tf.cumsum(prediction, axis=1) < 0.5, tf.float32)
    years = tf.reduce_sum(below, axis=1)
    inside = targets[RANGE]
    low = tf.cast(tf.argmax(inside, axis=1), tf.float32)
    high = low + tf.reduce_sum(inside, axis=1) - 1
    outside = tf.maximum(tf.maximum(low - years, years - high), 0.0)
    exact = tf.abs(years - tf.cast(tf.argmax(targets[AGE], axis=1), tf.float32))
    return tf.where(tf.reduce_max(inside, axis=1) > 0, outside, exact)


def _range_loss(inside: tf.Tensor, prediction: tf.Tensor) -> tf.Tensor:
    """Return (N,) negative log-likelihoods of ranges, 0 without one. `inside` is (N, AGE_CLASSES)."""
    without = 1 - tf.reduce_max(inside, axis=1)
    return -tf.math.log(tf.reduce_sum(inside * prediction, axis=1) + without + _TINY) * (1 - without)


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
