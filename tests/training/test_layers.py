"""Rounding happens while training alone, in the steps of int8, and gradients do not notice it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests.conftest import ROOT
from training.learning import architectures, checkpoints
from training.learning.layers import RoundedConv2D, RoundedDepthwiseConv2D, RoundedReLU6

PIXELS = np.random.default_rng(1).normal(size=(2, 8, 8, 4)).astype(np.float32)


@pytest.fixture(params=["conv", "depth"])
def pair(request: pytest.FixtureRequest) -> tuple[keras.Layer, keras.Layer]:
    """A layer, and keras's own with the same weights."""
    if request.param == "conv":
        ours, plain = RoundedConv2D(6, 3, strides=2, padding="same"), keras.layers.Conv2D(6, 3, 2, padding="same")
    else:
        ours, plain = (kind(3, padding="same") for kind in (RoundedDepthwiseConv2D, keras.layers.DepthwiseConv2D))
    for layer in (ours, plain):
        layer.build(PIXELS.shape)
    ours.bias.assign(np.arange(ours.bias.shape[0], dtype=np.float32))
    plain.set_weights(ours.get_weights())
    return ours, plain


def test_an_answering_layer_is_the_one_it_is_named_after(pair: tuple[keras.Layer, keras.Layer]) -> None:
    ours, plain = pair
    np.testing.assert_allclose(ours(PIXELS), plain(PIXELS), atol=1e-5)


def test_a_learning_layer_has_255_values_for_each_channel(pair: tuple[keras.Layer, keras.Layer]) -> None:
    ours, plain = pair
    kernel, bias = ours.get_weights()
    channel = (0, 1, 2) if isinstance(ours, RoundedConv2D) else (0, 1, 3)
    step = np.abs(kernel).max(axis=channel, keepdims=True) / 127
    plain.set_weights([np.round(kernel / step) * step, bias])
    np.testing.assert_allclose(ours(PIXELS, training=True), plain(PIXELS), atol=1e-5)
    assert np.abs(ours(PIXELS, training=True) - ours(PIXELS)).max() > 1e-4


def test_gradients_reach_the_kernel_as_if_it_were_not_rounded(pair: tuple[keras.Layer, keras.Layer]) -> None:
    gradients = []
    for layer, options in zip(pair, ({"training": True}, {}), strict=True):
        with tf.GradientTape() as tape:
            prediction = tf.reduce_sum(layer(PIXELS, **options))
        gradients.append(tape.gradient(prediction, layer.trainable_variables[0]))
    ours, plain = gradients
    np.testing.assert_allclose(ours, plain, atol=1e-4)


def test_a_channel_of_zeros_stays_one() -> None:
    layer = RoundedConv2D(2, 1)
    layer.build(PIXELS.shape)
    layer.set_weights([np.zeros((1, 1, 4, 2), np.float32), np.ones(2, np.float32)])
    assert np.all(layer(PIXELS, training=True) == 1)


def test_an_activation_is_rounded_to_a_256th_of_six() -> None:
    values = np.linspace(-1, 7, 1000, dtype=np.float32)
    layer = RoundedReLU6()
    np.testing.assert_allclose(layer(values), np.clip(values, 0, 6))
    rounded = np.asarray(layer(values, training=True))
    np.testing.assert_allclose(rounded, np.round(np.clip(values, 0, 6) * 255 / 6) * 6 / 255, atol=1e-5)


def test_a_process_of_its_own_loads_a_checkpoint_with_these_layers(tmp_path: Path) -> None:
    architectures.mobilenet_9(32).save(tmp_path / checkpoints.BEST)
    program = f"""
from pathlib import Path
from training.learning import checkpoints
print(checkpoints.best_model(Path({str(tmp_path)!r})).name)
"""
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'function'}"}
    done = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=False, timeout=120
    )
    assert done.stdout == "mobilenet_9\n", done.stderr[-2000:]
