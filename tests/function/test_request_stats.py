"""What the log counts of answers: coarse, right, only what it was told to, and nearly for nothing."""

from __future__ import annotations

import json
import timeit
from collections import Counter
from typing import Any

import httpx
import pytest

from serving import images
from serving.formats import FORMATS
from serving.images import DecodedImage
from serving.input_check import CODES
from serving.predictor import Predictor
from serving.release import load
from serving.request_stats import AGE_BANDS, MOST_LOGGED, SIDES, RequestStats, age_band
from serving.settings import BUNDLED_RELEASE, SettingsError, from_environment
from tests.conftest import FUNCTION
from tests.function.test_logs import Line, lines
from tests.server import serve
from training.faces import draw

ALL = "age,gender,ethnicity"
# of what a line may consist, whatever was sent
FIELDS = {"severity", "time", "message", "httpRequest", "request_id", "release", "images", "failed"}
COUNTED = {"predictions", "warnings", "sides", "formats"}


def batch(url: str, encoded: list[bytes]) -> list[dict[str, Any]]:
    """Answers to one request."""
    form = [("image", ("a", image, "image/jpeg")) for image in encoded]
    predictions: list[dict[str, Any]] = httpx.post(f"{url}/predict", files=form, timeout=60).json()["predictions"]
    return predictions


def line_of_a_batch(encoded: list[bytes], heads: str, counted: str) -> tuple[Line, list[dict[str, Any]]]:
    """The line that a request leaves, and what was answered."""
    with serve(FUNCTION, LOG_LEVEL="INFO", HEADS=heads, LOG_PREDICTIONS=counted) as server:
        predictions = batch(server.url, encoded)
        (line,) = [line for line in lines(server) if line["httpRequest"]["requestUrl"] == "/predict"]
    return line, predictions


@pytest.fixture(scope="module")
def drawn() -> list[bytes]:
    return [draw(age, age % 2, age % 5, seed=age) for age in range(0, 100, 9)]


def test_the_line_counts_what_was_answered(drawn: list[bytes]) -> None:
    line, predictions = line_of_a_batch([*drawn, b"no image", drawn[0][:500]], ALL, ALL)
    answered = [prediction for prediction in predictions if "error" not in prediction]
    assert (line["images"], line["failed"]) == (len(drawn) + 2, 2)
    assert len(answered) == len(drawn)
    assert line["predictions"] == {
        "age": Counter(age_band(prediction["age"]["years"]) for prediction in answered),
        "gender": Counter(prediction["gender"]["label"] for prediction in answered),
        "ethnicity": Counter(prediction["ethnicity"]["label"] for prediction in answered),
    }
    warned = Counter(warning["code"] for prediction in answered for warning in prediction.get("warnings", []))
    assert line.get("warnings", {}) == warned
    assert (line["sides"], line["formats"]) == ({"64-127": len(drawn)}, {"JPEG": len(drawn)})


def test_a_line_tells_nothing_finer_than_its_bins(drawn: list[bytes]) -> None:
    line, _ = line_of_a_batch(drawn[:1], ALL, ALL)
    assert line.keys() <= FIELDS | COUNTED
    assert line["predictions"].keys() == {"age", "gender", "ethnicity"}
    assert line["predictions"]["age"].keys() <= set(AGE_BANDS)
    assert line["predictions"]["gender"].keys() <= {"male", "female"}
    assert line["predictions"]["ethnicity"].keys() <= {"white", "black", "asian", "indian", "other"}
    assert line["sides"].keys() <= set(SIDES)
    assert line["formats"].keys() <= set(FORMATS)
    assert line.get("warnings", {}).keys() <= set(CODES)
    bins = [*line["predictions"].values(), line["sides"], line["formats"], line.get("warnings", {})]
    assert {count for counts in bins for count in counts.values()} == {1}


@pytest.mark.parametrize(
    ("heads", "counted", "expected"),
    [
        ("age,gender", "", {"age", "gender"}),
        # switched on for callers, and yet not for the log
        (ALL, "", {"age", "gender"}),
        (ALL, "age,ethnicity", {"age", "ethnicity"}),
        ("gender", "age,ethnicity", None),
        (ALL, "none", None),
    ],
)
def test_only_the_named_answers_are_counted(face: bytes, heads: str, counted: str, expected: set[str] | None) -> None:
    line, _ = line_of_a_batch([face], heads, counted)
    assert (set(line["predictions"]) if "predictions" in line else None) == expected
    assert {"images", "failed", "sides", "formats"} <= line.keys()


