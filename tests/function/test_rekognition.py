"""Amazon Rekognition's DetectFaces, with boto3."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import boto3
import httpx
import jsonschema
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError
from PIL import Image
from schemathesis.openapi import from_url

from serving import rekognition
from tests.conftest import FUNCTION
from tests.function import scenes
from tests.function.test_logs import lines
from tests.server import Server, serve

KEY = "correct-horse/battery,staple"
MAX_BYTES = 2_000_000
TARGET = {"X-Amz-Target": "RekognitionService.DetectFaces"}


@pytest.fixture(scope="module")
def dropin() -> Iterator[Server]:
    with serve(FUNCTION, REKOGNITION="true", MAX_REQUEST_BYTES=str(MAX_BYTES)) as running:
        yield running


@pytest.fixture(scope="module")
def guarded() -> Iterator[Server]:
    with serve(FUNCTION, REKOGNITION="true", API_KEY=KEY, HEADS="age") as running:
        yield running


@pytest.fixture(scope="module")
def photo() -> bytes:
    return scenes.drawn()


def client(server: Server, key: str = "an access key id", attempts: int = 1) -> Any:
    """Return a client as users make it, except for the number of attempts."""
    return boto3.client(
        "rekognition",
        endpoint_url=server.url,
        region_name="eu-west-1",
        aws_access_key_id=key,
        aws_secret_access_key="not used",  # noqa: S106
        config=Config(retries={"total_max_attempts": attempts}),
    )


def check(server: Server, image: bytes) -> None:
    """Compare the answers of boto3 with those of `/detect`, and with where the faces are."""
    detected = server.post(image, "image/png", "/detect").json()["predictions"][0]
    response = client(server).detect_faces(Image={"Bytes": image}, Attributes=["ALL"])
    answered = response["FaceDetails"]
    assert len(answered) == len(detected["faces"]) == 2
    for found, face, (left, top, side) in zip(answered, detected["faces"], (scenes.LARGE, scenes.SMALL), strict=True):
        box = {name.lower(): value for name, value in found["BoundingBox"].items()}
        assert box == face["box"]
        assert found["Confidence"] == pytest.approx(100 * face["score"])
        assert found["AgeRange"] == {"Low": face["age"]["low"], "High": face["age"]["high"]}
        assert found["Gender"]["Value"] == face["gender"]["label"].capitalize()
        assert found["Gender"]["Confidence"] == pytest.approx(100 * face["gender"]["probability"])
        points = {point["Type"]: (point["X"] * 960, point["Y"] * 640) for point in found["Landmarks"]}
        assert points.keys() == {"eyeLeft", "eyeRight", "nose"}
        # Left is the viewer's.
        assert left < points["eyeLeft"][0] < points["nose"][0] < points["eyeRight"][0] < left + side
        assert top < points["eyeLeft"][1] < points["nose"][1] < top + side


def test_every_face_is_answered_as_detect_answers_it(dropin: Server, photo: bytes) -> None:
    check(dropin, photo)


def test_real_faces_are_answered_as_detect_answers_them(dropin: Server, utkface: Path) -> None:
    large, small = sorted(utkface.glob("26_1_*"))[0], sorted(utkface.glob("50_0_*"))[0]
    check(dropin, scenes.scene(large, small))
    (found,) = client(dropin).detect_faces(Image={"Bytes": large.read_bytes()}, Attributes=["ALL"])["FaceDetails"]
    assert found["AgeRange"]["Low"] <= 26 <= found["AgeRange"]["High"]
    assert found["Gender"]["Value"] == "Female"


def test_attributes_select(dropin: Server, photo: bytes) -> None:
    detect = client(dropin).detect_faces
    default = {"BoundingBox", "Confidence", "Landmarks"}
    for attributes, members in (
        ({}, default),
        ({"Attributes": []}, default),
        ({"Attributes": ["DEFAULT"]}, default),
        ({"Attributes": ["AGE_RANGE"]}, default | {"AgeRange"}),
        ({"Attributes": ["DEFAULT", "GENDER"]}, default | {"Gender"}),
        ({"Attributes": ["GENDER", "AGE_RANGE"]}, default | {"Gender", "AgeRange"}),
        ({"Attributes": ["DEFAULT", "ALL"]}, default | {"Gender", "AgeRange"}),
    ):
        assert {*detect(Image={"Bytes": photo}, **attributes)["FaceDetails"][0]} == members


def test_no_face_is_an_empty_list_and_every_answer_has_its_request_id(dropin: Server) -> None:
    response = client(dropin).detect_faces(Image={"Bytes": scenes.blank()})
    assert response["FaceDetails"] == []
    metadata = response["ResponseMetadata"]
    assert metadata["HTTPStatusCode"] == 200
    assert metadata["RequestId"] == metadata["HTTPHeaders"]["x-request-id"]
    assert metadata["HTTPHeaders"]["content-type"] == "application/x-amz-json-1.1"


def large() -> bytes:
    out = io.BytesIO()
    Image.new("L", (8000, 7000)).save(out, "JPEG")
    return out.getvalue()


def failures(photo: bytes) -> dict[str, tuple[dict[str, Any], str]]:
    """Return arguments of `detect_faces`, and words of the error, by the name of the exception."""
    return {
        "InvalidImageFormatException": ({"Image": {"Bytes": b"no image"}}, "not an image of a known format"),
        "ImageTooLargeException": ({"Image": {"Bytes": large()}}, "8000x7000 pixels"),
        "InvalidS3ObjectException": ({"Image": {"S3Object": {"Bucket": "mine", "Name": "a.jpg"}}}, "does not read S3"),
        "InvalidParameterException": (
            {"Image": {"Bytes": photo}, "Attributes": ["SMILE"]},
            "'SMILE' is not offered; use DEFAULT, ALL, AGE_RANGE, GENDER",
        ),
    }


@pytest.mark.parametrize("name", failures(b""))
def test_boto3_raises_the_exception_of_rekognition(dropin: Server, photo: bytes, name: str) -> None:
    arguments, words = failures(photo)[name]
    boto = client(dropin)
    with pytest.raises(getattr(boto.exceptions, name), match=words) as caught:
        boto.detect_faces(**arguments)
    metadata = caught.value.response["ResponseMetadata"]
    assert metadata["HTTPStatusCode"] == 400
    assert metadata["RequestId"] == metadata["HTTPHeaders"]["x-request-id"]


def test_other_failures_are_rekognitions_too(dropin: Server, photo: bytes) -> None:
    boto = client(dropin)
    for arguments, code in (
        ({"Image": {"Bytes": photo[:3000]}}, "InvalidImageFormatException"),
        ({"Image": {"Bytes": bytes(MAX_BYTES)}}, "ImageTooLargeException"),
        ({"Image": {}}, "InvalidParameterException"),
    ):
        with pytest.raises(ClientError) as caught:
            boto.detect_faces(**arguments)
        assert caught.value.response["Error"]["Code"] == code
    with pytest.raises(ClientError, match="this service has only RekognitionService") as caught:
        boto.detect_labels(Image={"Bytes": photo})
    assert caught.value.response["Error"]["Code"] == "UnknownOperationException"


def test_malformed_bodies_are_refused(dropin: Server, photo: bytes) -> None:
    for body, kind, code in (
        (b"{", rekognition.MEDIA, "SerializationException"),
        (b"[]", rekognition.MEDIA, "InvalidParameterException"),
        (b'{"Image": "a"}', rekognition.MEDIA, "InvalidParameterException"),
        (b'{"Image": {"Bytes": 1}}', rekognition.MEDIA, "InvalidParameterException"),
        (b'{"Image": {"Bytes": "?"}}', rekognition.MEDIA, "SerializationException"),
        (b'{"Image": {"Bytes": ""}, "Attributes": "ALL"}', rekognition.MEDIA, "SerializationException"),
        (b'{"Image": {"Bytes": ""}, "Attributes": [{}]}', rekognition.MEDIA, "InvalidParameterException"),
        # Its memory would not be reserved.
        (photo, "image/png", "UnknownOperationException"),
    ):
        response = dropin.post(body, kind, "/", **TARGET)
        assert (response.status_code, response.json()["__type"]) == (400, code), response.text
        assert response.headers["Content-Type"] == rekognition.MEDIA


def test_a_busy_server_is_throttling() -> None:
    blank = io.BytesIO()
    Image.new("RGB", (4000, 4000), "gray").save(blank, "PNG")
    with serve(FUNCTION, REKOGNITION="true", REQUEST_TIMEOUT="1") as server, ThreadPoolExecutor(40) as pool:
        boto = client(server)

        def code(_: int) -> tuple[str, int]:
            try:
                boto.detect_faces(Image={"Bytes": blank.getvalue()})
            except boto.exceptions.ThrottlingException as error:
                return "throttled", error.response["ResponseMetadata"]["HTTPStatusCode"]
            return "answered", 200

        assert {*pool.map(code, range(40))} == {("throttled", 503), ("answered", 200)}


def test_the_key_is_the_access_key_id_or_a_header(guarded: Server, photo: bytes) -> None:
    (face, _) = client(guarded, KEY).detect_faces(Image={"Bytes": photo}, Attributes=["ALL"])["FaceDetails"]
    assert {*face} == {"BoundingBox", "Confidence", "Landmarks", "AgeRange"}
    with_header = client(guarded)
    add = "before-sign.rekognition.DetectFaces"
    with_header.meta.events.register(add, lambda request, **_: request.headers.add_header("X-API-Key", KEY))
    assert with_header.detect_faces(Image={"Bytes": photo})["FaceDetails"]
    for wrong in ("an access key id", KEY[:-1], f"{KEY}/20261127"):
        boto = client(guarded, wrong)
        with pytest.raises(boto.exceptions.AccessDeniedException, match="API key is missing or wrong"):
            boto.detect_faces(Image={"Bytes": photo})


def test_no_other_request_gets_in_by_an_access_key_id(guarded: Server, photo: bytes) -> None:
    signed = {"Authorization": f"AWS4-HMAC-SHA256 Credential={KEY}/20261127/a/rekognition/aws4_request, Signature=0"}
    assert guarded.post(b'{"Image": {}}', rekognition.MEDIA, "/", **TARGET, **signed).status_code == 400
    assert guarded.post(photo, "image/png", "/", **signed).status_code == 401
    assert guarded.post(photo, "image/png", "/predict", **signed, **TARGET).status_code == 401
    for sent in ({}, {"Authorization": f"Bearer {KEY}"}, {"X-API-Key": "wrong", **signed}):
        response = guarded.post(b'{"Image": {}}', rekognition.MEDIA, "/", **TARGET, **sent)
        assert response.json()["__type"] == "AccessDeniedException"
        assert KEY not in response.text


def test_predictions_at_the_same_path_stay_what_they_are(
    dropin: Server, guarded: Server, server: Server, face: bytes
) -> None:
    assert dropin.post(face, path="/").json() == dropin.post(face).json()
    assert guarded.post(face, path="/", **{"X-API-Key": KEY}).status_code == 200
    assert guarded.post(face, path="/").headers["Content-Type"] == "application/problem+json"
    # Where the setting is off, the header has no meaning.
    assert server.post(face, path="/", **TARGET).status_code == 200
    with pytest.raises(ClientError):
        client(server).detect_faces(Image={"Bytes": face})


def test_the_log_counts_faces_and_tells_nothing_else(photo: bytes) -> None:
    with serve(FUNCTION, REKOGNITION="true", API_KEY=KEY, LOG_LEVEL="INFO") as server:
        client(server, KEY).detect_faces(Image={"Bytes": photo})
        (line,) = [line for line in lines(server) if line["httpRequest"]["requestMethod"] == "POST"]
    assert (line["images"], line["failed"], line["photos"], line["faces"]) == (1, 0, 1, 2)
    assert KEY not in json.dumps(line)


def test_the_description_has_it(dropin: Server) -> None:
    from_url(f"{dropin.url}/openapi.json").validate()
    document = dropin.get("/openapi.json").json()
    operation = document["paths"]["/"]["post"]
    text = json.dumps({"$defs": document["components"]["schemas"]}).replace("#/components/schemas/", "#/$defs/")

    def validate(body: object, reference: dict[str, str]) -> None:
        name = reference["$ref"].rpartition("/")[2]
        jsonschema.validate(body, {**json.loads(text), "$ref": f"#/$defs/{name}"})

    request = operation["requestBody"]["content"][rekognition.MEDIA]
    validate(request["example"], request["schema"])
    for body, status in ((request["example"], "200"), ({"Image": {}}, "400")):
        headers = {"Content-Type": rekognition.MEDIA, **TARGET}
        response = httpx.post(f"{dropin.url}/", content=json.dumps(body), headers=headers, timeout=30)
        assert str(response.status_code) == status
        validate(response.json(), operation["responses"][status]["content"][rekognition.MEDIA]["schema"])
    assert "image/jpeg" in operation["requestBody"]["content"]
