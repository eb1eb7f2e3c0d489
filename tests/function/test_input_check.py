"""The input check: warnings about images that are plainly not one aligned, cropped face."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from serving import images, input_check, release
from serving.release import ReleaseError
from tests.conftest import FUNCTION
from tests.function.bad_images import saved
from tests.server import Server, refusal

MODEL = FUNCTION / "model"
SERVED = release.load(str(MODEL))
INPUT_CHECK = input_check.of(SERVED)


def codes(image: Image.Image) -> list[str]:
    return [warned.code for warned in INPUT_CHECK.warnings(images.read(saved(image), SERVED.size))]


def noise(width: int, height: int) -> Image.Image:
    return Image.fromarray(np.random.default_rng(1).integers(0, 256, (height, width, 3), np.uint8))


@pytest.mark.parametrize(
    ("image", "warned"),
    [
        (Image.new("RGB", (200, 200), "orange"), ["low_contrast"]),
        (Image.new("RGB", (20, 20), "orange"), ["low_resolution", "low_contrast"]),
        (Image.new("RGB", (31, 32), "orange"), ["low_resolution", "low_contrast"]),
        (Image.new("RGB", (32, 32), "orange"), ["low_contrast"]),
        (Image.new("RGB", (63, 32), "orange"), ["low_contrast"]),
        (Image.new("RGB", (32, 64), "orange"), ["extreme_aspect_ratio", "low_contrast"]),
        (Image.new("RGB", (310, 31), "orange"), ["low_resolution", "extreme_aspect_ratio", "low_contrast"]),
        (noise(16, 16).resize((200, 200)), ["not_a_face"]),
        (Image.linear_gradient("L").resize((200, 200)), ["not_a_face"]),
    ],
)
def test_an_image_gets_each_of_its_warnings(image: Image.Image, warned: list[str]) -> None:
    assert codes(image) == warned


def test_upright_faces_get_no_warning_and_turned_ones_do(utkface: Path) -> None:
    files = sorted(utkface.glob("*.jpg"))[::100][:200]
    encoded = [images.read(file.read_bytes(), SERVED.size) for file in files]
    turned = [image._replace(thumbnail=image.thumbnail[::-1]) for image in encoded]
    alarms, caught = (sum(bool(INPUT_CHECK.warnings(image)) for image in seen) for seen in (encoded, turned))
    assert alarms <= 4
    assert caught >= 180


def test_warnings_come_last_and_say_what_was_found_and_what_to_send(server: Server) -> None:
    image = Image.new("RGB", (300, 30), "gray")
    (prediction,) = server.post(saved(image), "image/png").json()["predictions"]
    assert list(prediction)[-1] == "warnings"
    assert {warning["code"] for warning in prediction["warnings"]} < set(input_check.CODES)
    details = {warning["code"]: warning["detail"] for warning in prediction["warnings"]}
    assert list(details) == ["low_resolution", "extreme_aspect_ratio", "low_contrast"]
    assert "300x30" in details["low_resolution"]
    assert "crop it to the face" in details["extreme_aspect_ratio"]
    assert "send a well-lit image" in details["low_contrast"]


def test_the_response_for_a_face_has_no_member_warnings(server: Server, utkface: Path) -> None:
    faces = [file.read_bytes() for file in sorted(utkface.glob("2[0-9]_*.jpg"))[:20]]
    predictions = [server.post(face).json()["predictions"][0] for face in faces]
    assert sum("warnings" in prediction for prediction in predictions) <= 1


def test_the_stated_false_positive_rate_is_at_most_one_percent() -> None:
    measured = json.loads((MODEL / "metrics.json").read_text())
    assert 0 <= measured["input_check"]["false_positive_rate"] <= 0.01
    assert (
        f"{100 * measured['input_check']['false_positive_rate']:.1f} % of the test faces"
        in (MODEL / "card.md").read_text()
    )


def test_a_thumbnail_is_the_mean_of_what_it_covers() -> None:
    pixels = np.zeros((128, 128, 3), np.uint8)
    pixels[:8, :8] = 255
    small = input_check.thumbnail(pixels)
    assert (small.shape, small[0, 0], int(small.sum())) == ((16, 16), 255, 255)


@pytest.mark.parametrize("change", [{"hidden": "AAAA"}, {"hidden": "%"}, {"bias": [1.0]}, {"threshold": None}])
def test_an_invalid_section_is_refused(change: dict[str, object]) -> None:
    manifest = SERVED.manifest | {"input_check": SERVED.manifest["input_check"] | change}
    with pytest.raises(ReleaseError, match="has no valid section input_check"):
        input_check.of(SERVED._replace(manifest=manifest))


def test_a_release_without_the_section_stops_the_start_with_one_line(tmp_path: Path) -> None:
    shutil.copytree(MODEL, tmp_path / "release")
    manifest = {name: section for name, section in SERVED.manifest.items() if name != "input_check"}
    (tmp_path / "release" / "manifest.json").write_text(json.dumps(manifest))
    assert "section input_check" in refusal(FUNCTION, MODEL_URI=str(tmp_path / "release"))
