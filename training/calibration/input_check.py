"""The input check: a small classifier with which the function warns of images that are no face."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from serving import images, input_check
from serving.input_check import InputCheck, Thumbnails
from training.calibration import negatives
from training.config import InputCheckConfig
from training.data import shards

# `evaluate`, `gate` and `publish` import this module without TensorFlow.
if TYPE_CHECKING:
    import keras


def fit(places: list[Path], config: InputCheckConfig) -> dict[str, Any]:
    """Fit the classifier on training faces and its threshold on validation faces.

    Args:
        places: outputs of `prepare`.
        config: configuration of the check.

    Returns:
        The manifest's section `input_check`.

    Raises:
        StepError: there are no faces.
    """
    random = np.random.default_rng(config.seed)
    faces, others = _examples(places, config, random)
    model = _train(faces, others, config)
    section = _section(model, float(input_check.standardized(faces)[1].min()) * config.low_contrast_share, config)
    scores = np.concatenate([input_check.parse(section).measure(pixels)[1] for pixels in _pixels(places, "validation")])
    return section | {"threshold": round(float(np.quantile(scores, 1 - config.false_positive_rate)), 4)}


def false_positives(fitted: InputCheck, faces: npt.NDArray[np.uint8]) -> npt.NDArray[np.bool_]:
    """Return (N,) whether each of the (N, size, size, 3) uint8 faces gets a warning for its pixels."""
    contrasts, scores = fitted.measure(faces)
    warned: npt.NDArray[np.bool_] = (contrasts < fitted.low_contrast) | (scores > fitted.threshold)
    return warned


def _pixels(places: list[Path], split: str) -> Iterator[npt.NDArray[np.uint8]]:
    for place in places:
        for shard in shards.shards(place, split):
            yield shard.load()[0]


def _examples(
    places: list[Path], config: InputCheckConfig, random: np.random.Generator
) -> tuple[Thumbnails, Thumbnails]:
    """Return thumbnails of good images and of counterexamples, (N, 16, 16) each."""
    faces: list[Thumbnails] = []
    others: list[Thumbnails] = []
    for pixels in _pixels(places, "train"):
        for face in pixels[: config.faces - len(faces) // 2]:
            small = np.asarray(_resized(Image.fromarray(face).convert("L"), negatives.SIDE))
            faces += [input_check.thumbnail(face), _small(negatives.loosely_aligned(small, random))]
            others += [_small(negatives.counterexample(small, random)) for _ in range(config.others)]
    return np.stack(faces), np.stack(others)


def _small(grey: negatives.Grey) -> Thumbnails:
    return np.asarray(_resized(Image.fromarray(grey), images.THUMBNAIL_SIDE))


def _resized(image: Image.Image, side: int) -> Image.Image:
    return image.resize((side, side), Image.Resampling.BOX)


def _train(faces: Thumbnails, others: Thumbnails, config: InputCheckConfig) -> keras.Model:
    import keras

    keras.utils.set_random_seed(config.seed)
    model = keras.Sequential(
        [
            keras.layers.Input((images.THUMBNAIL_SIDE**2,)),
            keras.layers.GaussianNoise(config.noise),
            keras.layers.Dense(config.units, "relu"),
            keras.layers.Dropout(config.dropout),
            keras.layers.Dense(1),
        ]
    )
    optimizer = keras.optimizers.AdamW(config.learning_rate, weight_decay=config.weight_decay)
    model.compile(optimizer, keras.losses.BinaryCrossentropy(from_logits=True), jit_compile=False)
    rows = np.concatenate([input_check.standardized(faces)[0], input_check.standardized(others)[0]])
    not_a_face = np.repeat((0.0, 1.0), (len(faces), len(others)))
    model.fit(rows, not_a_face, batch_size=config.batch, epochs=config.epochs, verbose=0)
    return model


def _section(model: keras.Model, low_contrast: float, config: InputCheckConfig) -> dict[str, Any]:
    """Return the section with the weights, those of the first layer as int8, and without a threshold."""
    hidden, bias, output, _ = model.get_weights()
    scale = np.maximum(np.abs(hidden).max(axis=0) / 127, 1e-9)
    return {
        "hidden": base64.b64encode(np.round(hidden / scale).astype(np.int8).tobytes()).decode(),
        "scale": _rounded(scale),
        "bias": _rounded(bias),
        "output": _rounded(output[:, 0]),
        "low_contrast": round(low_contrast, 2),
        "min_side": config.min_side,
        "max_aspect_ratio": config.max_aspect_ratio,
        "threshold": 0.0,
    }


def _rounded(values: npt.NDArray[np.float32]) -> list[float]:
    return [float(f"{value:.5g}") for value in values]
