"""The weights of HSE-FaceRes land where they belong."""

from __future__ import annotations

from pathlib import Path

import keras
import numpy as np
import pytest

from serving import images
from training.errors import StepError
from training.learning import architectures, faceres

SIZE = 224


@pytest.fixture(scope="module")
def weights() -> faceres.Weights:
    if not faceres.MODEL.is_file():
        pytest.skip("the initial weights are not installed: `make face-weights` does it")
    return faceres.read()


def test_the_trunk_with_the_packages_own_head_knows_real_faces(weights: faceres.Weights, utkface: Path) -> None:
    # Any kernel in a wrong order of axes or colours brings this near chance.
    model = architectures.mobilenet_13(SIZE)
    faceres.load_faceres(model)
    features = model.get_layer("top_norm").input
    hidden = keras.layers.Dense(256, activation="relu", name="feats")
    gender = keras.layers.Dense(1, activation="sigmoid", name="gender_pred")
    whole = keras.Model(model.input, gender(hidden(features)))
    for layer in (hidden, gender):
        layer.set_weights([weights[f"{layer.name}/kernel"], weights[f"{layer.name}/bias"]])
    paths = [path for path in sorted(utkface.iterdir()) if path.name.split("_")[0] in ("25", "35", "45")][::12]
    faces = np.stack([images.decode(path.read_bytes(), SIZE) for path in paths]).astype(np.float32)
    female = np.array([path.name.split("_")[1] == "1" for path in paths])
    right = (whole.predict(faces, verbose=0)[:, 0] < 0.5) == female
    assert len(paths) > 50
    assert right.mean() > 0.9


def test_the_first_nine_blocks_are_those_of_all_thirteen(weights: faceres.Weights) -> None:
    whole, cut = architectures.mobilenet_13(64), architectures.mobilenet_9(64)
    for model in (whole, cut):
        faceres.load_faceres(model)
    for name in ("stem_conv", "block0_depth_conv", "block8_point_conv"):
        for one, other in zip(whole.get_layer(name).get_weights(), cut.get_layer(name).get_weights(), strict=True):
            assert np.array_equal(one, other)


def test_a_network_without_those_layers_is_refused(weights: faceres.Weights) -> None:
    with pytest.raises(StepError, match="shares no layer"):
        faceres.load_faceres(architectures.three_blocks(96))


def test_missing_weights_are_named_with_the_cure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(faceres, "MODEL", tmp_path / "faceres.json")
    with pytest.raises(StepError, match="make face-weights"):
        faceres.load_faceres(architectures.mobilenet_9(64))


def test_other_weights_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "faceres.json").write_text("{}")
    (tmp_path / "faceres.bin").write_bytes(b"something else")
    monkeypatch.setattr(faceres, "MODEL", tmp_path / "faceres.json")
    with pytest.raises(StepError, match="unexpected SHA-256"):
        faceres.load_faceres(architectures.mobilenet_9(64))
