"""Network architectures: (N, size, size, 3) float32 RGB from 0 to 255 -> probabilities by head.

Each network normalizes its input itself, so the served file takes plain pixels.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import keras
import numpy as np
from keras import layers

from serving.heads import AGE
from serving.images import Pixels
from training.config import TrainConfig, require_usable
from training.labels import AGE_CLASSES, CHOICES
from training.learning import converted, faceres, imagenet, weights
from training.learning.layers import RoundedConv2D, RoundedDepthwiseConv2D, RoundedReLU6
from training.registry.signing import Trust

Tensor: TypeAlias = keras.KerasTensor

# Rows of EfficientNet-Lite0 (repeats, kernel, stride, expansion, channels) up to its eleventh block. The other blocks
# work at 1/32 of the input size, which leaves 3x3 cells of a face of 96 pixels. Tan and Le 2019, arXiv:1905.11946.
# "Lite" means no squeeze-and-excitation, and ReLU6.
_LITE0_ROWS = ((1, 3, 1, 1, 16), (2, 3, 2, 6, 24), (2, 5, 2, 6, 40), (3, 3, 2, 6, 80), (3, 5, 1, 6, 112))

# Stride and channels of MobileNet's thirteen blocks (Howard et al. 2017, arXiv:1704.04861).
_MOBILENET_BLOCKS = (
    *((1, 64), (2, 128), (1, 128), (2, 256), (1, 256), (2, 512), (1, 512), (1, 512), (1, 512)),
    *((1, 512), (1, 512), (2, 1024), (1, 1024)),
)


def build(config: TrainConfig, size: int, trust: Trust | None = None, faces: Pixels | None = None) -> keras.Model:
    """Return the network that `config` names, for faces of `size` pixels.

    Args:
        config: architecture and initial weights.
        size: side of the faces in pixels.
        trust: signer that a release with initial weights must have, or None.
        faces: (N, size, size, 3) uint8 training faces (see `weights.load`).

    Raises:
        StepError: there is no such network, or the initial weights are missing or do not fit.
    """
    require_usable(config)
    model = ARCHITECTURES[config.architecture](size)
    if config.init_from == "imagenet":
        imagenet.load_lite0(model)
    elif config.init_from == "faceres":
        faceres.load_faceres(model)
    elif config.init_from:
        weights.load(model, config.init_from, trust, faces)
    if config.init_from:
        _freeze(model, config)
    return model


def _freeze(model: keras.Model, config: TrainConfig) -> None:
    """Freeze the stem and the first blocks, which detect edges and colors.

    With other faces in the batches, the statistics of the features are frozen too.
    """
    blocks = config.frozen_blocks
    frozen = {"stem", *(f"block{number}" for number in range(blocks))} if blocks else set()
    frozen |= {"top"} if config.other else set()
    for layer in model.layers:
        layer.trainable = layer.name.partition("_")[0] not in frozen


def efficientnet_lite(size: int) -> keras.Model:
    """Build the first eleven blocks of EfficientNet-Lite0, one wider layer and a branch for each head.

    Batch normalization is folded into the initial weights, as in `_mobilenet`.
    """
    pixels = keras.Input((size, size, 3), name="pixels")
    x = layers.Rescaling(1 / 128, offset=-127 / 128)(pixels)
    x = _rounded_conv(x, 32, 3, stride=2, name="stem")
    block = 0
    for repeats, kernel, stride, expansion, channels in _LITE0_ROWS:
        for repeat in range(repeats):
            x = _inverted_residual(x, channels, kernel, stride if repeat == 0 else 1, expansion, name=f"block{block}")
            block += 1
    x = _rounded_conv(x, 384, 1, name="top")
    return keras.Model(pixels, _heads(_pooled(x), width=128, dropout=0.3), name="efficientnet_lite")


def mobilenet_9(size: int) -> keras.Model:
    """Build the first nine blocks of MobileNet, which have a third of its weights, and a branch for each head."""
    return _mobilenet(size, 9)


def mobilenet_13(size: int) -> keras.Model:
    """Build all of MobileNet and a branch for each head: too large to serve, used as a teacher."""
    return _mobilenet(size, 13)


def _mobilenet(size: int, blocks: int) -> keras.Model:
    """Build a MobileNet. Batch normalization is folded into the initial weights, which makes training twice as fast."""
    pixels = keras.Input((size, size, 3), name="pixels")
    means = np.array(faceres.BLUE_GREEN_RED_MEANS[::-1])
    x = layers.Rescaling(1 / faceres.PIXEL_SCALE, offset=(-means / faceres.PIXEL_SCALE).tolist())(pixels)
    x = _rounded_conv(x, 32, 3, stride=2, name="stem")
    for block, (stride, channels) in enumerate(_MOBILENET_BLOCKS[:blocks]):
        x = _rounded_depthwise(x, 3, stride, name=f"block{block}_depth")
        x = _rounded_conv(x, channels, 1, name=f"block{block}_point")
    return keras.Model(pixels, _heads(_pooled(x), width=128, dropout=0.3), name=f"mobilenet_{blocks}")


def three_blocks(size: int) -> keras.Model:
    """Build the original project's network: three convolution blocks and a branch for each head."""
    pixels = keras.Input((size, size, 3), name="pixels")
    x = layers.Rescaling(1 / 255)(pixels)
    for channels, pool in ((16, 3), (32, 2), (32, 2)):
        x = layers.Conv2D(channels, 3, padding="same")(x)
        x = layers.ReLU()(x)
        x = layers.BatchNormalization()(x)
        x = layers.MaxPooling2D(pool)(x)
        x = layers.Dropout(0.25)(x)
    return keras.Model(pixels, _heads(layers.Flatten()(x), width=128, dropout=0.5), name="three_blocks")


