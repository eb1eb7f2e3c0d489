"""The three losses, and the figures that a person reads while a network learns."""

from __future__ import annotations

import keras
import tensorflow as tf

from training.config import TrainConfig
from training.learning.dataset import Heads


def figures(targets: Heads, answers: Heads, config: TrainConfig) -> dict[str, tf.Tensor]:
    """What a batch is learnt by and looked at by, each (N,) float32.

    Cross-entropy is linear in its target, so that one loss a head serves one-hot, soft and taught targets alike.

    Args:
        targets: probabilities by head, as `dataset.targets` gives them.
        answers: the network's, in the same shapes.
        config: the weights of the three losses.
    """
    age, gender, ethnicity = (
        keras.losses.categorical_crossentropy(targets["age"], answers["age"]),
        keras.losses.binary_crossentropy(targets["gender"], answers["gender"]),
        keras.losses.categorical_crossentropy(targets["ethnicity"], answers["ethnicity"]),
    )
    return {
        "loss": config.age_weight * age + config.gender_weight * gender + config.ethnicity_weight * ethnicity,
        "age_loss": age,
        "gender_loss": gender,
        "ethnicity_loss": ethnicity,
        "age_error": age_error(targets["age"], answers["age"]),
        "gender_accuracy": _same((targets["gender"] > 0.5)[:, 0], (answers["gender"] > 0.5)[:, 0]),
        "ethnicity_accuracy": _same(tf.argmax(targets["ethnicity"], 1), tf.argmax(answers["ethnicity"], 1)),
    }


def age_error(target: tf.Tensor, answer: tf.Tensor) -> tf.Tensor:
    """(N, AGE_CLASSES) probabilities -> (N,) years between the likeliest target and the median answer."""
    below = tf.cast(tf.cumsum(answer, axis=1) < 0.5, tf.float32)
    return tf.abs(tf.reduce_sum(below, axis=1) - tf.cast(tf.argmax(target, axis=1), tf.float32))


def merit(row: dict[str, float]) -> float:
    """One figure to choose an epoch by, in years; lower is better.

    Years of age error on validation, with 0.2 years for each point of gender error and 0.1 for each of ethnicity. The
    validation loss would not do: late in training it mostly punishes confidence, which calibration takes back.
    """
    gender, ethnicity = row["val_gender_accuracy"], row["val_ethnicity_accuracy"]
    return row["val_age_error"] + 20 * (1 - gender) + 10 * (1 - ethnicity)


def _same(one: tf.Tensor, other: tf.Tensor) -> tf.Tensor:
    return tf.cast(one == other, tf.float32)
