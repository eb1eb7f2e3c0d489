"""The part of the OpenAPI description for the clients of other services: DeepFace and Amazon Rekognition."""

from __future__ import annotations

import base64

from serving import deepface, rekognition
from serving.heads import AGE
from serving.openapi.schemas import JsonObject, ref
from serving.release import Release
from serving.request_parsing import FORM_TYPE, JSON_TYPE, URLENCODED_TYPE
from serving.settings import Settings

_BASE64 = {"type": "string", "format": "byte", "contentEncoding": "base64"}
_NUMBER = {"type": "number"}
_INTEGER = {"type": "integer"}
_PERCENT = {"type": "number", "minimum": 0, "maximum": 100}


def add(document: JsonObject, settings: Settings, release: Release, example: bytes) -> None:
    """Add to the description what the settings switch on.

    Args:
        document: the description, with the paths of the route table.
        settings: of this deployment.
        release: the one that is served.
        example: a small image for the examples of requests.
    """
    text = base64.b64encode(example).decode()
    schemas = document["components"]["schemas"]
    if settings.deepface:
        schemas |= _deepface(settings, release)
        document["paths"][deepface.PATH]["post"]["requestBody"] = _analyze_body(text)
    if settings.rekognition:
        schemas |= _rekognition(settings)
        _add_detect_faces(document["paths"]["/"]["post"], document["components"]["responses"], text)


def _analyze_body(example: str) -> JsonObject:
    asked = {"img": f"data:image/png;base64,{example}", "enforce_detection": False}
    file = {**_object(img={"type": "string", "format": "binary"}), "additionalProperties": True}
    return {
        "required": True,
        "description": "One image, as a `data:` URI, as base64 or as a file. Paths and URLs are never opened.",
        "content": {
            JSON_TYPE: {"schema": ref("AnalyzeRequest"), "example": asked},
            FORM_TYPE: {"schema": file},
            URLENCODED_TYPE: {"schema": ref("AnalyzeRequest")},
        },
    }


def _deepface(settings: Settings, release: Release) -> JsonObject:
    flag = {"type": "boolean"}
    offered = [action for action, head in deepface.ACTIONS.items() if head in settings.heads]
    actions = {"type": "array", "minItems": 1, "items": {"enum": offered}}
    request = _object(
        img={**_BASE64, "description": "A JPEG, PNG, WebP or AVIF file in base64, or as a `data:` URI."},
        actions={**actions, "description": "Default: all."},
        enforce_detection={**flag, "description": "Whether an image without a face is an error. Default: true."},
        max_faces={"type": "integer", "minimum": 1, "maximum": 999_999_999},
        anti_spoofing={"const": False},
        detector_backend={"type": "string", "description": "Has no effect, except that `skip` is refused."},
        align={**flag, "description": "Has no effect: faces are always aligned."},
    )
    eye = {"anyOf": [{"type": "array", "minItems": 2, "maxItems": 2, "items": _INTEGER}, {"type": "null"}]}
    region = _object(**dict.fromkeys("xywh", _INTEGER), left_eye=eye, right_eye=eye)
    answers: JsonObject = {}
    for action in offered:
        if action == AGE:
            answers[AGE] = _INTEGER
        else:
            names = [deepface.label(label) for label in release.labels[deepface.ACTIONS[action]]]
            answers[action] = {"type": "object", "properties": dict.fromkeys(names, _PERCENT)}
            answers[f"dominant_{action}"] = {"enum": names}
    warnings = {"type": "array", "minItems": 1, "items": ref("PredictionWarning")}
    confidence = {"type": "number", "minimum": 0, "maximum": 1}
    face = _object(**answers, region=region, face_confidence=confidence, warnings=warnings)
    return {
        "AnalyzeRequest": {**request, "required": ["img"]},
        "AnalyzedFace": {
            **face,
            "required": ["region", "face_confidence"],
            "description": "One face. Lengths are in pixels, left and right are those of the person.",
        },
        "Analysis": _object(results={"type": "array", "minItems": 1, "items": ref("AnalyzedFace")}),
    }


def _add_detect_faces(operation: JsonObject, responses: JsonObject, example: str) -> None:
    body = operation["requestBody"]
    operation["requestBody"] = {
        **body,
        "description": f"{body['description']} With the header `{rekognition.TARGET}: {rekognition.DETECT_FACES}`, "
        "the body is that of Amazon Rekognition's `DetectFaces`.",
        "content": {
            **body["content"],
            rekognition.MEDIA: {
                "schema": ref("DetectFacesRequest"),
                "example": {"Image": {"Bytes": example}, "Attributes": ["ALL"]},
            },
        },
    }
    operation["responses"]["200"]["content"][rekognition.MEDIA] = {"schema": ref("DetectFacesResponse")}
    for status, reference in operation["responses"].items():
        if status in ("400", "408", "503"):
            shared = responses[reference["$ref"].rpartition("/")[2]]
            content = {**shared["content"], rekognition.MEDIA: {"schema": ref("RekognitionError")}}
            operation["responses"][status] = {**shared, "content": content}


def _rekognition(settings: Settings) -> JsonObject:
    attributes = ["DEFAULT", "ALL", *(name for name, head in rekognition.ATTRIBUTES.items() if head in settings.heads)]
    landmark = _object(Type={"enum": [*rekognition.LANDMARKS]}, X=_NUMBER, Y=_NUMBER)
    detail = _object(
        BoundingBox=_object(**dict.fromkeys(("Left", "Top", "Width", "Height"), _NUMBER)),
        Confidence=_PERCENT,
        Landmarks={"type": "array", "items": landmark},
        AgeRange=_object(Low=_INTEGER, High=_INTEGER),
        Gender=_object(Value={"enum": ["Male", "Female"]}, Confidence=_PERCENT),
    )
    text = {"type": "string"}
    return {
        "DetectFacesRequest": {
            **_object(
                Image=_object(Bytes={**_BASE64, "description": "A JPEG, PNG, WebP or AVIF file in base64."}),
                Attributes={"type": "array", "items": {"enum": attributes}, "description": "Default: `DEFAULT`."},
            ),
            "required": ["Image"],
        },
        "FaceDetail": {
            **detail,
            "required": ["BoundingBox", "Confidence", "Landmarks"],
            "description": "One face. Positions are shares of the upright image, left and right are those of the "
            "viewer.",
        },
        "DetectFacesResponse": _object(FaceDetails={"type": "array", "items": ref("FaceDetail")}),
        "RekognitionError": _object(__type=text, Code=text, Message=text),
    }


def _object(**properties: JsonObject) -> JsonObject:
    return {"type": "object", "properties": properties, "required": [*properties]}
