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
    faces = np.stack([images.decode(draw(age, 0, age % 5, seed=age), 96) for age in range(0, 80, 5)])
    for block in (0, 3, 7):
        norm = model.get_layer(f"block{block}_project_norm")
        found = keras.Model(model.input, norm.input).predict(faces.astype(np.float32), verbose=0)
        assert np.corrcoef(found.mean(axis=(0, 1, 2)), norm.moving_mean.numpy())[0, 1] > 0.8


def test_a_network_without_those_layers_is_refused() -> None:
    with pytest.raises(StepError, match="shares no layer"):
        imagenet.load_lite0(architectures.small(96))


def test_a_file_of_weights_cannot_call_anything() -> None:
    class Evil:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return print, ("called",)

    with pytest.raises(pickle.UnpicklingError, match="not allowed"):
        imagenet._Unpickler(io.BytesIO(pickle.dumps(Evil()))).load()
