"""The typed client, with the real function and with servers that misbehave."""

from __future__ import annotations

import io
import json
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from email.utils import formatdate
from pathlib import Path
from typing import IO, Any

import pytest

from age_gender.client import Client
from age_gender.detection import Detection
from age_gender.local import LocalPredictor
from age_gender.prediction import Prediction
from age_gender.transport import FIRST_WAIT, MAX_WAIT, ServerError, wait
from serving.prediction import LANDMARKS, AgeEstimate, FaceBox, InputWarning, LabelEstimate
from serving.settings import Settings
from tests import group_photos
from tests.conftest import FUNCTION
from tests.scripted_server import ANSWERED, DETECTED, DETECTION, FACE, PREDICTION, Scripted, scripted
from tests.server import Server, serve
from training.faces import draw

ALL_HEADS = Settings(heads=("age", "gender", "ethnicity"))
BUSY = (503, {"status": 503, "detail": "busy"}, {"Retry-After": "0"})


@pytest.fixture(scope="module")
def local() -> LocalPredictor:
    return LocalPredictor(ALL_HEADS)


@pytest.fixture(scope="module")
def faces() -> list[bytes]:
    return [draw(age=2 * number, gender=number % 2, ethnicity=number % 5, seed=number) for number in range(40)]


def test_client_returns_what_the_function_returns(server: Server, face: bytes) -> None:
    (said,) = server.post(face).json()["predictions"]
    (prediction,) = Client(server.url).predict([face])
    assert prediction.age is not None
    assert prediction.gender is not None
    assert (prediction.age.years, prediction.gender.label) == (said["age"]["years"], said["gender"]["label"])
    assert json.loads(json.dumps(prediction.as_json())) == said


def test_client_splits_many_images_into_requests_and_keeps_their_order(
    server: Server, local: LocalPredictor, faces: list[bytes]
) -> None:
    predictions = Client(server.url).predict(faces)
    assert len(predictions) > 2 * Client.max_images
    assert len(set(predictions)) == len(predictions)
    assert predictions == local.predict(faces)


@pytest.mark.parametrize("source", ["client", "local"])
def test_a_bad_image_does_not_affect_others(source: str, server: Server, local: LocalPredictor, face: bytes) -> None:
    predictor: Client | LocalPredictor = Client(server.url) if source == "client" else local
    empty, text = b"", b"no image"
    (good_prediction,) = predictor.predict([face])
    predictions = predictor.predict([text, face, empty])
    assert [prediction.error.status if prediction.error else 200 for prediction in predictions] == [415, 200, 415]
    assert predictions[1] == good_prediction
    for none in ([text], [text, empty]):
        assert [prediction.error.status for prediction in predictor.predict(none) if prediction.error] == [415] * len(
            none
        )
    assert predictor.predict([]) == []


@pytest.fixture(scope="module")
def group() -> bytes:
    """A photo of four people."""
    return group_photos.saved(group_photos.scene(group_photos.GROUP))


def test_client_returns_the_faces_that_the_function_finds(server: Server, local: LocalPredictor, group: bytes) -> None:
    (said,) = server.post(group, path="/detect").json()["predictions"]
    with Client(server.url) as client:
        (detection,) = client.detect(group)
    assert json.loads(json.dumps(detection.as_json())) == said
    assert local.detect(group) == [detection]
    assert (detection.width, detection.height, len(detection.faces)) == (1280, 960, 4)
    largest = detection.faces[0]
    assert largest.age
    assert largest.gender
    assert (largest.age.years, largest.gender.label) == (
        said["faces"][0]["age"]["years"],
        said["faces"][0]["gender"]["label"],
    )
    assert set(largest.landmarks) == set(LANDMARKS)
    assert detection.faces == tuple(sorted(detection.faces, key=lambda face: -face.box.width))
    # Each face lies where one was pasted.
    for face in detection.faces:
        x, y = (face.box.left + face.box.width / 2) * 1280, (face.box.top + face.box.height / 2) * 960
        assert any(left < x < left + side and top < y < top + side for left, top, side in group_photos.GROUP), face.box


