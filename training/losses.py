"""The three losses, and the age error that a person reads."""

from __future__ import annotations

import keras
import tensorflow as tf

from training.config import TrainConfig
from training.labels import AGE_CLASSES

_EPSILON = 1e-7


@keras.saving.register_keras_serializable("training")
class SoftAgeCrossEntropy(keras.losses.Loss):
    """Cross-entropy against a Gaussian over the years around the labelled one.

    Neighbouring years share the credit (label distribution learning, Gao et al. 2017, arXiv:1611.01731).
    """

    def __init__(self, sigma: float, name: str = "soft_age_cross_entropy", **options: object) -> None:
        super().__init__(name=name, **options)
        self.sigma = sigma

    def call(self, y_true: tf.Tensor, y_pred: tf.Tensor) -> tf.Tensor:
        """(N, 1) years and (N, AGE_CLASSES) probabilities -> (N,) nats."""
        years = tf.range(AGE_CLASSES, dtype=tf.float32)[None, :]
        wanted = tf.nn.softmax(-tf.square(years - tf.cast(y_true, tf.float32)) / (2 * self.sigma**2))
        return -tf.reduce_sum(wanted * tf.math.log(tf.cast(y_pred, tf.float32) + _EPSILON), axis=1)

    def get_config(self) -> dict[str, object]:
        """What keras writes beside the weights."""
        return {**super().get_config(), "sigma": self.sigma}


@keras.saving.register_keras_serializable("training")
def age_error(y_true: tf.Tensor, y_pred: tf.Tensor) -> tf.Tensor:
    """(N, 1) years and (N, AGE_CLASSES) probabilities -> (N,) years between label and median."""
    below = tf.cast(tf.cumsum(tf.cast(y_pred, tf.float32), axis=1) < 0.5, tf.float32)
    return tf.abs(tf.reduce_sum(below, axis=1) - tf.cast(y_true, tf.float32)[:, 0])


def merit(logs: dict[str, float]) -> float:
    """One figure to choose an epoch by, in years; lower is better.

    Years of age error on validation, with 0.2 years for each point of gender error and 0.1 for each of ethnicity. The
    validation loss would not do: late in training it mostly punishes confidence, which calibration takes back.
    """
    gender, ethnicity = logs["val_gender_binary_accuracy"], logs["val_ethnicity_sparse_categorical_accuracy"]
    return logs["val_age_age_error"] + 20 * (1 - gender) + 10 * (1 - ethnicity)


def compile_options(config: TrainConfig) -> dict[str, object]:
    """Losses, their weights and the metrics, by head, as `keras.Model.compile` takes them."""
    return {
        "loss": {
            "age": SoftAgeCrossEntropy(config.age_sigma),
            "gender": keras.losses.BinaryCrossentropy(),
            "ethnicity": keras.losses.SparseCategoricalCrossentropy(),
        },
        "loss_weights": {
            "age": config.age_weight,
            "gender": config.gender_weight,
            "ethnicity": config.ethnicity_weight,
        },
        "metrics": {"age": [age_error], "gender": ["binary_accuracy"], "ethnicity": ["sparse_categorical_accuracy"]},
    }
