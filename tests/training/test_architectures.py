"""The networks are what their names promise."""

from __future__ import annotations

from dataclasses import replace

import keras
import numpy as np
import pytest

from training.errors import StepError
from training.labels import AGE_CLASSES, ETHNICITIES
from training.learning import architectures
from training.presets import PRESETS

SIZES = {
    "default": 1_285_115,
    "finetune": 1_285_115,
    "teacher": 3_609_595,
    "imagenet": 901_323,
    "baseline": 817_339,
    "smoke": 34_219,
}


@pytest.mark.parametrize("preset", PRESETS)
def test_the_size_of_each_network_is_known(preset: str) -> None:
    config = replace(PRESETS[preset].train, init_from="")
    assert architectures.build(config, PRESETS[preset].prepare.size).count_params() == SIZES[preset]


@pytest.mark.parametrize("architecture", architectures.ARCHITECTURES)
def test_each_network_answers_three_distributions(architecture: str) -> None:
    model = architectures.ARCHITECTURES[architecture](96)
    predictions = model(np.random.default_rng(0).uniform(0, 255, (2, 96, 96, 3)).astype(np.float32))
    shapes = {head: tuple(values.shape) for head, values in predictions.items()}
    assert shapes == {"age": (2, AGE_CLASSES), "gender": (2, 1), "ethnicity": (2, len(ETHNICITIES))}
    for head in ("age", "ethnicity"):
        assert np.asarray(predictions[head]).sum(axis=1) == pytest.approx(1, abs=1e-4)


def test_the_original_network_is_three_default_blocks_and_three_branches() -> None:
    layers = [type(layer).__name__ for layer in architectures.three_blocks(96).layers]
    block = ["Conv2D", "ReLU", "BatchNormalization", "MaxPooling2D", "Dropout"]
    assert layers[2:17] == block * 3
    assert sorted(layers[18:]) == sorted(["Dense", "ReLU", "Dropout", "Dense", "Activation"] * 3)


def test_the_network_normalises_plain_pixels_itself() -> None:
    model = architectures.efficientnet_lite(96)
    assert model.input.dtype == "float32"
    assert isinstance(model.layers[1], keras.layers.Rescaling)


def test_an_unknown_network_is_named_with_those_there_are() -> None:
    with pytest.raises(StepError, match="efficientnet_lite"):
        architectures.build(replace(PRESETS["smoke"].train, architecture="vgg"), 96)


def test_frozen_blocks_keep_the_initial_weights_of_the_stem_and_of_the_first_blocks() -> None:
    model = architectures.build(replace(PRESETS["imagenet"].train, init_from="imagenet", frozen_blocks=2), 64)
    frozen = {layer.name.partition("_")[0] for layer in model.layers if layer.weights and not layer.trainable}
    assert frozen == {"stem", "block0", "block1"}


def test_random_weights_are_never_frozen() -> None:
    model = architectures.build(replace(PRESETS["default"].train, init_from="", frozen_blocks=2), 64)
    assert all(layer.trainable for layer in model.layers)
