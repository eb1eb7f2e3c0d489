"""Shards -> batches through tf.data: streamed, shuffled, augmented; memory does not grow with the data."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import tensorflow as tf

from training import shards
from training.config import Augmentation
from training.shards import LABEL_COLUMNS, Shard

# faces held for shuffling; at 96x96 these take 57 MB
_SHUFFLE_FACES = 2048
# shards read at once while training
_INTERLEAVED_SHARDS = 4
# numpy pads the header of every array of few dimensions to this length
_HEADER_BYTES = 128


def batches(folder: Path, split: str, batch: int) -> tf.data.Dataset:
    """One pass over a split in its fixed order: (N, size, size, 3) uint8 and (N, 3) uint8."""
    fingerprint = shards.fingerprint(folder)
    files = _file_names(shards.shards(folder, split))
    faces = files.flat_map(lambda pixels, labels: _read(pixels, labels, fingerprint.size))
    return faces.apply(tf.data.experimental.assert_cardinality(fingerprint.faces[split])).batch(batch).prefetch(2)


def training_batches(folder: Path, batch: int, augmentation: Augmentation | None, seed: int) -> tf.data.Dataset:
    """Endless shuffled and augmented training faces: (N, size, size, 3) and targets by head (see `targets`)."""
    size = shards.fingerprint(folder).size
    found = shards.shards(folder, "train")
    dataset = (
        _file_names(found)
        .shuffle(len(found), seed=seed)
        .repeat()
        .interleave(lambda pixels, labels: _read(pixels, labels, size), cycle_length=_INTERLEAVED_SHARDS)
        .shuffle(_SHUFFLE_FACES, seed=seed)
        .batch(batch, drop_remainder=True)
    )
    if augmentation is not None:
        generator = tf.random.Generator.from_seed(seed)
        dataset = dataset.map(lambda pixels, labels: (_augment(pixels, augmentation, generator), labels))
    return dataset.map(targets).prefetch(tf.data.AUTOTUNE)


def targets(pixels: tf.Tensor, labels: tf.Tensor) -> tuple[tf.Tensor, dict[str, tf.Tensor]]:
    """(N, 3) uint8 labels -> {"age": (N, 1) years, "gender": (N, 1) 0 or 1, "ethnicity": (N, 1) class}, float32."""
    columns = tf.cast(labels, tf.float32)
    heads = {"age": columns[:, 0:1], "gender": columns[:, 1:2], "ethnicity": columns[:, 2:3]}
    return tf.cast(pixels, tf.float32), heads


def _file_names(found: list[Shard]) -> tf.data.Dataset:
    return tf.data.Dataset.from_tensor_slices(([str(s.pixels) for s in found], [str(s.labels) for s in found]))


def _read(pixels: tf.Tensor, labels: tf.Tensor, size: int) -> tf.data.Dataset:
    """The faces of one shard. A .npy file is a header and then equally long records."""
    faces = tf.data.FixedLengthRecordDataset(pixels, size * size * 3, header_bytes=_HEADER_BYTES, buffer_size=2**20)
    rows = tf.data.FixedLengthRecordDataset(labels, LABEL_COLUMNS, header_bytes=_HEADER_BYTES)
    return tf.data.Dataset.zip(faces, rows).map(
        lambda face, row: (
            tf.reshape(tf.io.decode_raw(face, tf.uint8), (size, size, 3)),
            tf.reshape(tf.io.decode_raw(row, tf.uint8), (LABEL_COLUMNS,)),
        )
    )


def _augment(pixels: tf.Tensor, config: Augmentation, generator: tf.random.Generator) -> tf.Tensor:
    """Flip, rotate, scale, shift, light and erase: (N, H, W, 3) uint8 -> float32 in 0..255, one draw for each face."""
    faces = tf.cast(pixels, tf.float32)
    count, side = tf.shape(faces)[0], pixels.shape[1]

    def draw(spread: float) -> tf.Tensor:
        return generator.uniform((count,), -spread, spread)

    faces = tf.raw_ops.ImageProjectiveTransformV3(
        images=faces,
        transforms=_transforms(
            mirror=tf.sign(draw(1.0)),
            angle=draw(config.rotation * np.pi / 180),
            zoom=tf.exp(draw(config.scale)),
            shift=(draw(config.shift * side), draw(config.shift * side)),
            center=(side - 1) / 2,
        ),
        output_shape=(side, side),
        fill_value=0.0,
        interpolation="BILINEAR",
        fill_mode="NEAREST",
    )
    contrast = (1 + draw(config.light))[:, None, None, None]
    brightness = (draw(config.light) * 255 / 2)[:, None, None, None]
    mean = tf.reduce_mean(faces, axis=(1, 2, 3), keepdims=True)
    faces = tf.clip_by_value((faces - mean) * contrast + mean + brightness, 0.0, 255.0)
    return tf.where(_erased(count, side, config.erase, generator)[..., None], mean, faces)


def _transforms(
    mirror: tf.Tensor, angle: tf.Tensor, zoom: tf.Tensor, shift: tuple[tf.Tensor, tf.Tensor], center: float
) -> tf.Tensor:
    """(N, 8) rows of the map from output to input pixels: about the centre, then shifted."""
    cosine, sine = tf.cos(angle) * zoom, tf.sin(angle) * zoom
    a, b = cosine * mirror, -sine
    c, d = sine * mirror, cosine
    x = center - a * center - b * center + shift[0]
    y = center - c * center - d * center + shift[1]
    zero = tf.zeros_like(a)
    return tf.stack([a, b, x, c, d, y, zero, zero], axis=1)


def _erased(count: tf.Tensor, side: int, probability: float, generator: tf.random.Generator) -> tf.Tensor:
    """(N, side, side) bool: for a share of the faces a rectangle of a tenth to a third of each side."""
    height, width = (generator.uniform((count, 1), 0.1 * side, 0.35 * side) for _ in range(2))
    top, left = generator.uniform((count, 1), 0.0, side - height), generator.uniform((count, 1), 0.0, side - width)
    steps = tf.range(side, dtype=tf.float32)[None, :]
    rows = (steps >= top) & (steps < top + height)
    columns = (steps >= left) & (steps < left + width)
    chosen = generator.uniform((count, 1)) < probability
    return rows[:, :, None] & columns[:, None, :] & chosen[:, :, None]
