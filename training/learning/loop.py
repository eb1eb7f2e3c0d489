"""Steps and epochs: one loop for a processor, for several GPUs and for several machines.

keras's own `fit` fails under MultiWorkerMirroredStrategy (keras-team/keras issue 20585), hence this one.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from typing import TypeAlias

import keras
import tensorflow as tf
from tqdm import tqdm

from training.config import TrainConfig
from training.learning import losses
from training.learning.dataset import Heads

Batch: TypeAlias = tuple[tf.Tensor, Heads]
# What an epoch was like: the means over its faces, by name (see `losses.metrics`).
Metrics: TypeAlias = dict[str, float]


class Loop:
    """Teaches a compiled model under a strategy, whose scope it was built in."""

    def __init__(self, model: keras.Model, config: TrainConfig, strategy: tf.distribute.Strategy) -> None:
        self.model, self.config, self.strategy = model, config, strategy
        with strategy.scope():
            model.optimizer.build(model.trainable_variables)
        self._learn_everywhere = tf.function(self._learn_everywhere_eagerly)
        self._look = tf.function(self._sums_of)

    def learn(self, batches: tf.data.Dataset) -> Iterator[Batch]:
        """The batches as `epoch` takes them: each split over all devices."""
        # Every machine reads all faces and keeps its share: shards may be fewer than machines.
        options = tf.data.Options()
        options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.DATA
        return iter(self.strategy.experimental_distribute_dataset(batches.with_options(options)))

    def epoch(self, batches: Iterator[Batch], steps: int, title: str) -> Metrics:
        """Learn from `steps` batches; the metrics are of the answers before each step."""
        progress = tqdm(range(steps), desc=title, unit="step", leave=False, disable=not sys.stderr.isatty())
        metrics = _means(self._learn_everywhere(batches) for _ in progress)
        if self.strategy.num_replicas_in_sync > 1:
            self._share_statistics()
        return metrics

    def validate(self, batches: Iterable[Batch]) -> Metrics:
        """Look at every batch, learn nothing. Each machine looks at all of them, and so finds the same."""
        return _means(self._look(self.model(pixels, training=False), heads) for pixels, heads in batches)

    def _learn_everywhere_eagerly(self, batches: Iterator[Batch]) -> dict[str, tf.Tensor]:
        sums = self.strategy.run(self._learn, args=(next(batches),))
        return {name: self.strategy.reduce("SUM", value, axis=None) for name, value in sums.items()}

    def _learn(self, batch: Batch) -> dict[str, tf.Tensor]:
        pixels, heads = batch
        model = self.model
        with tf.GradientTape() as tape:
            sums = self._sums_of(model(pixels, training=True), heads)
            # The optimizer adds up the gradients of all devices, so that each counts its faces among all.
            loss = model.optimizer.scale_loss(sums["loss"] / self.config.batch)
        gradients = tape.gradient(loss, model.trainable_variables)
        model.optimizer.apply_gradients(zip(gradients, model.trainable_variables, strict=True))
        return sums

    @tf.function
    def _share_statistics(self) -> None:
        """Each device normalised its own part of each batch; from here on all have the mean of what they saw."""
        for variable in self.model.non_trainable_variables:
            if variable.dtype.startswith("float"):
                seen = self.strategy.run(lambda own: tf.identity(own.value), args=(variable,))
                variable.assign(self.strategy.reduce("MEAN", seen, axis=None))

    def _sums_of(self, predictions: Heads, heads: Heads) -> dict[str, tf.Tensor]:
        metrics = losses.metrics(heads, predictions, self.config)
        sums = {name: tf.reduce_sum(values) for name, values in metrics.items()}
        return sums | {"faces": tf.cast(tf.shape(predictions["age"])[0], tf.float32)}


def _means(batches: Iterable[dict[str, tf.Tensor]]) -> Metrics:
    totals: dict[str, tf.Tensor] = {}
    for sums in batches:
        # Added up where they are: asking for a number would make the host wait for the device at each step.
        totals = {name: totals.get(name, 0.0) + value for name, value in sums.items()}
    faces = float(totals.pop("faces"))
    return {name: float(total) / faces for name, total in totals.items()}
