"""Answer clients of DeepFace's REST API: `POST /analyze`.

The protocol is that of deepface/api/src/modules/core/routes.py at commit 4fe4ba28 of github.com/serengil/deepface.
"""

from __future__ import annotations

import re
from http import HTTPStatus
from typing import Any, NamedTuple
from urllib.parse import unquote_plus

from flask import Request, Response, g

from serving import formats, request_parsing
from serving.access import Handler
from serving.heads import AGE, Labels
from serving.inference import InferenceService, PredictionJson
from serving.problems import Problem, json_text
from serving.request_parsing import FORM_TYPE, JSON_TYPE, URLENCODED_TYPE
from serving.request_stats import RequestStats
from serving.routes import Reserve
from serving.settings import Settings

PATH = "/analyze"
TYPES = (JSON_TYPE, FORM_TYPE, URLENCODED_TYPE)
ACTIONS = {"age": AGE, "gender": "gender", "race": "ethnicity"}
"""DeepFace's actions, and the heads that answer them."""
# Our label -> DeepFace's. The others have the same name, except "other", which DeepFace does not have.
_LABELS = {"male": "Man", "female": "Woman"}

_EXPECTED = 'expected {"img": "data:image/jpeg;base64,<base64 of an image>"}'
_NO_PATHS = "paths and URLs are never opened: send a data: URI, or a file in a form"
_MAX_FIELDS = 100
# Escapes that a form has in base64 and in `data:` URIs. Each replacement is one pass, whatever a caller sends.
_ESCAPES = {
    b"%2B": b"+",
    b"%2F": b"/",
    b"%3D": b"=",
    b"%3A": b":",
    b"%3B": b";",
    b"%2C": b",",
    b"%0D": b"",
    b"%0A": b"",
}

Fields = dict[str, Any]
"""Members of a request by name. A file is bytes; a text is a string, or the value that JSON has."""


class AnalyzeRequest(NamedTuple):
    """The content of a request."""

    image: bytes
    """One encoded image."""
    actions: tuple[str, ...]
    """Names in ACTIONS."""
    enforce_detection: bool
    """Whether an image without a face is an error."""
    max_faces: int | None
    """Faces to return, the largest first. None: all."""


def handler(settings: Settings, inference: InferenceService, reserve: Reserve) -> Handler:
    """Return the handler of `POST /analyze`."""

    def analyze(request: Request) -> Response:
        try:
            with reserve(request) as deadline:
                asked = read(request, settings)
                g.stats = RequestStats(1)
                (photo,) = inference.detect([asked.image], deadline, g.stats)
                faces = photo["faces"][: asked.max_faces]
                if not faces:
                    if asked.enforce_detection:
                        raise Problem(
                            HTTPStatus.BAD_REQUEST,
                            "no face was found in the image; send another one, or set enforce_detection to false",
                        )
                    g.stats = RequestStats(1)
                    faces = inference.predict([asked.image], deadline, g.stats)
        except Problem as problem:
            # DeepFace's name of the message.
            problem.members["error"] = problem.detail
            raise
        labels = inference.predictor.release.labels
        results = [result(face, photo["width"], photo["height"], asked.actions, labels) for face in faces]
        return Response(json_text({"results": results}), mimetype=JSON_TYPE)

    return analyze


def read(request: Request, settings: Settings) -> AnalyzeRequest:
    """Return the content of a request as JSON, as a form with a file, or as a form of texts.

    Raises:
        Problem: 400, 413 or 415 with what was found, 408 for a body that did not arrive in time, 503 for full buffers.
    """
    if request.mimetype not in TYPES:
        raise Problem(
            HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
            f"Content-Type is {request.mimetype or 'missing'}; send one of {', '.join(TYPES)}",
            {"Accept": ", ".join(TYPES)},
        )
    data = request_parsing.body(request, settings)
    if request.mimetype == JSON_TYPE:
        fields = request_parsing.parse_json(data, _EXPECTED)
        if not isinstance(fields, dict):
            raise Problem(HTTPStatus.BAD_REQUEST, f"the body is not a JSON object; {_EXPECTED}")
    elif request.mimetype == FORM_TYPE:
        fields = _form(data, request.mimetype_params.get("boundary", ""))
    else:
        fields = _urlencoded(data)
    _refuse(fields)
    return AnalyzeRequest(
        _image(fields.pop("img", None)),
        _actions(fields.get("actions"), settings.heads),
        _flag(fields, "enforce_detection", default=True),
        _count(fields, "max_faces"),
    )


