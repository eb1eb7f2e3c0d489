"""The typed client, against the real function and against servers that behave badly."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from email.utils import formatdate

import pytest

from age_gender.client import Client
from age_gender.local import LocalPredictor
from age_gender.prediction import Age, Choice, Prediction, PredictionWarning, parse
from age_gender.transport import FIRST_WAIT, LONGEST_WAIT, ServerError, wait
from serving.settings import Settings
from tests.conftest import FUNCTION
from tests.scripted_server import ANSWERED, PREDICTION, Scripted, standing
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


def test_the_client_gives_what_the_function_says(server: Server, face: bytes) -> None:
    (said,) = server.post(face).json()["predictions"]
    (prediction,) = Client(server.url).predict([face])
    assert prediction.age is not None
    assert prediction.gender is not None
    assert (prediction.age.years, prediction.gender.label) == (said["age"]["years"], said["gender"]["label"])
    assert json.loads(json.dumps(prediction.as_json())) == said


def test_more_images_than_one_request_carries_are_answered_in_their_order(
    server: Server, local: LocalPredictor, faces: list[bytes]
) -> None:
    predictions = Client(server.url).predict(faces)
    assert len(predictions) > 2 * Client.max_images
    assert len(set(predictions)) == len(predictions)
    assert predictions == local.predict(faces)


@pytest.mark.parametrize("source", ["client", "local"])
def test_a_bad_image_fails_for_itself(source: str, server: Server, local: LocalPredictor, face: bytes) -> None:
    asked: Client | LocalPredictor = Client(server.url) if source == "client" else local
    empty, text = b"", b"no image"
    (good_prediction,) = asked.predict([face])
    predictions = asked.predict([text, face, empty])
    assert [prediction.error.status if prediction.error else 200 for prediction in predictions] == [415, 200, 415]
    assert predictions[1] == good_prediction
    for none in ([text], [text, empty]):
        assert [prediction.error.status for prediction in asked.predict(none) if prediction.error] == [415] * len(none)
    assert asked.predict([]) == []


def test_a_server_that_allows_less_is_sent_less(faces: list[bytes], local: LocalPredictor) -> None:
    with serve(FUNCTION, MAX_IMAGES="3", HEADS="age,gender,ethnicity") as small:
        assert Client(small.url).predict(faces[:8]) == local.predict(faces[:8])


def test_what_a_busy_server_left_out_of_a_batch_is_asked_again() -> None:
    late = {"error": {"status": 503, "detail": "no time left"}}
    other = {**PREDICTION, "gender": {"label": "female", "probability": 0.8}}
    with standing((200, {"predictions": [PREDICTION, late]}, {}), (200, {"predictions": [other]}, {})) as stand:
        assert Client(stand.url).predict([b"x", b"y"]) == [parse(PREDICTION), parse(other)]


def test_warnings_and_unknown_members_are_taken_as_they_come() -> None:
    warned = {**PREDICTION, "warnings": [{"code": "low_contrast", "detail": "no face"}], "mood": "new"}
    assert parse(warned) == Prediction(
        Age(30, 25, 35), {"gender": Choice("male", 0.9)}, warnings=(PredictionWarning("low_contrast", "no face"),)
    )


@pytest.mark.parametrize("status", [429, 502, 503, 504])
def test_a_busy_server_is_asked_again(status: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("age_gender.transport.FIRST_WAIT", 0.01)
    with standing((status, {}, {}), (status, {}, {}), ANSWERED) as stand:
        assert Client(stand.url).predict([b"x"]) == [parse(PREDICTION)]
        assert len(stand.asked) == 3


def test_the_wait_that_a_server_asks_for_is_kept() -> None:
    with standing((429, {}, {"Retry-After": "1"}), ANSWERED) as stand:
        began = time.monotonic()
        Client(stand.url).predict([b"x"])
        assert 1.0 <= time.monotonic() - began < 2.0


@pytest.mark.parametrize(
    ("attempt", "retry_after", "least", "most"),
    [
        (1, "", FIRST_WAIT / 2, FIRST_WAIT),
        (4, "", FIRST_WAIT * 4, FIRST_WAIT * 8),
        (1, "7", 7, 7),
        (1, "100000", LONGEST_WAIT, LONGEST_WAIT),
        (1, "soon", FIRST_WAIT / 2, FIRST_WAIT),
        (30, "", LONGEST_WAIT, LONGEST_WAIT),
        (1, "Sun, 06 Nov 1994 08:49:37 GMT", FIRST_WAIT / 2, FIRST_WAIT),
    ],
)
def test_waits_grow_and_end(attempt: int, retry_after: str, least: float, most: float) -> None:
    assert least <= wait(attempt, retry_after) <= most


def test_a_wait_may_be_asked_for_as_a_date() -> None:
    assert 18 <= wait(1, formatdate(time.time() + 20, usegmt=True)) <= 20


def test_the_last_refusal_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("age_gender.transport.FIRST_WAIT", 0.01)
    with standing(BUSY, BUSY) as stand, pytest.raises(ServerError, match="503: busy"):
        Client(stand.url, attempts=2).predict([b"x"])


def test_one_connection_is_kept_for_many_requests() -> None:
    with standing(*[ANSWERED] * 3) as stand:
        with Client(stand.url) as client:
            for _ in range(3):
                client.predict([b"x"])
        assert len(stand.connections) == 1


def test_many_threads_share_one_client(server: Server, local: LocalPredictor, faces: list[bytes]) -> None:
    with Client(server.url) as client, ThreadPoolExecutor(8) as threads:
        predictions = list(threads.map(lambda face: client.predict([face])[0], faces))
    assert predictions == local.predict(faces)


def test_a_kept_connection_that_was_closed_meanwhile_is_no_failure() -> None:
    with standing(*[ANSWERED] * 2, hang_up=True) as stand:
        client = Client(stand.url, attempts=1)
        for _ in range(2):
            client.predict([b"x"])
            time.sleep(0.1)
        assert len(stand.connections) == 2


def test_the_key_is_sent_only_where_there_is_one() -> None:
    with standing(ANSWERED, ANSWERED) as stand:
        Client(stand.url, api_key="secret").predict([b"x"])
        Client(stand.url).predict([b"x"])
        assert [asked.get("X-API-Key") for asked in stand.asked] == ["secret", None]


@pytest.mark.parametrize(
    ("prediction", "told"),
    [
        ((401, {"status": 401, "title": "Unauthorized", "detail": "send X-API-Key"}, {}), "401: send X-API-Key"),
        ((403, b"<html>Forbidden", {}), "403, but not as this function does"),
        ((200, b"<html>hello", {}), "200, but not as this function does"),
        ((200, {"predictions": [{"age": 3}]}, {}), "200, but not as this function does"),
        ((200, {"predictions": []}, {}), "0 answers for 1 images"),
    ],
)
def test_a_server_that_cannot_be_used_is_told_apart_from_a_bad_image(prediction: Scripted, told: str) -> None:
    with standing(prediction) as stand, pytest.raises(ServerError, match=told):
        Client(stand.url).predict([b"x"])


@pytest.mark.parametrize(
    ("ask", "told"),
    [
        (lambda: Client("faces.example"), "no address of a server"),
        (lambda: Client("http://faces.example:port"), "no address of a server"),
        (lambda: Client("http://127.0.0.1:1", attempts=1).predict([b"x"]), "does not answer: ConnectionRefused"),
    ],
)
def test_an_address_without_a_server_is_told(ask: Callable[[], object], told: str) -> None:
    with pytest.raises(ServerError, match=told):
        ask()


def test_the_client_needs_nothing_but_the_standard_library() -> None:
    # -S leaves out all that is installed.
    code = f"import sys; sys.path.insert(0, {str(FUNCTION)!r}); import age_gender.client"
    subprocess.run([sys.executable, "-I", "-S", "-c", code], check=True)