def test_each_face_is_logged_only_where_a_setting_asks_for_it(drawn: list[bytes]) -> None:
    images = [*drawn[:2], b"no image"]
    with serve(FUNCTION, LOG_LEVEL="INFO", LOG_FACES="true", HEADS=ALL) as server:
        predictions = batch(server.url, images)
        (line,) = [line for line in lines(server) if line["httpRequest"]["requestUrl"] == "/predict"]
    assert line.keys() <= FIELDS | COUNTED | {"estimates"}
    assert line["estimates"] == [
        # Ethnicity is not among the default of LOG_PREDICTIONS.
        *([{head: [*each[head].values()] for head in ("age", "gender")}] for each in predictions[:2]),
        None,
    ]


def test_the_line_of_a_summary_has_no_single_face(drawn: list[bytes]) -> None:
    form = [("image", ("a", image, "image/jpeg")) for image in drawn]
    with serve(FUNCTION, LOG_LEVEL="INFO", LOG_FACES="true", MIN_GROUP="1") as server:
        assert httpx.post(f"{server.url}/summarize", files=form, timeout=60).status_code == 200
        (line,) = [line for line in lines(server) if line["httpRequest"]["requestUrl"] == "/summarize"]
    assert line["images"] == len(drawn)
    assert "estimates" not in line


def test_the_faces_of_a_whole_image_are_logged_in_their_order_up_to_a_limit() -> None:
    stats = RequestStats(3)
    face = {"age": {"years": 30, "low": 25, "high": 35}, "box": {"left": 0.1}}
    other = {**face, "age": {"years": 40, "low": 35, "high": 45}}
    stats.keep([{"faces": [face, other]}, {"faces": []}, {"faces": [face] * (MOST_LOGGED - 1)}])
    faces = [{"age": [30, 25, 35]}, {"age": [40, 35, 45]}]
    assert stats.estimates(("age", "gender")) == {"estimates": [faces, []]}
    assert stats.estimates(()) == {}


def test_a_request_without_an_answer_has_only_failed_images(face: bytes) -> None:
    with serve(FUNCTION, LOG_LEVEL="INFO") as server:
        assert server.post(b"GIF89a, or so").status_code == 415
        assert server.post(b"{}", "application/json").status_code == 400
        unread, refused = lines(server)[-2:]
    assert {name: unread.get(name) for name in ("images", "failed", "predictions", "sides")} == {
        "images": 1,
        "failed": 1,
        "predictions": None,
        "sides": None,
    }
    assert "images" not in refused


def test_what_is_counted_must_be_heads() -> None:
    assert from_environment({"LOG_PREDICTIONS": "None"}).log_predictions == ()
    assert from_environment({"LOG_PREDICTIONS": "ethnicity, age"}).log_predictions == ("age", "ethnicity")
    with pytest.raises(SettingsError, match="LOG_PREDICTIONS is 'mood'; it takes none, or one or more of age"):
        from_environment({"LOG_PREDICTIONS": "mood"})


@pytest.mark.parametrize(
    ("side", "expected"),
    [(16, "0-31"), (31, "0-31"), (32, "32-63"), (200, "128-255"), (511, "256-511"), (9000, "512+")],
)
def test_the_shorter_side_has_its_bin(side: int, expected: str) -> None:
    for width, height in ((side, side), (side, 9 * side), (9 * side, side)):
        stats = RequestStats(1)
        stats.add({}, DecodedImage(*images.read(draw(20, 0, 0, seed=1), 32)[:2], width, height, "PNG"))
        assert stats.fields(("age",)) == {"images": 1, "failed": 0, "sides": {expected: 1}, "formats": {"PNG": 1}}


@pytest.mark.serial
def test_counting_takes_a_hundredth_of_the_answer_at_most(face: bytes) -> None:
    predictor = Predictor(load(str(BUNDLED_RELEASE)))
    image = images.read(face, predictor.release.size)
    prediction = {"age": {"years": 30, "low": 20, "high": 40}, "gender": {"label": "male", "probability": 0.9}}
    line = {"severity": "INFO", "request_id": "0" * 32, "release": predictor.release.version}

    def answering() -> None:
        predictor.predict(images.read(face, predictor.release.size).pixels[None])

    def counting() -> None:
        stats = RequestStats(1)
        stats.add(prediction, image)
        json.dumps(line | stats.fields(("age", "gender")))

    work = min(timeit.repeat(answering, number=20, repeat=5)) / 20
    added = min(timeit.repeat(counting, number=500, repeat=10)) / 500
    assert added < 0.01 * work
