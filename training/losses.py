"""The three losses, and the figures that a person reads while a network learns."""

from __future__ import annotations

import keras
import tensorflow as tf

from training.config import TrainConfig


@keras.saving.register_keras_serializable("training")
def age_error(y_true: tf.Tensor, y_pred: tf.Tensor) -> tf.Tensor:
    """(N, AGE_CLASSES) targets and probabilities -> (N,) years between the likeliest target and the median answer."""
    below = tf.cast(tf.cumsum(tf.cast(y_pred, tf.float32), axis=1) < 0.5, tf.float32)
    return tf.abs(tf.reduce_sum(below, axis=1) - tf.cast(tf.argmax(y_true, axis=1), tf.float32))


@keras.saving.register_keras_serializable("training")
def accuracy(y_true: tf.Tensor, y_pred: tf.Tensor) -> tf.Tensor:
    """(N, 1) or (N, classes) targets and probabilities -> (N,) 1 where both favour the same class, else 0."""
    if y_pred.shape[-1] == 1:
        return tf.cast((y_true > 0.5) == (y_pred > 0.5), tf.float32)[:, 0]
    return tf.cast(tf.argmax(y_true, axis=1) == tf.argmax(y_pred, axis=1), tf.float32)


def merit(logs: dict[str, float]) -> float:
    """One figure to choose an epoch by, in years; lower is better.

    Years of age error on validation, with 0.2 years for each point of gender error and 0.1 for each of ethnicity. The
    validation loss would not do: late in training it mostly punishes confidence, which calibration takes back.
    """
    gender, ethnicity = logs["val_gender_accuracy"], logs["val_ethnicity_accuracy"]
    return logs["val_age_age_error"] + 20 * (1 - gender) + 10 * (1 - ethnicity)


def compile_options(config: TrainConfig) -> dict[str, object]:
    """Losses, their weights and the metrics, by head, as `keras.Model.compile` takes them.

    Cross-entropy is linear in its target, so one loss a head serves one-hot, soft and taught targets alike.
    """
    return {
        "loss": {
            "age": keras.losses.CategoricalCrossentropy(),
            "gender": keras.losses.BinaryCrossentropy(),
            "ethnicity": keras.losses.CategoricalCrossentropy(),
        },
        "loss_weights": {
            "age": config.age_weight,
            "gender": config.gender_weight,
            "ethnicity": config.ethnicity_weight,
        },
        "metrics": {"age": [age_error], "gender": [accuracy], "ethnicity": [accuracy]},
    }
