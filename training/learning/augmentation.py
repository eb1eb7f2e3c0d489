"""Augmentation: random changes of training faces, which imitate other cameras, poses and detectors."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
import tensorflow as tf

from training.config import Augmentation

# Sides of a coarse face as shares of its side. A batch has faces of each.
_COARSE_SIDES = (0.2, 0.3, 0.45)
_JPEG_QUALITIES = (15, 75)

Entries: TypeAlias = tuple[tf.Tensor, tf.Tensor, tf.Tensor, tf.Tensor]


def augment(faces: tf.Tensor, config: Augmentation, generator: tf.random.Generator) -> tf.Tensor:
    """Change each face at random: geometry first, then light, then what a cheap camera does.

    Args:
        faces: (N, H, W, 3) float32 from 0 to 255.
        config: how strong or likely each change is.
        generator: source of the random numbers.

    Returns:
        The faces in the same shape, type and range.
    """
    faces = _moved(faces, config, generator)
    faces = _lit(faces, config, generator)
    # The mean before noise and compression, which depend on the batch, so that erased pixels have the face's own grey.
    mean = tf.reduce_mean(faces, axis=(1, 2, 3), keepdims=True)
    faces = _as_a_camera_sees(faces, config, generator)
    return tf.where(_erased(tf.shape(faces)[0], faces.shape[1], config.erase, generator)[..., None], mean, faces)


def _moved(faces: tf.Tensor, config: Augmentation, generator: tf.random.Generator) -> tf.Tensor:
    """Flip, turn, scale, stretch, tilt and shift the faces."""
    count, side = tf.shape(faces)[0], faces.shape[1]

    def draw(spread: float) -> tf.Tensor:
        return generator.uniform((count,), -spread, spread)

    matrix = _matrix(
        mirror=tf.sign(draw(1.0)),
        angle=draw(config.rotation * np.pi / 180),
        zoom=tf.exp(draw(config.scale)),
        aspect=tf.exp(draw(config.stretch / 2)),
        shear=draw(config.stretch),
    )
    tilt = draw(config.perspective), draw(config.perspective)
    shift = draw(config.shift * side), draw(config.shift * side)
    return tf.raw_ops.ImageProjectiveTransformV3(
        images=faces,
        transforms=_transforms(matrix, tilt, shift, center=(side - 1) / 2),
        output_shape=(side, side),
        fill_value=0.0,
        interpolation="BILINEAR",
        fill_mode="NEAREST",
    )


def _matrix(mirror: tf.Tensor, angle: tf.Tensor, zoom: tf.Tensor, aspect: tf.Tensor, shear: tf.Tensor) -> Entries:
    """Return the entries a, b, c, d, (N,) each, of matrices that turn, scale and stretch."""
    cosine, sine = tf.cos(angle) * zoom, tf.sin(angle) * zoom
    wide = mirror * aspect
    return cosine * wide, (cosine * shear - sine) / aspect, sine * wide, (sine * shear + cosine) / aspect


def _transforms(
    matrix: Entries, tilt: tuple[tf.Tensor, tf.Tensor], shift: tuple[tf.Tensor, tf.Tensor], center: float
) -> tf.Tensor:
    """Return (N, 8) projective transforms from output to input pixels: around the center, then shifted.

    With u and v as distances from the center, x = center + shift + (a u + b v) / (1 + p u + q v), likewise y. The tilt
    is p and q, times the distance from the center to an edge.
    """
    a, b, c, d = matrix
    p, q = tilt[0] / center, tilt[1] / center
    x, y = center + shift[0], center + shift[1]
    # The same with pixels counted from the corner. The last entry of the homogeneous matrix has to be 1.
    last = 1 - (p + q) * center
    rows = [
        a + x * p,
        b + x * q,
        x * last - (a + b) * center,
        c + y * p,
        d + y * q,
        y * last - (c + d) * center,
        p,
        q,
    ]
    return tf.stack(rows, axis=1) / last[:, None]


def _lit(faces: tf.Tensor, config: Augmentation, generator: tf.random.Generator) -> tf.Tensor:
    """Change brightness, contrast and tint."""
    count = tf.shape(faces)[0]

    def draw(spread: float, *shape: int) -> tf.Tensor:
        return generator.uniform((count, *shape), -spread, spread)

    contrast = 1 + draw(config.light, 1, 1, 1)
    brightness = draw(config.light, 1, 1, 1) * 255 / 2
    tint = 1 + draw(config.tint, 1, 1, 3)
    mean = tf.reduce_mean(faces, axis=(1, 2, 3), keepdims=True)
    return tf.clip_by_value(((faces - mean) * contrast + mean + brightness) * tint, 0.0, 255.0)


def _as_a_camera_sees(faces: tf.Tensor, config: Augmentation, generator: tf.random.Generator) -> tf.Tensor:
    """Blur, lower the resolution, add noise, compress."""
    count = tf.shape(faces)[0]

    def chosen(probability: float) -> tf.Tensor:
        return generator.uniform((count, 1, 1, 1)) < probability

    faces = tf.where(chosen(config.blur), tf.nn.avg_pool2d(faces, 3, 1, "SAME"), faces)
    if config.coarse:
        faces = _coarse(faces, config.coarse, generator)
    if config.noise:
        level = generator.uniform((count, 1, 1, 1), 0.0, config.noise * 255)
        faces = tf.clip_by_value(faces + level * generator.normal(tf.shape(faces)), 0.0, 255.0)
    if config.jpeg:
        qualities = generator.uniform((count,), *_JPEG_QUALITIES, dtype=tf.int32)
        compress = chosen(config.jpeg)[:, 0, 0, 0]
        faces = tf.map_fn(_compressed, (faces, compress, qualities), fn_output_signature=tf.float32)
    return faces


def _coarse(faces: tf.Tensor, probability: float, generator: tf.random.Generator) -> tf.Tensor:
    """Lower the resolution of a share of the faces to one of _COARSE_SIDES."""
    side = faces.shape[1]
    drawn = generator.uniform((tf.shape(faces)[0], 1, 1, 1))
    found = faces
    for number, share in enumerate(_COARSE_SIDES):
        small = tf.image.resize(faces, [max(1, round(share * side))] * 2, antialias=True)
        low, high = (probability * edge / len(_COARSE_SIDES) for edge in (number, number + 1))
        found = tf.where((drawn >= low) & (drawn < high), tf.image.resize(small, [side, side]), found)
    return found


def _compressed(face: tuple[tf.Tensor, tf.Tensor, tf.Tensor]) -> tf.Tensor:
    """Return one face (H, W, 3) as it is, or as a JPEG file of the quality gives it back."""
    pixels, compress, quality = face

    def compressed() -> tf.Tensor:
        file = tf.image.adjust_jpeg_quality(pixels / 255, quality)
        return tf.ensure_shape(file, pixels.shape) * 255

    return tf.cond(compress, compressed, lambda: pixels)


def _erased(count: tf.Tensor, side: int, probability: float, generator: tf.random.Generator) -> tf.Tensor:
    """Return (N, side, side) bool masks: in a share of the faces, a rectangle of 10 % to 35 % of each side."""
    height, width = (generator.uniform((count, 1), 0.1 * side, 0.35 * side) for _ in range(2))
    top, left = generator.uniform((count, 1), 0.0, side - height), generator.uniform((count, 1), 0.0, side - width)
    steps = tf.range(side, dtype=tf.float32)[None, :]
    rows = (steps >= top) & (steps < top + height)
    columns = (steps >= left) & (steps < left + width)
    chosen = generator.uniform((count, 1)) < probability
    return rows[:, :, None] & columns[:, None, :] & chosen[:, :, None]
