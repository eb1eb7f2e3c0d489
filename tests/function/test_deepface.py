"""DeepFace's `POST /analyze`, with the bodies of its documentation, its tests and its Postman collection."""

from __future__ import annotations

import base64
import json
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import requests
from schemathesis.openapi import from_url

from serving import deepface
from tests.conftest import FUNCTION
from tests.function import scenes
from tests.function.test_logs import lines
from tests.server import Server, serve

KEY = "correct-horse-battery-staple"
Face = dict[str, Any]


@pytest.fixture(scope="module")
def dropin() -> Iterator[Server]:
    with serve(FUNCTION, DEEPFACE="true", HEADS="age,gender,ethnicity") as running:
        yield running


@pytest.fixture(scope="module")
def photo() -> bytes:
    return scenes.drawn()


def uri(image: bytes) -> str:
    return f"data:image/png;base64,{base64.b64encode(image).decode()}"


def analyze(server: Server, body: dict[str, Any], **headers: str) -> requests.Response:
    return requests.post(f"{server.url}/analyze", json=body, headers=headers, timeout=60)


def results(response: requests.Response) -> list[Face]:
    assert response.status_code == 200, response.text
    found: list[Face] = response.json()["results"]
    return found


def check(server: Server, image: bytes) -> None:
    """Compare the faces of `/analyze` with those of `/detect` and with where they are."""
    detected = server.post(image, "image/png", "/detect").json()["predictions"][0]
    answered = results(analyze(server, {"img": uri(image)}))
    assert len(answered) == len(detected["faces"]) == 2
    for found, face, (left, top, side) in zip(answered, detected["faces"], (scenes.LARGE, scenes.SMALL), strict=True):
        assert found["age"] == face["age"]["years"]
        label, percent = face["gender"]["label"], 100 * face["gender"]["probability"]
        assert found["dominant_gender"] == {"male": "Man", "female": "Woman"}[label]
        assert found["gender"][found["dominant_gender"]] == pytest.approx(percent)
        assert found["gender"].keys() == {"Woman", "Man"}
        assert sum(found["gender"].values()) == pytest.approx(100)
        assert found["dominant_race"] == face["ethnicity"]["label"]
        assert found["race"] == {found["dominant_race"]: pytest.approx(100 * face["ethnicity"]["probability"])}
        assert found["face_confidence"] == face["score"]
        region = found["region"]
        assert all(isinstance(region[name], int) for name in "xywh")
        # The box is around the face, with its center in it.
        assert left < region["x"] + region["w"] / 2 < left + side
        assert top < region["y"] + region["h"] / 2 < top + side
        assert 0.5 * side < region["w"] < 1.5 * side
        # The person's left eye is at the viewer's right.
        assert left < region["right_eye"][0] < region["left_eye"][0] < left + side
        assert top < region["left_eye"][1] < top + side / 2


def test_every_face_is_answered_as_detect_answers_it(dropin: Server, photo: bytes) -> None:
    check(dropin, photo)


def test_real_faces_are_answered_as_detect_answers_them(dropin: Server, utkface: Path) -> None:
    large, small = sorted(utkface.glob("26_1_*"))[0], sorted(utkface.glob("50_0_*"))[0]
    check(dropin, scenes.scene(large, small))
    (found,) = results(
        requests.post(f"{dropin.url}/analyze", files={"img": ("face.jpg", large.read_bytes())}, timeout=60)
    )
    assert abs(found["age"] - 26) < 15
    assert found["dominant_gender"] == "Woman"
    region = found["region"]
    assert (region["x"], region["y"]) >= (0, 0)
    assert region["x"] + region["w"] <= 200
    assert region["y"] + region["h"] <= 200


def test_every_kind_of_body_gets_the_same_answer(dropin: Server, photo: bytes) -> None:
    # In the order of DeepFace's tests: JSON, a form with a file, a form of texts.
    url, encoded = f"{dropin.url}/analyze", base64.b64encode(photo).decode()
    expected = results(analyze(dropin, {"img": uri(photo), "actions": ["age", "gender"]}))
    asked = {"actions": '["age", "gender"]', "detector_backend": "mtcnn"}
    for body in (
        {"json": {"img": encoded, "actions": "age, gender", "silent": True, "align": False}},
        {"files": {"img": ("test_image.jpg", photo)}, "data": asked},
        {"files": {"img": ("test_image.jpg", photo, "image/png")}, "data": {**asked, "enforce_detection": "True"}},
        {"files": {"img": (None, uri(photo)), "actions": (None, "('age', 'gender')")}},
        {"data": {"img": uri(photo), **asked, "align": "false"}},
        {"data": {"img": encoded, "actions": "[age,gender]", "enforce_detection": "false"}},
    ):
        assert results(requests.post(url, timeout=60, **body)) == expected


