"""Answer `DetectFaces` of Amazon Rekognition's clients, such as boto3, at `POST /`.

The shapes are those of botocore's data/rekognition/2016-06-27/service-2.json, protocol AWS JSON 1.1.
"""

from __future__ import annotations

import re
from http import HTTPStatus
from typing import Any

from flask import Request, Response, g

from serving import access, request_parsing
from serving.access import Handler
from serving.heads import AGE
from serving.inference import InferenceService, PredictionJson
from serving.problems import Problem, json_text
from serving.request_stats import RequestStats
from serving.routes import Reserve
from serving.settings import Settings

MEDIA = "application/x-amz-json-1.1"
TARGET = "X-Amz-Target"
"""Header that names the operation. A request without it is not one of Rekognition's clients."""
DETECT_FACES = "RekognitionService.DetectFaces"
REQUEST_ID = "x-amzn-RequestId"
ATTRIBUTES = {"AGE_RANGE": AGE, "GENDER": "gender"}
"""Attributes that a request may name besides DEFAULT and ALL, and the heads that answer them."""
LANDMARKS = {"eyeLeft": "right_eye", "eyeRight": "left_eye", "nose": "nose"}
"""Rekognition's landmarks by ours. Its left is the viewer's, ours is the person's."""

# AWS4-HMAC-SHA256 Credential=<access key id>/<date>/<region>/<service>/aws4_request, SignedHeaders=…, Signature=…
_CREDENTIAL = r"AWS4-HMAC-SHA256 Credential=([!-~]+)/\d{8}/[^/,\s]+/[^/,\s]+/aws4_request,.*"
_EXPECTED = 'expected {"Image": {"Bytes": "<base64 of an image>"}}'
# Status of a problem -> error of Rekognition. Its clients' errors have status 400.
_ERRORS = {
    HTTPStatus.REQUEST_TIMEOUT: ("RequestTimeoutException", HTTPStatus.REQUEST_TIMEOUT),
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: ("ImageTooLargeException", HTTPStatus.BAD_REQUEST),
    HTTPStatus.UNSUPPORTED_MEDIA_TYPE: ("InvalidImageFormatException", HTTPStatus.BAD_REQUEST),
    HTTPStatus.UNPROCESSABLE_ENTITY: ("InvalidImageFormatException", HTTPStatus.BAD_REQUEST),
    HTTPStatus.SERVICE_UNAVAILABLE: ("ThrottlingException", HTTPStatus.SERVICE_UNAVAILABLE),
}


class RekognitionError(Problem):
    """A failed request in the shape of AWS JSON 1.1, which makes boto3 raise the exception named `code`."""

    def __init__(
        self,
        code: str,
        detail: str,
        status: HTTPStatus = HTTPStatus.BAD_REQUEST,
        headers: dict[str, str] | None = None,
    ) -> None:
        super().__init__(status, detail, headers)
        self.code = code

    def response(self, request_id: str) -> Response:
        """Return the HTTP response."""
        body = {"__type": self.code, "Code": self.code, "Message": self.detail}
        return Response(json_text(body), self.status, {**self.headers, REQUEST_ID: request_id}, mimetype=MEDIA)


def authorize(request: Request, key: str) -> None:
    """Check the key, which Rekognition's clients send as the access key id, or as `X-API-Key`.

    The signature is not verified: the access key id is the secret here. Other requests are checked as everywhere.

    Raises:
        Problem: the key is missing or wrong.
    """
    if TARGET not in request.headers:
        access.require_key(request, key)
        return
    found = re.fullmatch(_CREDENTIAL, request.headers.get("Authorization", ""))
    sent = request.headers.get("X-API-Key", found[1] if found else "")
    if not access.matches(sent, key):
        raise RekognitionError(
            "AccessDeniedException", "the API key is missing or wrong; use it as aws_access_key_id, or send X-API-Key"
        )