def result(face: PredictionJson, width: int, height: int, actions: tuple[str, ...], labels: Labels) -> dict[str, Any]:
    """Return a face as DeepFace does. A face without a box is the whole image.

    Args:
        face: as `InferenceService.detect` or `predict` returns it.
        width: pixels of the upright image.
        height: pixels of the upright image.
        actions: names in ACTIONS.
        labels: of the release, by head.
    """
    found: dict[str, Any] = {}
    for action in actions:
        prediction = face[ACTIONS[action]]
        if action == AGE:
            found[AGE] = prediction["years"]
        else:
            found[action] = _percent(prediction, labels[ACTIONS[action]])
            found[f"dominant_{action}"] = label(prediction["label"])
    return {
        **found,
        "region": _region(face, width, height),
        "face_confidence": face.get("score", 0.0),
        **({"warnings": face["warnings"]} if "warnings" in face else {}),
    }


def _region(face: PredictionJson, width: int, height: int) -> dict[str, Any]:
    """Return the part of the box inside the image, and the person's left and right eye, in pixels."""
    if "box" not in face:
        return {"x": 0, "y": 0, "w": width, "h": height, "left_eye": None, "right_eye": None}
    box = face["box"]
    left, top = max(round(box["left"] * width), 0), max(round(box["top"] * height), 0)
    right = min(round((box["left"] + box["width"]) * width), width)
    bottom = min(round((box["top"] + box["height"]) * height), height)
    eyes = {
        name: [round(face["landmarks"][name][0] * width), round(face["landmarks"][name][1] * height)]
        for name in ("left_eye", "right_eye")
    }
    return {"x": left, "y": top, "w": right - left, "h": bottom - top, **eyes}


def _percent(prediction: PredictionJson, labels: tuple[str, ...]) -> dict[str, float]:
    """Return the known shares of labels in percent. Among more than two, only that of the most likely is known."""
    percent = 100 * prediction["probability"]
    shares = {label(prediction["label"]): round(percent, 2)}
    if len(labels) == 2:
        (other,) = (ours for ours in labels if ours != prediction["label"])
        shares[label(other)] = round(100 - percent, 2)
    return shares


def label(ours: str) -> str:
    """Return DeepFace's name of a label."""
    return _LABELS.get(ours, ours)


def _refuse(fields: Fields) -> None:
    """Raise a Problem for a member that asks for something the function does not do, or that has another type."""
    # Faces are always aligned.
    _flag(fields, "align", default=True)
    if _flag(fields, "anti_spoofing", default=False):
        raise Problem(HTTPStatus.BAD_REQUEST, "anti_spoofing is not offered; leave it out, or set it to false")
    if fields.get("detector_backend") == "skip":
        raise Problem(
            HTTPStatus.BAD_REQUEST,
            "detector_backend 'skip' is not offered; set enforce_detection to false, or send aligned faces to /predict",
        )


def _image(value: object) -> bytes:
    if isinstance(value, bytes):
        return value
    if not isinstance(value, str) or not value:
        raise Problem(HTTPStatus.BAD_REQUEST, f"the request has no img; {_EXPECTED}, or a file img in a form")
    try:
        encoded = request_parsing.decode_base64(value)
    except ValueError as error:
        raise Problem(HTTPStatus.BAD_REQUEST, f"img is not base64: {error}; {_NO_PATHS}") from error
    # Most paths are base64, too.
    if value[:5].lower() != "data:" and not formats.name(encoded):
        raise Problem(HTTPStatus.BAD_REQUEST, f"img is not an image in base64; {_NO_PATHS}")
    return encoded


