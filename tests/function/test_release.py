"""MODEL_URI -> a release, or one sentence that says why not."""

from __future__ import annotations

import hashlib
import json
import shutil
import time
from pathlib import Path

import pytest

from serving import release
from serving.inference import InferenceService
from serving.predictor import Predictor
from serving.release import Pins, ReleaseError
from serving.settings import Settings
from serving.timeouts import Deadline
from tests.conftest import FUNCTION
from tests.emulator import Emulator
from tests.ports import free_port
from tests.server import refusal, serve

BUNDLED = FUNCTION / "model"
HEADS = json.loads((BUNDLED / "manifest.json").read_text())["heads"]


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    shutil.copytree(BUNDLED, tmp_path / "release")
    return tmp_path / "release"


@pytest.fixture
def in_the_cloud(emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> str:
    emulator.upload(BUNDLED, "releases/1")
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", emulator.url)
    return f"gs://{emulator.bucket}/releases/1"


def edit(folder: Path, **changes: object) -> None:
    path = folder / "manifest.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def test_the_bundled_release_is_whole_and_small() -> None:
    bundled = release.load(str(BUNDLED))
    assert len(bundled.model) <= 2_000_000
    assert bundled.labels == {
        "gender": ("male", "female"),
        "ethnicity": ("white", "black", "asian", "indian", "other"),
    }
    assert release.load(str(BUNDLED), Pins(bundled.sha256)) == bundled


def test_a_release_from_cloud_storage_is_the_same(in_the_cloud: str) -> None:
    assert release.load(in_the_cloud) == release.load(str(BUNDLED))


def test_the_function_serves_a_release_from_cloud_storage(in_the_cloud: str, face: bytes) -> None:
    with serve(FUNCTION, MODEL_URI=in_the_cloud) as server:
        assert server.post(face).json()["predictions"]


@pytest.mark.parametrize("missing", ["model.tflite", "manifest.json"])
def test_a_missing_file_is_named(copy: Path, missing: str) -> None:
    (copy / missing).unlink()
    with pytest.raises(ReleaseError, match=missing):
        release.load(str(copy))


def test_a_missing_object_is_named(in_the_cloud: str) -> None:
    with pytest.raises(ReleaseError, match=r"releases/2/manifest\.json"):
        release.load(in_the_cloud.replace("releases/1", "releases/2"))


def test_storage_that_is_not_there_ends_the_start_within_the_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", f"http://127.0.0.1:{free_port()}")
    began = time.monotonic()
    with pytest.raises(ReleaseError, match="cannot read gs://nobody/1/manifest"):
        release.load("gs://nobody/1", seconds=3)
    assert time.monotonic() - began < 4


@pytest.mark.parametrize("found", [0, 2, 5, None, "3", "4"])
def test_a_manifest_of_another_format_is_refused(copy: Path, found: object) -> None:
    edit(copy, format=found)
    with pytest.raises(ReleaseError, match=f"format {found!r}"):
        release.load(str(copy))


@pytest.mark.parametrize("text", ["", "{", "[]", "null"])
def test_a_garbled_manifest_is_refused(copy: Path, text: str) -> None:
    (copy / "manifest.json").write_text(text)
    with pytest.raises(ReleaseError, match="manifest"):
        release.load(str(copy))


def test_a_manifest_that_lacks_a_part_is_refused(copy: Path) -> None:
    edit(copy, calibration={})
    with pytest.raises(ReleaseError, match="age"):
        release.load(str(copy))


def test_a_release_with_a_head_that_is_not_known_here_is_refused(copy: Path) -> None:
    edit(copy, heads={**HEADS, "glasses": {"labels": ["without", "with"]}})
    with pytest.raises(ReleaseError, match="predicts glasses, this function knows age, gender, ethnicity; deploy"):
        release.load(str(copy))


def test_a_release_without_a_head_that_is_switched_on_is_refused(copy: Path, face: bytes) -> None:
    edit(copy, heads={head: HEADS[head] for head in ("age", "gender")})
    predictor = Predictor(release.load(str(copy)))
    assert set(InferenceService(predictor, Settings()).predict([face], Deadline.after(9))[0]) >= {"age", "gender"}
    with pytest.raises(ReleaseError, match=r"HEADS names ethnicity, but release .* has only age, gender; remove it"):
        InferenceService(predictor, Settings(heads=("gender", "ethnicity")))


@pytest.mark.parametrize("labels", [[], ["male"]])
def test_a_choice_of_fewer_than_two_labels_is_refused(copy: Path, labels: list[str]) -> None:
    edit(copy, heads={**HEADS, "gender": {"labels": labels}})
    with pytest.raises(ReleaseError, match="garbles the labels of gender, which are fewer than two"):
        release.load(str(copy))


@pytest.mark.parametrize(
    "named", [{"file": "../model.tflite"}, {"file": "/etc/passwd"}, {"file": ""}, {"sha256": "../" + "0" * 61}]
)
def test_a_manifest_that_names_files_elsewhere_is_refused(copy: Path, named: dict[str, str]) -> None:
    edit(copy, model={**json.loads((copy / "manifest.json").read_text())["model"], **named})
    with pytest.raises(ReleaseError, match="lacks or garbles"):
        release.load(str(copy))


def calibration(**changes: object) -> dict[str, object]:
    """The bundled manifest's calibration, with other members."""
    found: dict[str, object] = json.loads((BUNDLED / "manifest.json").read_text())["calibration"]
    return found | changes


LEVELS = {"at": [10.0, 50.0], "low": [0.1, 0.1], "high": [0.9, 0.9]}


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"name": "../predict"}, "the name '../predict'"),
        ({"version": "/ready"}, "the version '/ready'"),
        ({"version": 3}, "the version 3"),
        ({"version": "Upper"}, "the version 'Upper'"),
        ({"version": "x" * 64}, "the version"),
        ({"model": []}, "lacks or garbles"),
        ({"model": {"file": 1, "sha256": "0" * 64}}, "lacks or garbles"),
        ({"heads": []}, "lacks or garbles"),
        ({"heads": {**HEADS, "gender": {"labels": "male"}}}, "the labels of gender"),
        ({"heads": {**HEADS, "gender": {"labels": ["male", "male"]}}}, "the labels of gender"),
        ({"heads": {**HEADS, "gender": {"labels": ["male", 1]}}}, "the labels of gender"),
        ({"input": {"size": "160", "resize": "r"}}, "the size '160'"),
        ({"input": {"size": 1e400, "resize": "r"}}, "the number inf"),
        ({"input": {"size": 0, "resize": "r"}}, "the size 0"),
        ({"input": {"size": 10**9, "resize": "r"}}, "the size 1000000000"),
        ({"calibration": calibration(age=LEVELS | {"at": [10.0, float("nan")]})}, "the number nan"),
        ({"calibration": calibration(age=LEVELS | {"high": [0.9, float("inf")]})}, "the number inf"),
        ({"calibration": calibration(age=LEVELS | {"low": [0.1]})}, "lists have 2, 1 and 2 numbers"),
        ({"calibration": calibration(age={"at": [], "low": [], "high": []})}, "lists have 0, 0 and 0 numbers"),
        ({"calibration": calibration(age=LEVELS | {"at": [50.0, 10.0]})}, "do not rise"),
        ({"calibration": calibration(age=LEVELS | {"low": [0.95, 0.1]})}, "low <= high"),
        ({"calibration": calibration(age=LEVELS | {"high": [0.9, 1.1]})}, "low <= high"),
        ({"calibration": calibration(gender={"temperature": float("nan")})}, "the number nan"),
        ({"calibration": calibration(gender={"temperature": 0})}, "the temperature of gender"),
        ({"calibration": calibration(gender={"temperature": -1.0})}, "the temperature of gender"),
        ({"calibration": calibration(gender={"temperature": 1e300})}, "the temperature of gender"),
        ({"calibration": calibration(age_decision={"near_years": -1, "miss_cost": 2.0})}, "the age decision"),
        ({"calibration": calibration(age_decision={"near_years": 5, "miss_cost": -2.0})}, "the age decision"),
        ({"note": "\udc80"}, "surrogates not allowed"),
        ({"note\ud800": ""}, "surrogates not allowed"),
        ({"note": "\x1b[2J"}, "control characters"),
    ],
)
def test_a_manifest_with_a_member_that_cannot_be_used_is_refused_in_one_line(
    copy: Path, changes: dict[str, object], said: str
) -> None:
    edit(copy, **changes)
    with pytest.raises(ReleaseError, match=said.replace("(", r"\(")) as error:
        release.load(str(copy))
    assert "\n" not in f"{error.value}".encode("ascii", "backslashreplace").decode()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"a":' * 100_000, "nested too deep"),
        ("[" * 30 + "]" * 30, "nested too deep"),
        ('{"format": 3, "gate": {"checks": 7}}', "format 3 lacks or garbles"),
        ('{"format": 4, "format": 4}', "'format', which is there twice"),
        (" " * 2**20 + "{}", "more than 1048576"),
        ('{"format": ' + "1" * 5000 + "}", "not valid JSON"),
    ],
    ids=["deep", "deeper than any", "format 3", "twice", "large", "digits"],
)
def test_a_file_that_is_no_manifest_is_refused_in_one_line(copy: Path, text: str, said: str) -> None:
    (copy / "manifest.json").write_text(text)
    message = refusal(FUNCTION, MODEL_URI=f"{copy}")
    assert said in message
    assert len(message.splitlines()) == 1


