"""JSON Schemas (2020-12) of requests and responses, from the code's types, the release and the settings."""

from __future__ import annotations

from typing import Any, get_type_hints

from serving.detection import files
from serving.heads import AGE
from serving.input_check import CODES
from serving.prediction import (
    LANDMARKS,
    PARTS,
    PROBABILITIES,
    RELEASE,
    TOO_MANY_FACES,
    AgeEstimate,
    FaceBox,
    InputWarning,
    LabelEstimate,
)
from serving.protocols import INPUT, output_tensors
from serving.release import DETECTOR, Release
from serving.request_parsing import DETECT
from serving.settings import Settings

JsonObject = dict[str, Any]

# Members of a prediction that are there in some cases only.
_OPTIONAL = (PROBABILITIES, RELEASE, "warnings")

_BASE64_IMAGE = {
    "type": "string",
    "format": "byte",
    "contentEncoding": "base64",
    "description": "A JPEG, PNG, WebP or AVIF file in base64, or as a `data:` URI.",
}
_TYPES = {int: "integer", float: "number", str: "string"}


def schemas(release: Release, settings: Settings) -> JsonObject:
    """Return the schemas by name, as `components.schemas` contains them."""
    return {
        "Instances": _instances(settings),
        "Predictions": _per_image(
            "One prediction per image, in the order sent, and the release that made them.", "Prediction", settings
        ),
        "PredictionsOrDetections": {
            "description": "`Detections` if the request, or the deployment's default, asks to find faces. Otherwise "
            "`Predictions`.",
            "anyOf": [ref("Predictions"), ref("Detections")],
        },
        "Detections": _per_image(
            "The faces of each image, in the order sent, and the release that made the predictions.",
            "Detection",
            settings,
        ),
        "Prediction": _prediction(release, settings),
        "PredictionWarning": _of(
            InputWarning,
            "The image is probably not one aligned, cropped face. Ignore the prediction.",
            code=_enum(CODES),
        ),
        "PredictionError": _object("The problem of one image, in place of its prediction.", error=ref("Problem")),
        "Model": _object(
            "The release that makes the predictions.",
            name={"const": release.name},
            version={"const": release.version},
            sha256={"const": release.sha256, "description": "The model file's digest."},
        ),
        "Health": _object("", status={"const": "ok"}, model=ref("Model")),
        "Manifest": _manifest(release),
        "Problem": _problem(),
        **_detection(release, settings),
        **_protocols(settings),
    }


def interval_coverage(release: Release) -> float:
    """Return the share of people whose age is in the predicted interval, as the manifest states it."""
    return float(release.manifest["calibration"][AGE]["coverage"])


def ref(name: str, kind: str = "schemas") -> JsonObject:
    """Return a reference to a component."""
    return {"$ref": f"#/components/{kind}/{name}"}


def _object(description: str, optional: tuple[str, ...] = (), /, **properties: JsonObject) -> JsonObject:
    return {
        "type": "object",
        **({"description": description} if description else {}),
        "properties": properties,
        "required": [name for name in properties if name not in optional],
        "additionalProperties": False,
    }


def _per_image(description: str, result: str, settings: Settings) -> JsonObject:
    items = {"anyOf": [ref(result), ref("PredictionError")]}
    results = {"type": "array", "minItems": 1, "maxItems": settings.max_images, "items": items}
    return _object(description, predictions=results, model=ref("Model"))


def _detection(release: Release, settings: Settings) -> JsonObject:
    share = {"type": "number", "description": "A share of the upright image's width or height."}
    point = {"type": "array", "minItems": 2, "maxItems": 2, "items": share, "description": "x and y."}
    pixels = {"type": "integer", "minimum": 1, "description": "Pixels of the upright image."}
    prediction = _prediction(release, settings)
    face = _object(
        "One face, and the prediction for it. A box or a landmark may lie outside the image.",
        _OPTIONAL,
        box=_object("", **dict.fromkeys(FaceBox._fields, share)),
        landmarks=_object("Right and left are those of the person.", **dict.fromkeys(LANDMARKS, point)),
        score={"type": "number", "minimum": 0, "maximum": 1, "description": "How sure the detector is."},
        **prediction["properties"],
    )
    return {
        "Detection": _object(
            "The faces of one image, largest first. An image without a face has an empty list.",
            ("warnings",),
            width=pixels,
            height=pixels,
            faces={"type": "array", "maxItems": settings.max_faces, "items": face},
            warnings={"type": "array", "minItems": 1, "items": ref("DetectionWarning")},
        ),
        "DetectionWarning": _of(InputWarning, "Something about the whole image.", code=_enum((TOO_MANY_FACES,))),
    }