@pytest.mark.parametrize("source", ["client", "local"])
def test_faces_are_found_beside_bad_images_and_where_there_are_none(
    source: str, server: Server, local: LocalPredictor, group: bytes
) -> None:
    predictor: Client | LocalPredictor = Client(server.url) if source == "client" else local
    sky = group_photos.saved(group_photos.scene([], (640, 480)))
    found = predictor.detect([b"no image", group, sky, group_photos.saved(group_photos.scene([]))[:5000]])
    assert [each.error.status if each.error else len(each.faces) for each in found] == [415, 4, 0, 422]
    assert found[2] == Detection(640, 480)
    assert [each.error.status for each in predictor.detect([b"", b"x"]) if each.error] == [415, 415]
    assert predictor.detect([]) == []


def test_detect_has_the_behaviour_of_predict(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("age_gender.transport.FIRST_WAIT", 0.01)
    expected = Detection.parse(DETECTION)
    late = {"error": {"status": 503, "detail": "no time left"}}
    too_large: Scripted = (413, {"status": 413, "detail": "too large"}, {})
    partly: Scripted = (200, {"predictions": [DETECTION, late]}, {})
    with scripted(BUSY, DETECTED, partly, DETECTED, too_large, DETECTED, DETECTED) as running:
        client = Client(f"{running.url}/detect", "secret", identity_token=lambda: "a.b.c")
        assert client.detect(b"x") == [expected]
        assert client.detect([b"x", b"y"]) == [expected] * 2
        assert client.detect([b"x", b"y"]) == [expected] * 2
        assert set(running.targets) == {"POST /detect"}
        assert {(each["X-API-Key"], each["Authorization"]) for each in running.requests} == {("secret", "Bearer a.b.c")}


def test_an_image_whose_faces_are_cut_is_sent_again_alone() -> None:
    crowd = {**DETECTION, "faces": [FACE] * 3}
    cut = {**DETECTION, "warnings": [{"code": "too_many_faces", "detail": "3 were found, and 1 is listed"}]}
    both: Scripted = (200, {"predictions": [DETECTION, cut]}, {})
    alone: Scripted = (200, {"predictions": [crowd]}, {})
    still: Scripted = (200, {"predictions": [cut]}, {})
    with scripted(both, alone, still) as running:
        client = Client(running.url)
        assert client.detect([b"x", b"y"]) == [Detection.parse(DETECTION), Detection.parse(crowd)]
        assert client.detect(b"y") == [Detection.parse(cut)]
        assert len(running.targets) == 3


def test_parse_reads_a_detection_and_ignores_unknown_members() -> None:
    warned = {**DETECTION, "warnings": [{"code": "too_many_faces", "detail": "more"}], "mood": "new"}
    detection = Detection.parse({**warned, "faces": [{**FACE, "mood": "new"}]})
    (face,) = detection.faces
    assert (face.box, face.score, face.landmarks["left_eye"]) == (FaceBox(0.25, 0.5, 0.5, 0.25), 0.9, (0.6, 0.55))
    assert (face.age, face.gender) == (AgeEstimate(30, 25, 35), LabelEstimate("male", 0.9))
    assert detection.warnings == (InputWarning("too_many_faces", "more"),)
    assert json.loads(json.dumps(detection.as_json())) == {key: warned[key] for key in warned if key != "mood"}
    (row,) = detection.as_rows("a.jpg", ("age", "gender"))
    assert list(row) == list(Detection.columns(("age", "gender")))
    assert (row["faces"], row["face"], row["box_height"], row["warnings"]) == (1, 1, 0.25, "too_many_faces")
    assert len({detection, Detection.parse(warned)}) == 1


def test_client_splits_requests_that_exceed_the_server_limit(faces: list[bytes], local: LocalPredictor) -> None:
    with serve(FUNCTION, MAX_IMAGES="3", HEADS="age,gender,ethnicity") as small:
        assert Client(small.url).predict(faces[:8]) == local.predict(faces[:8])


def test_client_repeats_images_that_a_busy_server_left_out() -> None:
    late = {"error": {"status": 503, "detail": "no time left"}}
    other = {**PREDICTION, "gender": {"label": "female", "probability": 0.8}}
    with scripted((200, {"predictions": [PREDICTION, late]}, {}), (200, {"predictions": [other]}, {})) as running:
        assert Client(running.url).predict([b"x", b"y"]) == [Prediction.parse(PREDICTION), Prediction.parse(other)]


def test_parse_reads_warnings_and_ignores_unknown_members() -> None:
    warned = {**PREDICTION, "warnings": [{"code": "low_contrast", "detail": "no face"}], "mood": "new"}
    assert Prediction.parse(warned) == Prediction(
        AgeEstimate(30, 25, 35),
        {"gender": LabelEstimate("male", 0.9)},
        warnings=(InputWarning("low_contrast", "no face"),),
    )


@pytest.mark.parametrize("status", [429, 502, 503, 504])
def test_client_retries_a_busy_server(status: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("age_gender.transport.FIRST_WAIT", 0.01)
    with scripted((status, {}, {}), (status, {}, {}), ANSWERED) as running:
        assert Client(running.url).predict([b"x"]) == [Prediction.parse(PREDICTION)]
        assert len(running.requests) == 3


def test_client_waits_as_long_as_retry_after_says() -> None:
    with scripted((429, {}, {"Retry-After": "1"}), ANSWERED) as running:
        began = time.monotonic()
        Client(running.url).predict([b"x"])
        assert 1.0 <= time.monotonic() - began < 2.0


@pytest.mark.parametrize(
    ("attempt", "retry_after", "least", "most"),
    [
        (1, "", FIRST_WAIT / 2, FIRST_WAIT),
        (4, "", FIRST_WAIT * 4, FIRST_WAIT * 8),
        (1, "7", 7, 7),
        (1, "100000", MAX_WAIT, MAX_WAIT),
        (1, "soon", FIRST_WAIT / 2, FIRST_WAIT),
        (1, "nan", FIRST_WAIT / 2, FIRST_WAIT),
        (1, "inf", MAX_WAIT, MAX_WAIT),
        (30, "", MAX_WAIT, MAX_WAIT),
        (1, "Sun, 06 Nov 1994 08:49:37 GMT", FIRST_WAIT / 2, FIRST_WAIT),
    ],
)
def test_waits_double_up_to_the_maximum(attempt: int, retry_after: str, least: float, most: float) -> None:
    assert least <= wait(attempt, retry_after) <= most


def test_retry_after_may_be_a_date() -> None:
    assert 18 <= wait(1, formatdate(time.time() + 20, usegmt=True)) <= 20


def test_client_reports_the_last_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("age_gender.transport.FIRST_WAIT", 0.01)
    with scripted(BUSY, BUSY) as running, pytest.raises(ServerError, match="503: busy"):
        Client(running.url, attempts=2).predict([b"x"])


def test_client_reuses_its_connection() -> None:
    with scripted(*[ANSWERED] * 3) as running:
        with Client(running.url) as client:
            for _ in range(3):
                client.predict([b"x"])
        assert len(running.connections) == 1


def test_many_threads_share_one_client(server: Server, local: LocalPredictor, faces: list[bytes]) -> None:
    with Client(server.url) as client, ThreadPoolExecutor(8) as threads:
        predictions = list(threads.map(lambda face: client.predict([face])[0], faces))
    assert predictions == local.predict(faces)


def test_client_reopens_an_idle_connection_that_the_server_closed() -> None:
    with scripted(*[ANSWERED] * 2, hang_up=True) as running:
        client = Client(running.url, attempts=1)
        for _ in range(2):
            client.predict([b"x"])
            time.sleep(0.1)
        assert len(running.connections) == 2


def test_client_sends_the_api_key_that_it_has() -> None:
    with scripted(ANSWERED, ANSWERED) as running:
        Client(running.url, api_key="secret").predict([b"x"])
        Client(running.url).predict([b"x"])
        assert [request.get("X-API-Key") for request in running.requests] == ["secret", None]


@pytest.mark.parametrize(
    ("response", "message"),
    [
        (
            (401, {"status": 401, "title": "Unauthorized", "detail": "send X-API-Key"}, {}),
            "returned 401: send X-API-Key",
        ),
        (
            (403, b"<html>Forbidden", {}),
            "403 before the function was reached.*--identity-token.*gcloud run services proxy",
        ),
        (
            (302, b"", {"Location": "https://faces.example/predict?q=1"}),
            "redirects to 'https://faces.example'; use that",
        ),
        ((200, b"[" * 100_000, {}), "200 and no response of this function"),
        ((200, b" " * (2**24 + 1), {}), "more than 16 MiB"),
        ((407, b"", {}), "407 from the proxy of the environment"),
        ((401, {"code": 401, "message": "Jwt is missing"}, {}), "401 before the function was reached"),
        ((200, b"<html>hello", {}), "200 and no response of this function"),
        ((200, {"predictions": [{"age": 3}]}, {}), "200 and no response of this function"),
        ((200, {"predictions": []}, {}), "0 predictions for 1 images"),
    ],
)
def test_client_raises_where_the_server_cannot_be_used(response: Scripted, message: str) -> None:
    with scripted(response) as running, pytest.raises(ServerError, match=message):
        Client(running.url).predict([b"x"])


@pytest.mark.parametrize(
    ("use", "message"),
    [
        (lambda: Client("faces.example"), "invalid URL"),
        (lambda: Client("http://faces.example:port"), "invalid URL"),
        (lambda: Client(f"http://{'x' * 64}.example"), "invalid URL"),
        (lambda: Client("http://faces.invalid").predict(b"x"), "unknown host"),
        (
            lambda: Client("http://127.0.0.1:1").predict(b"x"),
            "no response from http://127.0.0.1:1: connection refused",
        ),
    ],
)
def test_client_raises_at_once_where_there_is_no_server(use: Callable[[], object], message: str) -> None:
    began = time.monotonic()
    with pytest.raises(ServerError, match=message):
        use()
    assert time.monotonic() - began < FIRST_WAIT / 2, "it was retried"


def test_client_logs_each_retry(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setattr("age_gender.transport.FIRST_WAIT", 0.01)
    with scripted(BUSY, BUSY, ANSWERED) as running:
        Client(running.url).predict(b"x")
        assert [record.getMessage() for record in caplog.records] == [
            f"{running.url}: it returned 503; retrying {attempt}/5 in 0.0 s" for attempt in (2, 3)
        ]


def test_client_reads_a_refusal_that_comes_before_its_request_is_sent() -> None:
    refusal: Scripted = (401, {"status": 401, "detail": "send the key"}, {})
    with scripted(refusal, unread=True) as running, pytest.raises(ServerError, match="returned 401: send the key"):
        Client(running.url).predict([bytes(2**21)] * 4)
    with scripted((413, {"status": 413, "detail": "too large"}, {}), ANSWERED, unread=True) as running:
        refused, predicted = Client(running.url).predict([bytes(25 * 2**20), b"x"])
        assert (refused.error and refused.error.detail, predicted) == ("too large", Prediction.parse(PREDICTION))


def test_a_front_end_that_refuses_an_image_by_its_size_does_not_end_the_run() -> None:
    too_large: Scripted = (413, b"<html>413 Request Entity Too Large</html>", {})
    with scripted(too_large, too_large, ANSWERED) as running:
        refused, predicted = Client(running.url).predict([b"x", b"y"])
        assert refused.error
        assert (refused.error.status, predicted) == (413, Prediction.parse(PREDICTION))


@pytest.mark.parametrize("token", ["aaa.bbb.ccc", lambda: "aaa.bbb.ccc"], ids=["value", "function"])
def test_client_sends_an_identity_token_and_other_headers(token: str | Callable[[], str]) -> None:
    with scripted(ANSWERED) as running:
        Client(running.url, "secret", headers={"X-Team": "faces"}, identity_token=token).predict(b"x")
        (request,) = running.requests
    assert (request["Authorization"], request["X-API-Key"], request["X-Team"]) == (
        "Bearer aaa.bbb.ccc",
        "secret",
        "faces",
    )


def test_client_takes_the_url_of_the_route_too() -> None:
    with scripted(ANSWERED) as running:
        Client(f"{running.url}/faces/predict/").predict(b"x")
        assert running.targets == ["POST /faces/predict?detect=false"]


@pytest.mark.parametrize("headers", [{"X-Team": "a\r\nX-Other: b"}, {"X Team": "a"}, {"X-Team": "é"}])
def test_client_refuses_a_header_that_http_does_not_allow(headers: dict[str, str]) -> None:
    with pytest.raises(ValueError, match="header"):
        Client("http://127.0.0.1:1", headers=headers)


def test_client_uses_the_proxy_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    with scripted(ANSWERED) as running:
        monkeypatch.setenv("HTTP_PROXY", running.url.replace("//", "//user:pass%21@"))
        assert Client("http://faces.invalid:81/faces").predict(b"x") == [Prediction.parse(PREDICTION)]
        assert running.targets == ["POST http://faces.invalid:81/faces/predict?detect=false"]
        assert running.requests[0]["Host"] == "faces.invalid:81"
        assert running.requests[0]["Proxy-Authorization"] == "Basic dXNlcjpwYXNzIQ=="


def test_client_asks_the_proxy_for_a_tunnel_to_a_secure_server(monkeypatch: pytest.MonkeyPatch) -> None:
    with scripted((403, b"", {})) as running:
        monkeypatch.setenv("https_proxy", running.url)
        with pytest.raises(
            ServerError, match=rf"through the proxy {running.url}: OSError: Tunnel connection failed: 403"
        ):
            Client("https://faces.invalid", attempts=1).predict(b"x")
        assert running.targets == ["CONNECT faces.invalid:443"]


def test_client_leaves_out_the_proxy_for_hosts_of_no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("NO_PROXY", "other.example,127.0.0.1")
    with scripted(ANSWERED) as running:
        assert Client(running.url).predict(b"x") == [Prediction.parse(PREDICTION)]


def test_client_refuses_a_proxy_that_it_cannot_use(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALL_PROXY", "socks5://user:hidden@127.0.0.1:1")
    with pytest.raises(ServerError, match="not of the form http://host:port") as refusal:
        Client("http://faces.example")
    assert "hidden" not in str(refusal.value)


def test_predict_takes_bytes_paths_and_files_one_or_many(local: LocalPredictor, face: bytes, tmp_path: Path) -> None:
    path = tmp_path / "face.jpg"
    path.write_bytes(face)
    (expected,) = local.predict([face])
    for one in (face, bytearray(face), memoryview(face), path, str(path), io.BytesIO(face)):
        assert local.predict(one) == [expected]
    assert local.predict(each for each in (face, path, str(path))) == [expected] * 3
    with scripted(*[ANSWERED] * 2) as running, path.open("rb") as file:
        client = Client(running.url)
        assert client.predict(path) == client.predict(file) == [Prediction.parse(PREDICTION)]


def test_local_predictor_needs_no_folder_that_can_be_written(face: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    def read_only() -> IO[bytes]:
        raise FileNotFoundError("no usable temporary directory found")

    monkeypatch.setattr("age_gender.local.TemporaryFile", read_only)
    assert LocalPredictor(ALL_HEADS).predict(face)[0].age


@pytest.mark.parametrize(
    ("images", "named"),
    [(7, "got int"), (None, "got NoneType"), ([b"x", 7], "item 1 is int"), ([[b"x"]], "item 0 is list")],
)
def test_predict_names_what_is_no_image(images: Any, named: str) -> None:
    with pytest.raises(TypeError, match=f"an image is bytes, a path, or a file opened in binary mode.*{named}"):
        Client("http://127.0.0.1:1").predict(images)


def test_predict_names_a_file_that_is_not_binary() -> None:
    with pytest.raises(TypeError, match=r"read\(\) of the file returned str"):
        Client("http://127.0.0.1:1").predict(io.StringIO("text"))


def test_the_client_needs_nothing_but_the_standard_library() -> None:
    # -S hides all installed packages.
    code = f"import sys; sys.path.insert(0, {str(FUNCTION)!r}); import age_gender.client"
    subprocess.run([sys.executable, "-I", "-S", "-c", code], check=True)
