"""A network starts from the TFLite file of a release without trainable weights, and predicts as that file does."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
import pytest
from PIL import Image

from serving import release as serving_release
from serving.images import Pixels
from serving.predictor import Outputs, Predictor, decide_ages
from tests.conftest import FUNCTION
from training.config import BUNDLED, TrainConfig
from training.errors import StepError
from training.faces import draw
from training.labels import parse
from training.learning import architectures, converted
from training.learning.converted import TOP_NORM
from training.presets import PRESETS
from training.registry import releases

SIZE = 160
FROM_BUNDLED: TrainConfig = replace(PRESETS["default"].train, init_from=BUNDLED)


def pixels(files: list[bytes]) -> Pixels:
    return np.stack([np.asarray(Image.open(io.BytesIO(file)).convert("RGB").resize((SIZE, SIZE))) for file in files])


@pytest.fixture(scope="module")
def faces() -> Pixels:
    return pixels([draw(age, age % 2, age % 5, seed=age) for age in range(0, 96, 4)])


@pytest.fixture(scope="module")
def network(faces: Pixels) -> keras.Model:
    return architectures.build(FROM_BUNDLED, SIZE, faces=faces)


@pytest.fixture(scope="module")
def bundled() -> Predictor:
    return Predictor(serving_release.load(str(FUNCTION / "model")))


def both_sides(network: keras.Model, faces: Pixels) -> Outputs:
    """Return the mean over each face and its mirror image, as the bundled release predicts."""
    sides = [network.predict(side.astype(np.float32), verbose=0) for side in (faces, faces[:, :, ::-1])]
    return {head: np.mean([side[head] for side in sides], axis=0) for head in sides[0]}


def test_the_network_predicts_as_the_file_up_to_the_rounding_of_int8(
    network: keras.Model, bundled: Predictor, faces: Pixels
) -> None:
    found, wanted = both_sides(network, faces), bundled.run(faces)
    assert found.keys() == wanted.keys()
    for head in wanted:
        assert np.abs(found[head] - wanted[head]).mean() < 0.04


def test_the_statistics_of_the_features_are_those_of_the_faces(network: keras.Model, faces: Pixels) -> None:
    norm = network.get_layer(TOP_NORM)
    values = keras.Model(network.input, [norm.input, norm.output])
    raw, normal = values.predict(faces.astype(np.float32), verbose=0)
    # Features that hardly vary on these faces have the smallest deviation instead.
    seen = raw.std(axis=0) > 0.06
    assert seen.mean() > 0.2
    assert normal.mean(axis=0) == pytest.approx(np.zeros(normal.shape[1]), abs=1e-3)
    assert normal.std(axis=0)[seen] == pytest.approx(np.ones(seen.sum()), abs=0.01)


def test_the_measured_statistics_do_not_change_the_predictions(network: keras.Model, faces: Pixels) -> None:
    folded = architectures.build(FROM_BUNDLED, SIZE)
    for head, found in both_sides(folded, faces).items():
        assert found == pytest.approx(both_sides(network, faces)[head], abs=1e-4)


@pytest.mark.slow
def test_the_network_is_as_accurate_as_the_file_on_real_faces(
    network: keras.Model, bundled: Predictor, utkface: Path
) -> None:
    files = sorted(path for path in utkface.iterdir() if path.name[0].isdigit())[::200]
    labels = [parse(file.name) for file in files if file.name.count("_") == 3]
    real = pixels([file.read_bytes() for file in files if file.name.count("_") == 3])
    found, wanted = both_sides(network, real), bundled.run(real)
    for head in wanted:
        assert np.abs(found[head] - wanted[head]).mean() < 0.01
    ages = np.array([label.age for label in labels])
    errors = [
        np.abs(decide_ages(outputs["age"], bundled.release.calibration.decision) - ages).mean()
        for outputs in (found, wanted)
    ]
    assert errors[0] == pytest.approx(errors[1], abs=0.1)


@pytest.mark.parametrize(
    ("member", "value", "message"),
    [
        (("provenance",), {}, "states no architecture"),
        (("provenance", "config", "architecture"), "mobilenet_13", "fits only its own architecture mobilenet_13"),
        (("input", "size"), 128, "fits only faces of 128 pixels, not 160"),
    ],
)
def test_a_file_that_does_not_fit_is_refused_with_a_reason(
    release: Path, member: tuple[str, ...], value: object, message: str
) -> None:
    manifest = json.loads((release / "manifest.json").read_text())
    place = manifest
    for name in member[:-1]:
        place = place[name]
    place[member[-1]] = value
    (release / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(StepError, match=message):
        architectures.build(replace(FROM_BUNDLED, init_from=str(release)), SIZE)


def test_a_network_of_other_weights_is_noticed(network: keras.Model) -> None:
    found = releases.read(BUNDLED)
    converted.require_equal(network, found)
    other = architectures.build(replace(FROM_BUNDLED, init_from=""), SIZE)
    with pytest.raises(StepError, match=r"predict .* differently"):
        converted.require_equal(other, found)