def handler(settings: Settings, inference: InferenceService, reserve: Reserve, otherwise: Handler) -> Handler:
    """Return the handler of `POST /`: DetectFaces, and `otherwise` for requests without TARGET."""

    def detect_faces(request: Request) -> Response:
        target = request.headers.get(TARGET)
        if target is None:
            return otherwise(request)
        if target != DETECT_FACES or request.mimetype != MEDIA:
            detail = f"this service has only {DETECT_FACES}, as {MEDIA}"
            raise RekognitionError("UnknownOperationException", detail)
        try:
            with reserve(request) as deadline:
                image, attributes = read(request, settings)
                g.stats = RequestStats(1)
                (photo,) = inference.detect([image], deadline, g.stats)
        except RekognitionError:
            raise
        except Problem as problem:
            code, status = _ERRORS.get(problem.status, ("InvalidParameterException", HTTPStatus.BAD_REQUEST))
            raise RekognitionError(code, problem.detail, status, problem.headers) from problem
        body = {"FaceDetails": [face_detail(face, attributes) for face in photo["faces"]]}
        return Response(json_text(body), headers={REQUEST_ID: g.request_id}, mimetype=MEDIA)

    return detect_faces


def read(request: Request, settings: Settings) -> tuple[bytes, tuple[str, ...]]:
    """Return the encoded image of a request, and the names in ATTRIBUTES that it asks for.

    Raises:
        Problem: the request is malformed, too large or late, or asks for something the function does not do.
    """
    data = request_parsing.body(request, settings)
    try:
        content = request_parsing.parse_json(data, _EXPECTED)
    except Problem as problem:
        raise RekognitionError("SerializationException", problem.detail) from problem
    image = content.get("Image") if isinstance(content, dict) else None
    if not isinstance(image, dict):
        raise RekognitionError("InvalidParameterException", f"the body has no Image; {_EXPECTED}")
    if "S3Object" in image:
        raise RekognitionError("InvalidS3ObjectException", f"this service does not read S3; {_EXPECTED}")
    if not isinstance(image.get("Bytes"), str):
        raise RekognitionError("InvalidParameterException", f"the Image has no Bytes; {_EXPECTED}")
    try:
        encoded = request_parsing.decode_base64(image["Bytes"])
    except ValueError as error:
        raise RekognitionError("SerializationException", f"Bytes is not base64: {error}") from error
    return encoded, _attributes(content.get("Attributes"), settings.heads)


def _attributes(value: object, heads: tuple[str, ...]) -> tuple[str, ...]:
    offered = [attribute for attribute, head in ATTRIBUTES.items() if head in heads]
    known = ("DEFAULT", "ALL", *offered)
    asked = [] if value is None else value
    if not isinstance(asked, list):
        raise RekognitionError("SerializationException", f"Attributes is not a list; use {', '.join(known)}")
    for attribute in asked:
        if attribute not in known:
            detail = f"the attribute {attribute!r:.40} is not offered; use {', '.join(known)}"
            raise RekognitionError("InvalidParameterException", detail)
    return tuple(attribute for attribute in offered if attribute in asked or "ALL" in asked)


def face_detail(face: PredictionJson, attributes: tuple[str, ...]) -> dict[str, Any]:
    """Return a face of `InferenceService.detect` as a FaceDetail: the default attributes that are known, and others."""
    detail: dict[str, Any] = {
        "BoundingBox": {name.capitalize(): value for name, value in face["box"].items()},
        "Confidence": _percent(face["score"]),
        "Landmarks": [
            {"Type": name, "X": face["landmarks"][ours][0], "Y": face["landmarks"][ours][1]}
            for name, ours in LANDMARKS.items()
        ],
    }
    if "AGE_RANGE" in attributes:
        detail["AgeRange"] = {"Low": face[AGE]["low"], "High": face[AGE]["high"]}
    if "GENDER" in attributes:
        gender = face["gender"]
        detail["Gender"] = {"Value": gender["label"].capitalize(), "Confidence": _percent(gender["probability"])}
    return detail


def _percent(share: float) -> float:
    return round(100 * share, 2)