def test_a_pin_of_the_manifest_covers_labels_and_calibration(copy: Path) -> None:
    sha256 = hashlib.sha256((copy / "manifest.json").read_bytes()).hexdigest()
    model = release.load(str(copy)).sha256
    assert release.load(str(copy), Pins(model, sha256)) == release.load(str(BUNDLED))
    edit(copy, heads={**HEADS, "gender": {"labels": HEADS["gender"]["labels"][::-1]}})
    assert release.load(str(copy), Pins(model)).labels["gender"] == ("female", "male")
    with pytest.raises(ReleaseError, match=f"MANIFEST_SHA256 pins {sha256}"):
        release.load(str(copy), Pins(model, sha256))
    said = refusal(FUNCTION, MODEL_URI=f"{copy}", MODEL_SHA256=model, MANIFEST_SHA256=sha256.upper())
    assert f"MANIFEST_SHA256 pins {sha256}" in said


def test_an_exchanged_model_is_refused(copy: Path) -> None:
    (copy / "model.tflite").write_bytes(b"another model")
    with pytest.raises(ReleaseError, match="SHA-256"):
        release.load(str(copy))


@pytest.mark.parametrize(
    ("environment", "said"),
    [
        ({"MODEL_URI": "/nowhere"}, "cannot read /nowhere/manifest.json"),
        ({"MODEL_SHA256": "0" * 64}, "MODEL_SHA256 pins 0000"),
        ({"MANIFEST_SHA256": "0" * 64}, "MANIFEST_SHA256 pins 0000"),
        ({"HEADS": "age,shoes"}, "HEADS is 'age,shoes'"),
        ({"MAX_IMAGES": "many"}, "MAX_IMAGES is 'many'"),
    ],
)
def test_a_function_that_cannot_serve_does_not_start_and_says_why(environment: dict[str, str], said: str) -> None:
    assert said in refusal(FUNCTION, **environment)