def test_actions_and_max_faces_select(dropin: Server, photo: bytes) -> None:
    everything = results(analyze(dropin, {"img": uri(photo)}))
    always = {"region", "face_confidence"}
    for actions, members in (
        (["age"], {"age"}),
        (["gender"], {"gender", "dominant_gender"}),
        ("race", {"race", "dominant_race"}),
        (["race", "age", "age"], {"race", "dominant_race", "age"}),
    ):
        found = results(analyze(dropin, {"img": uri(photo), "actions": actions}))
        assert [set(face) for face in found] == [members | always] * 2
        assert found == [{name: face[name] for name in members | always} for face in everything]
    for most in (1, "1"):
        assert results(analyze(dropin, {"img": uri(photo), "max_faces": most})) == everything[:1]
    assert results(analyze(dropin, {"img": uri(photo), "max_faces": 9})) == everything


def test_an_image_without_a_face_is_an_error_unless_it_may_be(dropin: Server) -> None:
    image = scenes.blank()
    refused = analyze(dropin, {"img": uri(image)})
    assert refused.status_code == 400
    assert "no face was found" in refused.json()["error"]
    (found,) = results(analyze(dropin, {"img": uri(image), "enforce_detection": False}))
    assert found["region"] == {"x": 0, "y": 0, "w": 256, "h": 256, "left_eye": None, "right_eye": None}
    assert found["face_confidence"] == 0
    (predicted,) = dropin.post(image, "image/png").json()["predictions"]
    assert found["age"] == predicted["age"]["years"]
    assert found["warnings"] == predicted["warnings"]