def _instances(settings: Settings) -> JsonObject:
    instance = {"type": "object", "properties": {"b64": _BASE64_IMAGE}, "required": ["b64"]}
    return {
        "type": "object",
        "description": "The JSON body of TensorFlow Serving and Vertex AI.",
        "properties": {
            "instances": {"type": "array", "minItems": 1, "maxItems": settings.max_images, "items": instance},
            "parameters": {
                "type": ["object", "null"],
                "properties": {
                    name: {"type": "boolean", "description": "The query parameter's value, unless that is there."}
                    for name in (DETECT, PROBABILITIES)
                },
            },
        },
        "required": ["instances"],
    }


def _prediction(release: Release, settings: Settings) -> JsonObject:
    # The end of the last year, rounded like the interval's ends.
    oldest = round(release.manifest["heads"][AGE]["classes"] - 0.5)
    share = f"{interval_coverage(release):.0%}"
    described = {
        "years": "The estimate.",
        "low": f"Lower end of the interval that contains {share} of people's ages.",
        "high": "Upper end of that interval.",
    }
    years = {name: {"minimum": 0, "maximum": oldest, "description": described[name]} for name in AgeEstimate._fields}
    heads = {
        AGE: _of(AgeEstimate, f"Age in whole years, with its {share} interval.", **years),
        **{head: _label(labels) for head, labels in release.labels.items()},
    }
    return _object(
        "The prediction for one face: an estimate of the label that annotators would choose.",
        _OPTIONAL,
        **{head: heads[head] for head in settings.heads},
        **{PROBABILITIES: _probabilities(release, settings)},
        **{RELEASE: {"const": release.version, "description": "The release that the probabilities are of."}},
        warnings={"type": "array", "minItems": 1, "items": ref("PredictionWarning")},
    )


def _probabilities(release: Release, settings: Settings) -> JsonObject:
    parts = {"type": "integer", "minimum": 0, "description": f"Parts in {PARTS}; for the age first a year."}
    years = "The first year with a share, then the share of that year and of each year after it."
    numbers = {
        AGE: {"type": "array", "minItems": 2, "items": parts, "description": years},
        **{
            head: {"type": "array", "minItems": len(labels), "maxItems": len(labels), "items": parts}
            for head, labels in release.labels.items()
        },
    }
    described = f"Only if the request asks for `{PROBABILITIES}`: what the estimates were chosen from."
    return _object(described, **{head: numbers[head] for head in settings.heads})


def _label(labels: tuple[str, ...]) -> JsonObject:
    probability = {"minimum": 0, "maximum": 1, "description": "Calibrated probability of this label."}
    return _of(LabelEstimate, "The most likely label.", label=_enum(labels), probability=probability)


def _of(shape: type, description: str, /, **details: JsonObject) -> JsonObject:
    """Return the schema of a NamedTuple as JSON: the types of its fields, and further keywords by field."""
    types = get_type_hints(shape)
    return _object(
        description, **{name: {"type": _TYPES[kind], **details.get(name, {})} for name, kind in types.items()}
    )


def _enum(values: tuple[str, ...]) -> JsonObject:
    return {"enum": list(values)}


