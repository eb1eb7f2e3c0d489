"""A release of format 3 is read for one version, and predicts what it predicted."""

from __future__ import annotations

import json
import shutil
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from serving import images, input_check, manifest_v3, release
from serving.inference import InferenceService
from serving.predictor import Predictor
from serving.settings import Settings
from serving.timeouts import Deadline
from tests.conftest import FUNCTION, ROOT
from training.faces import draw

BUNDLED = FUNCTION / "model"
V3 = json.loads((ROOT / "tests" / "function" / "data" / "manifest_v3.json").read_text())
V4 = json.loads((BUNDLED / "manifest.json").read_text())


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The bundled release as it was in format 3."""
    shutil.copy(BUNDLED / "model.tflite", tmp_path)
    (tmp_path / "manifest.json").write_text(json.dumps(V3))
    return tmp_path


def test_a_release_of_format_3_predicts_what_the_same_one_of_format_4_does(folder: Path) -> None:
    settings = Settings(heads=("age", "gender", "ethnicity"))
    former, current = (
        InferenceService(Predictor(release.load(str(place))), settings).predict(_samples(), Deadline.after(60))
        for place in (folder, BUNDLED)
    )
    assert former == current
    assert {warning["code"] for prediction in former for warning in prediction.get("warnings", ())} == set(
        input_check.CODES
    )


def test_the_bundled_manifest_is_the_former_one_upgraded() -> None:
    upgraded = manifest_v3.upgrade(V3)
    assert upgraded["gate"].keys() == V4["gate"].keys()
    found, wanted = ({row["name"]: row.keys() for row in each["gate"]["checks"]} for each in (upgraded, V4))
    assert found.items() <= wanted.items()
    for name in ("format", "version", "model", "input", "heads", "calibration", "input_check"):
        assert upgraded[name] == V4[name]
    # The same model was measured again since then, without copies among its test faces.
    assert upgraded["metrics"].keys() == V4["metrics"].keys()
    for name in upgraded["metrics"].keys() - {"faces", "n"}:
        former, measured = upgraded["metrics"][name], V4["metrics"][name]
        assert former == pytest.approx({key: measured[key] for key in former}, rel=0.01)


def test_a_gate_that_is_a_list_of_lines_is_upgraded() -> None:
    lines = ["pass  age_mae                           4.5199  at most 4.6000"]
    upgraded = manifest_v3.upgrade(V3 | {"gate": lines})["gate"]
    assert upgraded.keys() == V4["gate"].keys()
    assert upgraded["passed"] is True
    assert upgraded["checks"] == [
        {"name": "age_mae", "value": 4.5199, "comparison": "<=", "limit": 4.6, "passed": True}
    ]


def test_a_manifest_of_format_4_stays_as_it_is() -> None:
    assert manifest_v3.upgrade(V4) == V4


@pytest.mark.parametrize(
    ("line", "wanted"),
    [
        (
            "pass  false_alarms                                         0.0077  at most 0.0100",
            {"name": "false_positive_rate", "value": 0.0077, "comparison": "<=", "limit": 0.01, "passed": True},
        ),
        (
            "FAIL  age_within_5                                            nan  at least 0.7000",
            {"name": "age_within_5", "value": None, "comparison": ">=", "limit": 0.7, "passed": False},
        ),
        (
            "pass  bytes                                               1467048  at most 1500000",
            {"name": "bytes", "value": 1467048, "comparison": "<=", "limit": 1500000, "passed": True},
        ),
        (
            "pass  age_mae, all                                         4.4008  no worse than 4.5256: -0.1247, etc.",
            {
                "name": "age_mae, all",
                "value": 4.4008,
                "comparison": "not_worse",
                "limit": 4.5256,
                "passed": True,
                "detail": "-0.1247, etc.",
            },
        ),
        ("pass  odd", {"name": "pass  odd", "value": None, "comparison": "", "limit": None, "passed": True}),
    ],
)
def test_a_check_that_was_a_line_becomes_an_object(line: str, wanted: dict[str, object]) -> None:
    assert manifest_v3.check(line) == wanted
    assert manifest_v3.check(wanted) == wanted


def _samples() -> list[bytes]:
    faces = [draw(age, age % 2, age % 5, seed=age) for age in range(1, 90, 8)]
    blank = np.full((40, 90, 3), 128, np.uint8)
    noise = np.random.default_rng(1).integers(0, 256, (200, 200, 3), np.uint8)
    return [*faces, *map(_png, (blank, blank[:20, :20], noise, np.repeat(np.repeat(noise[:16, :16], 12, 0), 12, 1)))]


def _png(pixels: images.Pixels) -> bytes:
    file = BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()
