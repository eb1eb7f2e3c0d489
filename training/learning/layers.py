"""Layers that learn with the steps of int8, so that the int8 file answers as the trained network does.

While training, kernels and activations are rounded as the converter will round them, and gradients pass the rounding
as if it were not there (Jacob et al. 2018, arXiv:1712.05877). Otherwise they are the layers they are named after.
"""

from __future__ import annotations

import keras
import tensorflow as tf

_register = keras.saving.register_keras_serializable("training")


@_register
class RoundedConv2D(keras.layers.Conv2D):
    """A convolution with bias and one step for each of its channels."""

    def call(self, inputs: tf.Tensor, training: bool = False) -> tf.Tensor:
        """(N, H, W, channels) -> (N, H', W', filters)."""
        kernel = _rounded(self.kernel, axis=(0, 1, 2)) if training else self.kernel
        return keras.ops.conv(inputs, kernel, self.strides, self.padding) + self.bias


@_register
class RoundedDepthwiseConv2D(keras.layers.DepthwiseConv2D):
    """A depthwise convolution with bias and one step for each of its channels."""

    def call(self, inputs: tf.Tensor, training: bool = False) -> tf.Tensor:
        """(N, H, W, channels) -> (N, H', W', channels)."""
        kernel = _rounded(self.kernel, axis=(0, 1, 3)) if training else self.kernel
        return keras.ops.depthwise_conv(inputs, kernel, self.strides, self.padding) + self.bias


@_register
class RoundedReLU6(keras.layers.Layer):
    """ReLU6 that answers one of 256 values while training."""

    def call(self, inputs: tf.Tensor, training: bool = False) -> tf.Tensor:
        """Any shape -> the same, in 0..6."""
        clipped = keras.ops.relu6(inputs)
        if not training:
            return clipped
        rounded = tf.quantization.fake_quant_with_min_max_args(tf.cast(clipped, tf.float32), 0.0, 6.0)
        return tf.cast(rounded, clipped.dtype)


def _rounded(kernel: tf.Tensor, axis: tuple[int, ...]) -> tf.Tensor:
    """`kernel` in 127 steps either way, over the largest value along `axis`; its gradient is that of `kernel`."""
    values = tf.convert_to_tensor(kernel)
    step = tf.reduce_max(tf.abs(values), axis=axis, keepdims=True) / 127
    return values + tf.stop_gradient(tf.round(tf.math.divide_no_nan(values, step)) * step - values)
