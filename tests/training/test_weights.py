"""A release carries the weights that a later training starts from."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
import pytest

from tests.training.conftest import SHORT
from training import runs
from training.config import TrainConfig
from training.errors import StepError
from training.learning import architectures, checkpoints, weights
from training.train import train


def started(uri: str, config: TrainConfig = SHORT) -> keras.Model:
    return architectures.build(replace(config, init_from=uri), 48)


def test_a_network_starts_from_the_weights_of_a_release(trained: Path, challenger: Path) -> None:
    for found, wanted in zip(started(str(challenger)).weights, checkpoints.best_model(trained).weights, strict=True):
        # float16 keeps eleven bits
        assert np.asarray(found) == pytest.approx(np.asarray(wanted), rel=2**-10, abs=1e-6)


def test_fine_tuning_goes_on_from_where_the_release_was(data: Path, trained: Path, challenger: Path) -> None:
    folder = challenger.parent / "fine-tuned"
    config = replace(SHORT, epochs=1, max_steps=2, learning_rate=1e-5, init_from=str(challenger))
    train(data, folder, config, "smoke", resume=False)
    before, after = (runs.history(place)[-1]["val_age_error"] for place in (trained, folder))
    assert after == pytest.approx(before, abs=1.0)


def test_layers_that_do_not_fit_keep_their_own_weights(challenger: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = keras.Sequential(
        [keras.layers.Conv2D(16, 3, use_bias=False, name="conv0_conv"), keras.layers.Dense(7, name="age_logits")]
    )
    model.build((None, 48, 48, 3))
    before = model.get_layer("age_logits").get_weights()[0].copy()
    weights.load(model, str(challenger))
    assert "1 of 2 layers" in capsys.readouterr().out
    assert np.array_equal(model.get_layer("age_logits").get_weights()[0], before)


def test_a_network_whose_first_layer_differs_cannot_start_from_it(challenger: Path) -> None:
    model = keras.Sequential(
        [keras.layers.Conv2D(16, 3, name="conv0_conv"), keras.layers.Conv2D(32, 3, use_bias=False, name="conv1_conv")]
    )
    model.build((None, 48, 48, 3))
    with pytest.raises(StepError, match=r"another first layer than conv0_conv; .* that this version trained"):
        weights.load(model, str(challenger))


def test_another_architecture_cannot_start_from_it(challenger: Path) -> None:
    with pytest.raises(StepError, match="same architecture"):
        started(str(challenger), replace(SHORT, architecture="efficientnet_lite"))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda folder: (folder / "manifest.json").unlink(), "none of bundled, faceres, imagenet: .*is no release"),
        (
            lambda folder: (folder / "weights.npz").unlink(),
            "no trainable weights.* manifest states small",
        ),
        (lambda folder: edit(folder, "weights", None), "no trainable weights.* manifest states small"),
        (lambda folder: (folder / "weights.npz").write_bytes(b"other"), r"weights\.npz .* was exchanged"),
    ],
    ids=["no release", "no file", "an old release", "damaged"],
)
def test_weights_that_cannot_be_used_are_refused_with_a_reason(
    challenger: Path, tmp_path: Path, change: object, message: str
) -> None:
    folder = tmp_path / "release"
    shutil.copytree(challenger, folder)
    assert callable(change)
    change(folder)
    with pytest.raises(StepError, match=message):
        started(str(folder))


def edit(folder: Path, name: str, value: object) -> None:
    path = folder / "manifest.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {name: value}))
