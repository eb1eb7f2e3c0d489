"""JSON Schemas (2020-12) of what goes in and out, from the code's own types and this copy's settings."""

from __future__ import annotations

from typing import Any

from serving.heads import AGE
from serving.input_check import CODES
from serving.prediction import AgeEstimate, LabelEstimate
from serving.release import Release
from serving.settings import Settings

JsonObject = dict[str, Any]

_YEARS = {
    "years": "the estimate",
    "low": "the stated share of people of such a face is at least this old",
    "high": "and at most this old",
}


def schemas(release: Release, settings: Settings) -> JsonObject:
    """Name -> schema, as `components.schemas` holds them."""
    return {
        "Instances": _instances(settings),
        "Predictions": _object(
            "One answer for each image, in the order sent, and the release that gave them.",
            predictions={
                "type": "array",
                "minItems": 1,
                "maxItems": settings.max_images,
                "items": {"anyOf": [ref("Prediction"), ref("PredictionError")]},
            },
            model=ref("Model"),
        ),
        "Prediction": _prediction(release, settings),
        "PredictionWarning": _object(
            "The image is plainly not one aligned, cropped face; the answer means little.",
            code={"enum": list(CODES)},
            detail={"type": "string"},
        ),
        "PredictionError": _object("An image that could not be answered, in its place.", error=ref("Problem")),
        "Model": _object(
            "The release that is served.",
            name={"const": release.name},
            version={"const": release.version},
            sha256={"const": release.sha256, "description": "of the model file"},
        ),
        "Health": _object("", status={"const": "ok"}, model=ref("Model")),
        "Problem": _problem(),
        **_protocols(),
    }


def ref(name: str, kind: str = "schemas") -> JsonObject:
    """A reference to a component."""
    return {"$ref": f"#/components/{kind}/{name}"}


def _object(description: str, optional: tuple[str, ...] = (), /, **properties: JsonObject) -> JsonObject:
    return {
        "type": "object",
        **({"description": description} if description else {}),
        "properties": properties,
        "required": [name for name in properties if name not in optional],
        "additionalProperties": False,
    }


def _instances(settings: Settings) -> JsonObject:
    image = {
        "type": "string",
        "format": "byte",
        "contentEncoding": "base64",
        "description": "a JPEG, PNG, WebP or AVIF file in base64 (RFC 4648, section 4)",
    }
    instance = {"type": "object", "properties": {"b64": image}, "required": ["b64"]}
    return {
        "type": "object",
        "description": "The form that TensorFlow Serving and Vertex AI use.",
        "properties": {
            "instances": {"type": "array", "minItems": 1, "maxItems": settings.max_images, "items": instance}
        },
        "required": ["instances"],
    }


def _prediction(release: Release, settings: Settings) -> JsonObject:
    # the end of the last year, rounded as the ends of an interval are
    oldest = round(release.manifest["heads"][AGE]["classes"] - 0.5)
    years = {
        each: {"type": "integer", "minimum": 0, "maximum": oldest, "description": _YEARS[each]}
        for each in AgeEstimate._fields
    }
    heads = {
        AGE: _object("Whole years.", **years),
        **{head: _choice(labels) for head, labels in release.labels.items()},
    }
    return _object(
        "What the model says of one face: an estimate of what annotators saw.",
        ("warnings",),
        **{head: heads[head] for head in settings.heads},
        warnings={"type": "array", "minItems": 1, "items": ref("PredictionWarning")},
    )


def _choice(labels: tuple[str, ...]) -> JsonObject:
    values: dict[str, JsonObject] = {
        "label": {"enum": list(labels)},
        "probability": {"type": "number", "minimum": 0, "maximum": 1, "description": "how likely this label is"},
    }
    return _object("The most likely label.", **{each: values[each] for each in LabelEstimate._fields})


def _problem() -> JsonObject:
    return _object(
        "RFC 9457 problem details.",
        ("errors", "request_id"),
        type={"const": "about:blank"},
        title={"type": "string", "description": "the status in words"},
        status={"type": "integer", "minimum": 400, "maximum": 599},
        detail={"type": "string", "description": "what was found, and what is allowed or how to mend it"},
        errors={
            "type": "array",
            "items": ref("Problem"),
            "description": "each image's own problem, when none of several could be answered",
        },
        request_id={"type": "string", "description": "names the request in the function's log"},
    )


def _protocols() -> JsonObject:
    text, tensors = {"type": "string"}, {"type": "array", "items": ref("Tensor")}
    texts = {"type": "array", "items": text}
    status = _object("", error_code={"const": "OK"}, error_message=text)
    version = _object("", version=text, state={"const": "AVAILABLE"}, status=status)
    return {
        "ServerMetadata": _object("", name=text, version=text, extensions=texts),
        "Live": _object("", live={"const": True}),
        "Ready": _object("", ready={"const": True}),
        "ModelMetadata": _object("", name=text, versions=texts, platform=text, inputs=tensors, outputs=tensors),
        "Tensor": _object(
            "A tensor of the network; -1 stands for any number of faces.",
            name=text,
            datatype={"const": "FP32"},
            shape={"type": "array", "items": {"type": "integer"}},
        ),
        "ModelReady": _object("", name=text, ready={"const": True}),
        "ModelStatus": _object("", model_version_status={"type": "array", "items": version}),
    }