def _actions(value: object, heads: tuple[str, ...]) -> tuple[str, ...]:
    offered = tuple(action for action, head in ACTIONS.items() if head in heads)
    if value is None:
        return offered
    # A form has the list as a text: [age, gender] or ["age", "gender"] or age,gender.
    names = re.sub(r"[\[\]()\"' ]", "", value).split(",") if isinstance(value, str) else value
    if not isinstance(names, list) or not names:
        raise Problem(HTTPStatus.BAD_REQUEST, f"actions is not a list of names; use {', '.join(offered)}")
    for name in names:
        if name not in offered:
            hint = "; race needs ethnicity in the setting HEADS" if name == "race" else ""
            detail = f"the action {name!r:.40} is not offered; use {', '.join(offered)}{hint}"
            raise Problem(HTTPStatus.BAD_REQUEST, detail)
    return tuple(dict.fromkeys(names))


def _flag(fields: Fields, name: str, *, default: bool) -> bool:
    value = fields.get(name)
    if value is None or isinstance(value, bool):
        return default if value is None else value
    if isinstance(value, str) and value.lower() in ("true", "false"):
        return value.lower() == "true"
    raise Problem(HTTPStatus.BAD_REQUEST, f"{name} is {value!r:.40}; use true or false")


def _count(fields: Fields, name: str) -> int | None:
    value = fields.get(name)
    if value is None:
        return None
    text = str(value)
    if isinstance(value, int | str) and text.isascii() and text.isdecimal() and len(text) < 10 and int(text):
        return int(text)
    raise Problem(HTTPStatus.BAD_REQUEST, f"{name} is {value!r:.40}; use a whole number above 0")


def _form(data: bytes, boundary: str) -> Fields:
    """Return the parts of a form: files as bytes, others as text.

    Raises:
        Problem: 400 for a malformed form, for a name that is there twice, or a text that is not UTF-8.
    """
    fields: Fields = {}
    for part in request_parsing.form_parts(data, boundary):
        if part.name in fields:
            raise _twice(part.name)
        fields[part.name] = part.data if part.is_file else _text(part.data, part.name)
    return fields


def _urlencoded(data: bytes) -> Fields:
    """Return the fields of a form of texts. `img` may be as large as the body, so it is decoded in a bounded way.

    Raises:
        Problem: 400 for too many fields, or a name that is there twice.
    """
    if data.count(b"&") >= _MAX_FIELDS:
        raise Problem(HTTPStatus.BAD_REQUEST, f"the form has more than {_MAX_FIELDS} fields; {_EXPECTED}")
    fields: Fields = {}
    for field in data.split(b"&"):
        key, _, value = field.partition(b"=")
        name = _text(key[:_MAX_FIELDS], "name")
        if name in fields:
            raise _twice(name)
        fields[name] = _unescaped(value) if name == "img" else unquote_plus(_text(value[:1000], name))
    return fields


def _unescaped(value: bytes) -> str:
    # A form's + is a space: `decode_base64` then says that a + was not escaped.
    value = value.replace(b"+", b" ")
    for escape, character in _ESCAPES.items():
        value = value.replace(escape, character).replace(escape.lower(), character)
    return _text(value, "img")


def _text(data: bytes, name: str) -> str:
    try:
        return data.decode()
    except ValueError as error:
        raise Problem(
            HTTPStatus.BAD_REQUEST, f"the form's field {name[:40]!r} is not a UTF-8 text; send an image as a file"
        ) from error


def _twice(name: str) -> Problem:
    return Problem(HTTPStatus.BAD_REQUEST, f"the form has {name[:40]!r} twice; send it once, a list as [a, b]")