def small(size: int) -> keras.Model:
    """Build a few strided convolutions, which learn something within a hundred steps."""
    pixels = keras.Input((size, size, 3), name="pixels")
    x = layers.Rescaling(1 / 128, offset=-127 / 128)(pixels)
    for number, channels in enumerate((16, 32, 64)):
        x = _conv(x, channels, 3, stride=2, name=f"conv{number}")
    x = layers.GlobalAveragePooling2D()(x)
    return keras.Model(pixels, _heads(x, width=32, dropout=0.0), name="small")


ARCHITECTURES: dict[str, Callable[[int], keras.Model]] = {
    "efficientnet_lite": efficientnet_lite,
    "mobilenet_9": mobilenet_9,
    "mobilenet_13": mobilenet_13,
    "three_blocks": three_blocks,
    "small": small,
}


def _heads(x: Tensor, width: int, dropout: float) -> dict[str, Tensor]:
    """Build a branch for each head. Its output is float32 in every precision of the trunk."""
    heads = {}
    for name, units in ((AGE, AGE_CLASSES), *((head.name, head.width) for head in CHOICES)):
        activation = "sigmoid" if units == 1 else "softmax"
        y = layers.Dense(width, name=f"{name}_branch")(x)
        y = layers.ReLU()(y)
        y = layers.Dropout(dropout)(y)
        y = layers.Dense(units, name=f"{name}_logits")(y)
        heads[name] = layers.Activation(activation, dtype="float32", name=name)(y)
    return heads


def _pooled(x: Tensor) -> Tensor:
    """Return the mean features of each face, normalized."""
    x = layers.GlobalAveragePooling2D()(x)
    # The features of all faces have a large common part. Without it the branches learn twice as fast.
    x = layers.BatchNormalization(momentum=0.9, name=converted.TOP_NORM)(x)
    return layers.Dropout(0.2)(x)


def _conv(x: Tensor, channels: int, kernel: int, name: str, stride: int) -> Tensor:
    x = layers.Conv2D(channels, kernel, strides=stride, padding="same", use_bias=False, name=f"{name}_conv")(x)
    x = layers.BatchNormalization(momentum=0.9, name=f"{name}_norm")(x)
    return layers.ReLU(6.0)(x)


def _rounded_conv(x: Tensor, channels: int, kernel: int, name: str, stride: int = 1) -> Tensor:
    x = RoundedConv2D(channels, kernel, strides=stride, padding="same", name=f"{name}_conv")(x)
    return RoundedReLU6()(x)


def _rounded_depthwise(x: Tensor, kernel: int, stride: int, name: str) -> Tensor:
    x = RoundedDepthwiseConv2D(kernel, strides=stride, padding="same", name=f"{name}_conv")(x)
    return RoundedReLU6()(x)


def _inverted_residual(x: Tensor, channels: int, kernel: int, stride: int, expansion: int, name: str) -> Tensor:
    inputs = x
    if expansion > 1:
        x = _rounded_conv(x, x.shape[-1] * expansion, 1, name=f"{name}_expand")
    x = _rounded_depthwise(x, kernel, stride, name=f"{name}_depth")
    x = RoundedConv2D(channels, 1, name=f"{name}_project_conv")(x)
    return layers.add([inputs, x]) if inputs.shape == x.shape else x