def _manifest(release: Release) -> JsonObject:
    share = {"const": interval_coverage(release), "description": "Share of people whose age is from `low` to `high`."}
    age = {"type": "object", "properties": {"coverage": share}, "required": ["coverage"]}
    calibration = {"type": "object", "properties": {AGE: age}, "required": [AGE]}
    return {
        "type": "object",
        "description": "The release's manifest. `calibration.age.coverage` is the share of people whose age is in the "
        f"interval from `low` to `high`: {interval_coverage(release):.0%}.",
        "properties": {"calibration": calibration, DETECTOR: _detector()},
        "required": ["calibration", DETECTOR],
    }


def _detector() -> JsonObject:
    digests = {name: {"const": digest} for name, digest in files.section()["files"].items()}
    return _object(
        "The detector of this function.",
        files=_object("SHA-256 of each file, by name.", **digests),
    )


def _problem() -> JsonObject:
    return _object(
        "RFC 9457 problem details.",
        ("errors", "error", "request_id"),
        type={"const": "about:blank"},
        title={"type": "string", "description": "The status in words."},
        status={"type": "integer", "minimum": 400, "maximum": 599},
        detail={"type": "string", "description": "What was found, and what is allowed or how to fix it."},
        errors={
            "type": "array",
            "items": ref("Problem"),
            "description": "The problem of each image, if all of several images failed.",
        },
        error={"type": "string", "description": "`detail` again, for clients of KServe and of DeepFace."},
        request_id={"type": "string", "description": "The request's id in the log."},
    )


def _infer(settings: Settings) -> JsonObject:
    tensors = output_tensors(settings.heads)
    shape = {"type": "array", "items": {"type": "integer"}}
    data = {"type": "array", "minItems": 1, "maxItems": settings.max_images, "items": _BASE64_IMAGE}
    tensor = {
        "type": "object",
        "properties": {
            "name": {"const": INPUT},
            "datatype": {"const": "BYTES"},
            "data": data,
        },
        "required": ["name", "datatype", "data"],
    }
    named = {"type": "object", "properties": {"name": {"enum": [*tensors]}}, "required": ["name"]}
    text = {"type": "string"}
    return {
        "InferRequest": {
            "type": "object",
            "description": "A BYTES tensor of images. Each element of `data` is an image, whatever `shape` says.",
            "properties": {
                "id": text | {"description": "Copied to the response."},
                "inputs": {"type": "array", "minItems": 1, "maxItems": 1, "items": tensor},
                "outputs": {"type": "array", "items": named, "description": "Requested outputs. Default: all."},
            },
            "required": ["inputs"],
        },
        "InferResponse": _object(
            "One tensor per output, with one element per image.",
            ("id",),
            model_name=text,
            model_version=text,
            id=text,
            outputs={"type": "array", "items": ref("OutputTensor")},
        ),
        "OutputTensor": _object(
            "`age`, `age_low` and `age_high` are in years. `warnings` lists warning codes, separated by commas.",
            name={"enum": [*tensors]},
            datatype={"enum": sorted({each.datatype for each in tensors.values()})},
            shape=shape,
            data={"type": "array", "items": {"anyOf": [{"type": "number"}, {"type": "string"}]}},
        ),
    }


def _protocols(settings: Settings) -> JsonObject:
    text, tensors = {"type": "string"}, {"type": "array", "items": ref("Tensor")}
    texts = {"type": "array", "items": text}
    status = _object("", error_code={"const": "OK"}, error_message=text)
    version = _object("", version=text, state={"const": "AVAILABLE"}, status=status)
    return {
        **_infer(settings),
        "ServerMetadata": _object("", name=text, version=text, extensions=texts),
        "Live": _object("", live={"const": True}),
        "Ready": _object("", ready={"const": True}),
        "ModelMetadata": _object("", name=text, versions=texts, platform=text, inputs=tensors, outputs=tensors),
        "Tensor": _object(
            "A tensor of `infer`. -1 stands for any number of images.",
            name=text,
            datatype={"enum": ["BYTES", "FP32", "INT32"]},
            shape={"type": "array", "items": {"type": "integer"}},
        ),
        "ModelReady": _object("", name=text, ready={"const": True}),
        "ModelStatus": _object("", model_version_status={"type": "array", "items": version}),
    }
