"""The training loop for a CPU, several GPUs and several machines.

Keras's own `fit` fails under MultiWorkerMirroredStrategy (keras-team/keras issue 20585).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from typing import TypeAlias

import keras
import tensorflow as tf

from training.config import TrainConfig
from training.learning import losses
from training.learning.dataset import Heads
from training.progress import progress

Batch: TypeAlias = tuple[tf.Tensor, Heads]
# Means over the faces of an epoch that count, by name (see `losses.metrics`); NaN if none does.
Metrics: TypeAlias = dict[str, float]

# Begins the names of the sums that count faces.
_COUNT = "faces of "


class Loop:
    """Training and validation of a compiled model under the strategy in whose scope it was built."""

    def __init__(self, model: keras.Model, config: TrainConfig, strategy: tf.distribute.Strategy) -> None:
        self.model, self.config, self.strategy = model, config, strategy
        with strategy.scope():
            model.optimizer.build(model.trainable_variables)
        self._learn_everywhere = tf.function(self._learn_everywhere_eagerly)
        self._look = tf.function(self._sums_of)

    def learn(self, batches: tf.data.Dataset) -> Iterator[Batch]:
        """Return an iterator over the batches for `epoch`, with each batch split over all devices."""
        # Every machine reads all faces and uses its share, because there may be fewer shards than machines.
        options = tf.data.Options()
        options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.DATA
        return iter(self.strategy.experimental_distribute_dataset(batches.with_options(options)))

    def epoch(self, batches: Iterator[Batch], steps: int, title: str) -> Metrics:
        """Train on `steps` batches. The metrics are those of the predictions before each step."""
        metrics = _means(self._learn_everywhere(batches) for _ in progress(range(steps), title, "step"))
        if self.strategy.num_replicas_in_sync > 1:
            self._share_statistics()
        return metrics

    def validate(self, batches: Iterable[Batch]) -> Metrics:
        """Return the metrics of all batches without training. Each machine evaluates all of them."""
        return _means(self._look(self.model(pixels, training=False), heads) for pixels, heads in batches)

    def _learn_everywhere_eagerly(self, batches: Iterator[Batch]) -> dict[str, tf.Tensor]:
        sums = self.strategy.run(self._learn, args=(next(batches),))
        return {name: self.strategy.reduce("SUM", value, axis=None) for name, value in sums.items()}

    def _learn(self, batch: Batch) -> dict[str, tf.Tensor]:
        pixels, heads = batch
        model = self.model
        with tf.GradientTape() as tape:
            sums = self._sums_of(model(pixels, training=True), heads)
            # The optimizer adds up the gradients of all devices, so the loss is divided by the global batch.
            loss = model.optimizer.scale_loss(sums["loss"] / self.config.batch)
        gradients = tape.gradient(loss, model.trainable_variables)
        model.optimizer.apply_gradients(zip(gradients, model.trainable_variables, strict=True))
        return sums

    @tf.function
    def _share_statistics(self) -> None:
        """Set the batch normalization statistics of all devices to their mean."""
        for variable in self.model.non_trainable_variables:
            if variable.dtype.startswith("float"):
                seen = self.strategy.run(lambda own: tf.identity(own.value), args=(variable,))
                variable.assign(self.strategy.reduce("MEAN", seen, axis=None))

    def _sums_of(self, predictions: Heads, heads: Heads) -> dict[str, tf.Tensor]:
        metrics, counted = losses.metrics(heads, predictions, self.config), losses.counts(heads)
        sums = {name: tf.reduce_sum(values) for name, values in metrics.items()}
        return sums | {f"{_COUNT}{name}": tf.reduce_sum(values) for name, values in counted.items()}


def _means(batches: Iterable[dict[str, tf.Tensor]]) -> Metrics:
    totals: dict[str, tf.Tensor] = {}
    for sums in batches:
        # Added up on the device: reading a number would make the host wait at each step.
        totals = {name: totals.get(name, 0.0) + value for name, value in sums.items()}
    counted = {name: float(total) for name, total in totals.items() if name.startswith(_COUNT)}
    sums = {name: float(total) for name, total in totals.items() if not name.startswith(_COUNT)}
    return {
        name: total / counted[f"{_COUNT}{name}"] if counted[f"{_COUNT}{name}"] else math.nan
        for name, total in sums.items()
    }
