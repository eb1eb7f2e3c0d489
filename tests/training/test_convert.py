"""A converted release is what the Keras model was."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from serving import release, self_test
from serving.predictor import Predictor
from training.calibration.precisions import Score, Variant, choose
from training.config import ConvertConfig
from training.convert import convert
from training.data import shards
from training.errors import StepError
from training.learning import checkpoints


def score(age_mae: float, gender: float, ethnicity: float) -> Score:
    return Score(age_mae, {"gender": gender, "ethnicity": ethnicity})


def test_the_file_answers_the_mean_of_what_the_keras_model_says_of_both_sides(
    data: Path, trained: Path, challenger: Path
) -> None:
    faces = np.asarray(shards.shards(data, "validation")[0].load()[0][:20])
    sides = [checkpoints.best_model(trained).predict(pixels, verbose=0) for pixels in (faces, faces[:, :, ::-1])]
    found = Predictor(release.load(str(challenger))).run(faces)
    for head, values in found.items():
        assert values == pytest.approx((sides[0][head] + sides[1][head]) / 2, abs=0.05)


def test_the_manifest_states_the_outputs_for_the_known_image(challenger: Path) -> None:
    found = release.load(str(challenger))
    stated = found.manifest[self_test.MEMBER]
    assert stated == self_test.record(Predictor(found).run(self_test.image(found.size)))
    assert [len(stated[head]) for head in ("age", "gender", "ethnicity")] == [117, 1, 5]


def test_a_mirrored_face_gets_the_same_answer(data: Path, challenger: Path) -> None:
    faces = np.asarray(shards.shards(data, "validation")[0].load()[0][:20])
    predictor = Predictor(release.load(str(challenger)))
    one, other = (predictor.run(np.ascontiguousarray(pixels)) for pixels in (faces, faces[:, :, ::-1]))
    for head, values in one.items():
        assert values == pytest.approx(other[head], abs=0.01)


@pytest.mark.slow
def test_without_the_mirror_image_the_file_answers_as_the_keras_model_does(
    data: Path, trained: Path, tmp_path: Path
) -> None:
    manifest = convert(data, trained, tmp_path / "release", replace(ConvertConfig(), mirror=False))
    assert manifest["model"]["mirror"] is False
    faces = np.asarray(shards.shards(data, "validation")[0].load()[0][:20])
    wanted = checkpoints.best_model(trained).predict(faces, verbose=0)
    for head, values in Predictor(release.load(str(tmp_path / "release"))).run(faces).items():
        assert values == pytest.approx(wanted[head], abs=0.05)


def test_the_manifest_says_where_the_model_comes_from(data: Path, challenger: Path) -> None:
    manifest = json.loads((challenger / "manifest.json").read_text())
    assert manifest["provenance"]["data"]["sha256"] == shards.fingerprint(data).sha256
    assert manifest["provenance"]["preset"] == "smoke"
    assert set(manifest["conversion"]) == {"keras", "float32", "float16", "int8"}
    assert manifest["model"]["bytes"] == (challenger / "model.tflite").stat().st_size
    assert "non-commercial" in manifest["intended_use"]["data_terms"]


def test_a_conversion_that_disagrees_is_refused_and_leaves_the_earlier_release(
    data: Path, trained: Path, challenger: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "release"
    shutil.copytree(challenger, folder)
    strict = replace(ConvertConfig(), max_probability_disagreement=-1.0)
    with pytest.raises(StepError, match="disagree on gender"):
        convert(data, trained, folder, strict)
    assert (folder / "model.tflite").read_bytes() == (challenger / "model.tflite").read_bytes()


@pytest.mark.parametrize(
    ("int8", "chosen"),
    [
        (score(5.04, 0.9, 0.8), "int8"),
        (score(5.06, 0.9, 0.8), "float16"),
        (score(5.0, 0.896, 0.8), "float16"),
        (score(5.0, 0.9, 0.796), "float16"),
    ],
)
def test_the_smallest_file_that_is_as_good_is_chosen(int8: Score, chosen: str) -> None:
    reference = score(5.0, 0.9, 0.8)
    variants = [
        Variant("float32", bytes(40), {}, reference),
        Variant("float16", bytes(20), {}, reference),
        Variant("int8", bytes(10), {}, int8),
    ]
    assert choose(variants, reference, ConvertConfig()).precision == chosen


def test_another_epoch_can_be_converted_while_its_checkpoint_is_there(
    data: Path, trained: Path, tmp_path: Path
) -> None:
    last, _ = checkpoints.epochs(trained)[-1]
    made = convert(data, trained, tmp_path / "release", replace(ConvertConfig(), epoch=last))
    assert made["model"]["epoch"] == last
    with pytest.raises(StepError, match="no checkpoint of epoch 99"):
        convert(data, trained, tmp_path / "none", replace(ConvertConfig(), epoch=99))
