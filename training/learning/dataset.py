"""Input pipeline: batches from shards through tf.data, with constant memory."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import TypeAlias

import tensorflow as tf

from serving.heads import AGE
from training.config import TrainConfig
from training.data import shards
from training.data.shards import LABEL_COLUMNS, Shard
from training.labels import AGE_CLASSES, CHOICES, MISSING, age_range, by_head, exact_ages, ranged_ages
from training.learning import teacher
from training.learning.augmentation import augment
from training.learning.teacher import PREDICTION_COLUMNS, PREDICTION_WIDTHS

Heads: TypeAlias = dict[str, tf.Tensor]

# Name of the target of ranges of ages.
RANGE = "age_range"
# Faces in the shuffle buffer, which takes 57 MB at 96x96 pixels.
_SHUFFLE_FACES = 2048
# Shards that training reads in parallel.
_INTERLEAVED_SHARDS = 4
_VALIDATION_BATCH = 256
# Length of a .npy header in bytes. NumPy pads the header of every array with few dimensions to it.
_HEADER_BYTES = 128


def batches(folder: Path, split: str, batch: int) -> tf.data.Dataset:
    """Return one pass over a split in its fixed order: (N, size, size, 3) uint8 and (N, LABEL_COLUMNS) uint8."""
    fingerprint = shards.fingerprint(folder)
    records = _files(shards.shards(folder, split)).flat_map(lambda *files: _read(files, fingerprint.size))
    counted = records.apply(tf.data.experimental.assert_cardinality(fingerprint.faces[split]))
    return counted.batch(batch).map(lambda *strings: tuple(_decode(strings, fingerprint.size))).prefetch(2)


def training_batches(folder: Path, config: TrainConfig, seed: int, predictions: Path | None = None) -> tf.data.Dataset:
    """Return endless shuffled and augmented training batches: (N, size, size, 3) float32 and targets by head.

    Args:
        folder: output of `prepare`.
        config: batch, augmentation and targets (see `targets`).
        seed: seed of the order and of the augmentation.
        predictions: folder with a teacher's predictions for the same faces (see `teacher.write_predictions`).
    """
    return learnable(training_records(folder, config, seed, predictions), folder, config, seed)


def mixed_batches(
    folder: Path, other: Path, config: TrainConfig, seed: int, predictions: Path | None, initial: Path
) -> tf.data.Dataset:
    """Return training batches as `training_batches` does, with a share of other faces in each.

    Args:
        folder: output of `prepare` with the user's own faces.
        other: the sample of other faces (see `other_faces.sample`).
        config: batch, shares, augmentation and targets.
        seed: seed of the order and of the augmentation.
        predictions: folder with the teachers' predictions for the own faces, or None.
        initial: folder with the initial release's predictions for the other faces.
    """
    own = training_batches(folder, replace(config, batch=config.own_batch), seed, predictions)
    rest = replace(config, batch=config.batch - config.own_batch, teacher_share=config.other_teacher_share)
    others = training_batches(other, rest, seed, initial)
    return tf.data.Dataset.zip(own, others).map(
        lambda *pair: tf.nest.map_structure(lambda mine, theirs: tf.concat([mine, theirs], axis=0), *pair)
    )


def training_records(folder: Path, config: TrainConfig, seed: int, predictions: Path | None = None) -> tf.data.Dataset:
    """Return endless shuffled batches of raw records from the shards: (N,) strings, the input of `learnable`."""
    size = shards.fingerprint(folder).size
    found = shards.shards(folder, "train")
    return (
        _files(found, predictions)
        .shuffle(len(found), seed=seed)
        .repeat()
        .interleave(lambda *files: _read(files, size), cycle_length=_INTERLEAVED_SHARDS)
        .shuffle(_SHUFFLE_FACES, seed=seed)
        .batch(config.batch, drop_remainder=True)
    )


def learnable(records: tf.data.Dataset, folder: Path, config: TrainConfig, seed: int) -> tf.data.Dataset:
    """Decode, augment and label batches of records, with prefetching."""
    size = shards.fingerprint(folder).size
    generator = tf.random.Generator.from_seed(seed)

    def finish(*strings: tf.Tensor) -> tuple[tf.Tensor, Heads]:
        pixels, labels, *answered = _decode(strings, size)
        faces = tf.cast(pixels, tf.float32)
        if config.augmentation is not None:
            faces = augment(faces, config.augmentation, generator)
        return faces, targets(labels, config, *answered)

    return records.map(finish).prefetch(tf.data.AUTOTUNE)


def validation_batches(folder: Path, config: TrainConfig) -> tf.data.Dataset:
    """Return one pass over the validation faces, with targets from labels alone."""
    return _learnt(batches(folder, "validation", _VALIDATION_BATCH), config)


def _learnt(faces: tf.data.Dataset, config: TrainConfig) -> tf.data.Dataset:
    """Return batches of pixels and labels as the network takes them, with targets from labels alone."""
    return faces.map(lambda pixels, labels: (tf.cast(pixels, tf.float32), targets(labels, config)))


def outside(folder: Path, config: TrainConfig, low: float, high: float) -> tf.data.Dataset:
    """Return the validation batches of the faces outside of the ages `low` to `high` in years.

    A range lies outside if all of it does, a missing age does not. If no face lies outside, all faces count.
    """

    def lies_outside(_: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
        youngest, oldest = (tf.cast(ages[0], tf.float32) for ages in age_range(labels[None]))
        return (youngest != MISSING) & ((oldest < low) | (youngest > high))

    found = batches(folder, "validation", _VALIDATION_BATCH).unbatch().filter(lies_outside).batch(_VALIDATION_BATCH)
    return _learnt(found, config) if any(True for _ in found.take(1)) else validation_batches(folder, config)


def targets(labels: tf.Tensor, config: TrainConfig, predictions: tf.Tensor | None = None) -> Heads:
    """Return the targets of the network, and what they are worth.

    The target of an exact age is a Gaussian over the years (label distribution learning, Gao et al. 2017,
    arXiv:1611.01731). A teacher's predictions are mixed into every target (distillation, Hinton et al. 2015,
    arXiv:1503.02531). Where the label is missing or a range, the target is the teacher's prediction alone.

    Args:
        labels: (N, LABEL_COLUMNS) uint8.
        config: width of the Gaussian, and weight of the teacher.
        predictions: (N, PREDICTION_COLUMNS) float32 probabilities of a teacher.

    Returns:
        float32 by name. For each head: probabilities, (N, AGE_CLASSES) for the age, (N, width) for a choice; and their
        weight in the loss, (N,) under `weight_of(head)`: 1 with a label, else the teacher's share, 0 without a teacher.
        RANGE: (N, AGE_CLASSES), 1 in the years of a range, 0 in all years of a face without a range.
    """
    labelled, years = by_head(labels), tf.range(AGE_CLASSES, dtype=tf.float32)[None, :]
    low, high = (tf.cast(ages, tf.float32)[:, None] for ages in age_range(labels))
    exact = {AGE: exact_ages(labels), **{head.name: labelled[head.name] != MISSING for head in CHOICES}}
    heads = {
        AGE: tf.nn.softmax(-tf.square(years - low) / (2 * config.age_sigma**2)),
        **{head.name: _certain(labelled[head.name], head.width) for head in CHOICES},
    }
    share, taught = 0.0, {name: tf.zeros_like(head) for name, head in heads.items()}
    if predictions is not None:
        share = config.teacher_share
        taught = dict(zip(heads, tf.split(predictions, PREDICTION_WIDTHS, axis=1), strict=True))
    ranged = (years >= low) & (years <= high) & ranged_ages(labels)[:, None]
    return {
        **{
            name: tf.where(exact[name][:, None], (1 - share) * head + share * taught[name], taught[name])
            for name, head in heads.items()
        },
        **{weight_of(name): tf.where(known, 1.0, share) for name, known in exact.items()},
        RANGE: tf.cast(ranged, tf.float32),
    }


def weight_of(head: str) -> str:
    """Return the name of the weights of a head's targets."""
    return f"{head}_weight"


