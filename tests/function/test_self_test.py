"""The start runs the model once: what is damaged is refused, whatever its digest."""

from __future__ import annotations

import hashlib
import json
import random
import shutil
from pathlib import Path

import pytest

from serving import release, self_test
from serving.predictor import Predictor
from serving.release import ReleaseError
from tests.conftest import FUNCTION
from tests.server import refusal

BUNDLED = release.load(str(FUNCTION / "model"))


def flipped(model: bytes, seed: int) -> bytes:
    """The model with 20 other bits."""
    drawn, data = random.Random(seed), bytearray(model)  # noqa: S311
    for _ in range(20):
        bit = drawn.randrange(len(data) * 8)
        data[bit // 8] ^= 1 << bit % 8
    return bytes(data)


def written(folder: Path, model: bytes = BUNDLED.model, **changes: object) -> Path:
    """The bundled release with another model, whose digest fits, and other members of the manifest."""
    shutil.copytree(FUNCTION / "model", folder)
    manifest = json.loads((folder / "manifest.json").read_text()) | changes
    manifest["model"]["sha256"] = hashlib.sha256(model).hexdigest()
    (folder / "manifest.json").write_text(json.dumps(manifest))
    (folder / "model.tflite").write_bytes(model)
    return folder


@pytest.fixture(scope="module")
def recorded() -> dict[str, list[float]]:
    """The outputs of the bundled model for the known image."""
    return self_test.record(Predictor(BUNDLED).run(self_test.image(BUNDLED.size)))


def test_the_known_image_never_changes() -> None:
    pixels = self_test.image(160)
    assert pixels.shape == (1, 160, 160, 3)
    assert hashlib.sha256(pixels.tobytes()).hexdigest() == (
        "e5ea30da0eb67d60c61104a65915d78a4654f8d05d66268f965384c8dc14b83b"
    )


def test_an_undamaged_model_passes(tmp_path: Path, recorded: dict[str, list[float]]) -> None:
    folder = written(tmp_path / "release", self_test=recorded)
    assert Predictor(release.load(f"{folder}")).run(self_test.image(160))


def test_a_model_that_loads_but_does_not_run_is_refused_at_the_start(tmp_path: Path) -> None:
    # Its interpreter is built; each of its requests would be answered by 500.
    folder = written(tmp_path / "release", flipped(BUNDLED.model, 1))
    said = refusal(FUNCTION, MODEL_URI=f"{folder}")
    assert "does not run on" in said
    assert said.startswith("cannot start: ")


def test_a_model_that_predicts_something_else_is_refused(tmp_path: Path, recorded: dict[str, list[float]]) -> None:
    folder = written(tmp_path / "release", flipped(BUNDLED.model, 15), self_test=recorded)
    with pytest.raises(ReleaseError, match=r"differs by 0\.\d+ on .* it is damaged") as error:
        Predictor(release.load(f"{folder}"))
    assert "\n" not in f"{error.value}"


@pytest.mark.parametrize("damage", [{}, {"age": [1.0]}, {"age": "x"}, [], {"gender": None}])
def test_garbled_outputs_in_the_manifest_are_refused(
    tmp_path: Path, recorded: dict[str, list[float]], damage: object
) -> None:
    garbled = recorded | damage if isinstance(damage, dict) and damage else damage
    with pytest.raises(ReleaseError, match="self_test lacks or garbles"):
        Predictor(release.load(f"{written(tmp_path / 'release', self_test=garbled)}"))


def test_another_size_than_the_models_is_refused(tmp_path: Path) -> None:
    resize = BUNDLED.resize
    folder = written(tmp_path / "release", input={"size": 64, "resize": resize})
    with pytest.raises(ReleaseError, match="takes 160x160 pixels, its manifest states 64"):
        Predictor(release.load(f"{folder}"))


@pytest.mark.parametrize(
    ("head", "stated"),
    [
        ("age", {"unit": "years", "classes": 101}),
        ("gender", {"labels": ["male", "female", "other"]}),
        ("ethnicity", {"labels": ["white", "black"]}),
    ],
)
def test_other_labels_than_the_model_has_outputs_are_refused(
    tmp_path: Path, head: str, stated: dict[str, object]
) -> None:
    folder = written(tmp_path / "release", heads={**BUNDLED.manifest["heads"], head: stated})
    with pytest.raises(ReleaseError, match=f"numbers for {head}, its manifest.json states"):
        Predictor(release.load(f"{folder}"))
