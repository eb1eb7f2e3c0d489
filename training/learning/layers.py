"""Layers for quantization-aware training, so that the int8 file predicts as the trained network does.

During training, kernels and activations are rounded as the converter rounds them, and gradients ignore the rounding
(Jacob et al. 2018, arXiv:1712.05877). At inference these are the ordinary Keras layers.
"""

from __future__ import annotations

import keras
import tensorflow as tf

_register = keras.saving.register_keras_serializable("training")


@_register
class RoundedConv2D(keras.layers.Conv2D):
    """A convolution with bias, quantized for each output channel."""

    def call(self, inputs: tf.Tensor, training: bool = False) -> tf.Tensor:
        """Map (N, H, W, channels) to (N, H', W', filters)."""
        kernel = _rounded(self.kernel, axis=(0, 1, 2)) if training else self.kernel
        return keras.ops.conv(inputs, kernel, self.strides, self.padding) + self.bias


@_register
class RoundedDepthwiseConv2D(keras.layers.DepthwiseConv2D):
    """A depthwise convolution with bias, quantized for each channel."""

    def call(self, inputs: tf.Tensor, training: bool = False) -> tf.Tensor:
        """Map (N, H, W, channels) to (N, H', W', channels)."""
        kernel = _rounded(self.kernel, axis=(0, 1, 3)) if training else self.kernel
        return keras.ops.depthwise_conv(inputs, kernel, self.strides, self.padding) + self.bias


@_register
class RoundedReLU6(keras.layers.Layer):
    """ReLU6 with one of 256 output values during training."""

    def call(self, inputs: tf.Tensor, training: bool = False) -> tf.Tensor:
        """Map any shape to the same shape, with values from 0 to 6."""
        clipped = keras.ops.relu6(inputs)
        if not training:
            return clipped
        rounded = tf.quantization.fake_quant_with_min_max_args(tf.cast(clipped, tf.float32), 0.0, 6.0)
        return tf.cast(rounded, clipped.dtype)


def _rounded(kernel: tf.Tensor, axis: tuple[int, ...]) -> tf.Tensor:
    """Round `kernel` to 127 steps in both directions, scaled by the largest value along `axis`.

    The gradient is the gradient of `kernel`.
    """
    values = tf.convert_to_tensor(kernel)
    step = tf.reduce_max(tf.abs(values), axis=axis, keepdims=True) / 127
    return values + tf.stop_gradient(tf.round(tf.math.divide_no_nan(values, step)) * step - values)