def _certain(classes: tf.Tensor, width: int) -> tf.Tensor:
    """Return (N, width) float32 probabilities for (N,) class indices."""
    return tf.cast(classes, tf.float32)[:, None] if width == 1 else tf.one_hot(classes, width)


def _files(found: list[Shard], predictions: Path | None = None) -> tf.data.Dataset:
    """Return the file names of each shard: pixels, labels and, with a teacher, its predictions."""
    columns = [[str(shard.pixels) for shard in found], [str(shard.labels) for shard in found]]
    if predictions is not None:
        columns.append([str(teacher.predictions_file(predictions, shard)) for shard in found])
    return tf.data.Dataset.from_tensor_slices(tuple(columns))


def _layout(size: int) -> tuple[tuple[tf.DType, tuple[int, ...]], ...]:
    """Return type and shape of a face's record in each file of a shard."""
    return (tf.uint8, (size, size, 3)), (tf.uint8, (LABEL_COLUMNS,)), (tf.float32, (PREDICTION_COLUMNS,))


def _read(files: tuple[tf.Tensor, ...], size: int) -> tf.data.Dataset:
    """Return the records of one shard, a string for each file. A .npy file is a header and records of equal length."""
    lengths = [kind.size * math.prod(shape) for kind, shape in _layout(size)]
    return tf.data.Dataset.zip(
        *(
            tf.data.FixedLengthRecordDataset(file, length, header_bytes=_HEADER_BYTES, buffer_size=2**20)
            for file, length in zip(files, lengths, strict=False)
        )
    )


def _decode(records: tuple[tf.Tensor, ...], size: int) -> list[tf.Tensor]:
    """Decode (N,) strings of pixels, labels and predictions to arrays. Whole batches cost least."""
    return [
        tf.reshape(tf.io.decode_raw(strings, kind), (-1, *shape))
        for strings, (kind, shape) in zip(records, _layout(size), strict=False)
    ]
