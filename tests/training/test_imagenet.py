"""The ImageNet weights land where they belong."""

from __future__ import annotations

import io
import pickle

import keras
import numpy as np
import pytest

from serving import images
from training.errors import StepError
from training.faces import draw
from training.learning import architectures, imagenet


def test_activations_have_the_statistics_the_network_was_trained_with() -> None:
    # A kernel in a wrong order of axes leaves the shapes right and these correlations near zero.
    model = architectures.efficientnet_lite(96)
    imagenet.load_lite0(model)
    published = imagenet._read(imagenet.find())
    faces = np.stack([images.decode(draw(age, 0, age % 5, seed=age), 96) for age in range(0, 80, 5)])
    for block in (0, 3, 7):
        normed = model.get_layer(f"block{block}_project_conv").output
        found = keras.Model(model.input, normed).predict(faces.astype(np.float32), verbose=0)
        # Normalized values were published with the mean `bias` and the standard deviation `weight`.
        scale, bias = (published[f"_blocks.{block}._bn2.{part}"] for part in ("weight", "bias"))
        deviation = found.std(axis=(0, 1, 2))
        assert np.corrcoef(deviation, np.abs(scale))[0, 1] > 0.6, block
        assert np.abs(found.mean(axis=(0, 1, 2)) - bias).mean() < np.abs(scale).mean()


def test_a_folded_convolution_is_the_convolution_and_its_normalization() -> None:
    model = architectures.efficientnet_lite(32)
    imagenet.load_lite0(model)
    published = imagenet._read(imagenet.find())
    pixels = np.random.default_rng(0).normal(size=(1, 32, 32, 3)).astype(np.float32)
    kernel = published["_conv_stem.weight"].transpose(2, 3, 1, 0)
    raw = keras.ops.conv(pixels, kernel, 2, "same")
    weight, bias, mean, variance = (
        published[f"_bn0.{part}"] for part in ("weight", "bias", "running_mean", "running_var")
    )
    wanted = (np.asarray(raw) - mean) / np.sqrt(variance + 1e-3) * weight + bias
    assert np.asarray(model.get_layer("stem_conv")(pixels)) == pytest.approx(wanted, abs=1e-4)


def test_a_network_without_those_layers_is_refused() -> None:
    with pytest.raises(StepError, match="shares no layer"):
        imagenet.load_lite0(architectures.small(96))


def test_a_file_of_weights_cannot_call_anything() -> None:
    class Evil:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return print, ("called",)

    with pytest.raises(pickle.UnpicklingError, match="not allowed"):
        imagenet._Unpickler(io.BytesIO(pickle.dumps(Evil()))).load()