REFUSED: dict[str, tuple[dict[str, Any], int, str]] = {
    # The example of DeepFace's Postman collection.
    "emotion": ({"actions": ["age", "gender", "emotion", "race"]}, 400, "'emotion' is not offered; use age, gender"),
    "an unknown action": ({"actions": "mood"}, 400, "'mood' is not offered"),
    "no action": ({"actions": []}, 400, "actions is not a list of names"),
    "another action": ({"actions": [{}]}, 400, "'{}' is not offered"),
    "a path": ({"img": "/home/me/deepface/tests/dataset/couple.jpg"}, 400, "paths and URLs are never opened"),
    "a path that is base64": ({"img": "/etc/passwd"}, 400, "paths and URLs are never opened"),
    "a relative path": ({"img": "dataset/img1.jpg"}, 400, "paths and URLs are never opened"),
    "a URL": ({"img": "https://github.com/couple.jpg?raw=true"}, 400, "paths and URLs are never opened"),
    "a file URL": ({"img": "file:///etc/hostname"}, 400, "paths and URLs are never opened"),
    "no image": ({"img": None}, 400, "the request has no img"),
    "a list of images": ({"img": ["a"]}, 400, "the request has no img"),
    "another format": ({"img": "data:image/gif;base64,R0lGODlhAQABAAAAACw="}, 415, "a GIF"),
    "anti_spoofing": ({"anti_spoofing": True}, 400, "anti_spoofing is not offered"),
    "skip": ({"detector_backend": "skip"}, 400, "send aligned faces to /predict"),
    "a flag": ({"enforce_detection": "maybe"}, 400, "enforce_detection is 'maybe'"),
    "another flag": ({"align": 2}, 400, "align is 2"),
    "max_faces": ({"max_faces": 0}, 400, "max_faces is 0"),
    "a boolean max_faces": ({"max_faces": True}, 400, "max_faces is True"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_not_offered_is_refused_with_a_reason(dropin: Server, photo: bytes, name: str) -> None:
    body, status, words = REFUSED[name]
    response = analyze(dropin, {"img": uri(photo)} | body)
    assert response.status_code == status
    assert response.headers["Content-Type"] == "application/problem+json"
    problem = response.json()
    assert words.replace("'{}'", "{}") in problem["detail"]
    assert problem["error"] == problem["detail"]


def test_broken_bodies_are_refused(dropin: Server, photo: bytes) -> None:
    plus = b"img=" + base64.b64encode(photo)
    for body, kind, status, words in (
        (b"{", "application/json", 400, "not JSON"),
        (b"[]", "application/json", 400, "not a JSON object"),
        (photo, "image/png", 415, "send one of application/json, multipart/form-data"),
        (photo, "", 415, "Content-Type is missing"),
        (b"x", "multipart/form-data", 400, "no boundary"),
        (plus, "application/x-www-form-urlencoded", 400, "was each + turned into a space?"),
        (b"img=a&img=b", "application/x-www-form-urlencoded", 400, "'img' twice"),
        (b"&" * 100, "application/x-www-form-urlencoded", 400, "more than 100 fields"),
        (b"img=%FF", "application/x-www-form-urlencoded", 400, "not base64"),
    ):
        response = dropin.post(body, kind, "/analyze")
        assert (response.status_code, words in response.text) == (status, True), response.text
    twice = [("img", ("a.png", photo)), ("img", ("b.png", photo))]
    response = requests.post(f"{dropin.url}/analyze", files=twice, timeout=60)  # type: ignore[assignment]
    assert (response.status_code, "'img' twice" in response.text) == (400, True)


def test_a_form_of_escapes_takes_little_more_memory_than_its_body() -> None:
    body = b"img=" + b"%41%2B" * 700_000
    tracemalloc.start()
    try:
        fields = deepface._urlencoded(body)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert fields["img"] == "%41+" * 700_000
    # A list of the escapes would take thirty times as much.
    assert peak < 2.5 * len(body)


def test_race_needs_its_head(photo: bytes) -> None:
    with serve(FUNCTION, DEEPFACE="true") as server:
        first, _ = results(analyze(server, {"img": uri(photo)}))
        assert first.keys() == {"age", "gender", "dominant_gender", "region", "face_confidence"}
        response = analyze(server, {"img": uri(photo), "actions": ["race"]})
        assert response.status_code == 400
        assert "use age, gender; race needs ethnicity in the setting HEADS" in response.json()["error"]


def test_the_key_is_required_and_the_log_counts_faces(photo: bytes) -> None:
    body = json.dumps({"img": uri(photo)}).encode()
    with serve(FUNCTION, DEEPFACE="true", API_KEY=KEY, LOG_LEVEL="INFO") as server:
        for key, status in (({}, 401), ({"Authorization": f"Bearer {KEY}"}, 200)):
            assert server.post(body, "application/json", "/analyze", **key).status_code == status
        logged = [line for line in lines(server) if line["httpRequest"]["requestUrl"] == "/analyze"]
    assert [line["httpRequest"]["status"] for line in logged] == [401, 200]
    assert {name: logged[1][name] for name in ("images", "failed", "photos", "faces")} == {
        "images": 1,
        "failed": 0,
        "photos": 1,
        "faces": 2,
    }


def test_nothing_else_of_deepface_is_there(dropin: Server, server: Server) -> None:
    for path in ("/represent", "/verify"):
        assert dropin.post(b"{}", "application/json", path).status_code == 404
    assert server.post(b"{}", "application/json", "/analyze").status_code == 404


def test_the_description_has_it(dropin: Server, photo: bytes) -> None:
    from_url(f"{dropin.url}/openapi.json").validate()
    document = dropin.get("/openapi.json").json()
    operation = document["paths"]["/analyze"]["post"]
    text = json.dumps({"$defs": document["components"]["schemas"]}).replace("#/components/schemas/", "#/$defs/")
    example = operation["requestBody"]["content"]["application/json"]["example"]
    for body in (example, {"img": uri(photo)}):
        jsonschema.validate(body, {**json.loads(text), "$ref": "#/$defs/AnalyzeRequest"})
        answer = analyze(dropin, body)
        assert answer.status_code == 200
        jsonschema.validate(answer.json(), {**json.loads(text), "$ref": "#/$defs/Analysis"})
    emotion = {"img": uri(photo), "actions": ["emotion"]}
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(emotion, {**json.loads(text), "$ref": "#/$defs/AnalyzeRequest"})
