"""The OpenAPI 3.1 description of this deployment: paths, limits, heads and release."""

from __future__ import annotations

import base64
import io
import json
from http import HTTPStatus

from PIL import Image

from serving import access, connections, gunicorn_settings, middleware, problems, protocols, request_parsing
from serving.heads import AGE
from serving.openapi import demographics
from serving.openapi.schemas import JsonObject, interval_coverage, ref, schemas
from serving.prediction import LANDMARKS, PROBABILITIES, FaceBox
from serving.release import Release
from serving.request_parsing import DETECT
from serving.routes import Operation, Routes
from serving.settings import Settings

OPENAPI = "3.1.0"


def _text(settings: Settings, release: Release) -> str:
    return f"""\
Estimates age and gender of faces. `/detect` finds the faces of whole images. `/predict` takes \
{"whole images, too," if settings.detect else "images of one aligned, cropped face each,"} unless a request says
otherwise. `/v2` always takes images of one aligned, cropped face each. The function neither stores nor logs images.

{_choice(settings)}

An age has an interval: {interval_coverage(release):.0%} of people are from `low` to `high` years old, \
as calibrated on validation images.

Every response has the header `{access.REQUEST_ID}`. The function keeps the request's own id if it consists of 1 to 64
letters, digits, dots, underscores and hyphens. Errors are RFC 9457 problem details (`{problems.MEDIA_TYPE}`), including
404 for any other path, 405 with `Allow` for any other method, and 500 for a failure of the function. Every path with
`GET` has `HEAD`, and every path has `OPTIONS`.

Some requests never reach a path. The server refuses them with problem details and closes the connection:

- 400 for a request that is not HTTP/1.0 or 1.1, has contradictory or repeated lengths, hosts or content types, or has
  a `Transfer-Encoding` other than `chunked`
- 414 for a first line of more than {gunicorn_settings.MAX_REQUEST_LINE} bytes
- 408 for a head that does not arrive within the time limit
- 417 for an `Expect` other than `100-continue`
- 431 for more than {gunicorn_settings.MAX_HEADERS} header fields, a field of more than \
{gunicorn_settings.MAX_HEADER_BYTES} bytes, or {connections.MAX_HEAD_BYTES // 2**10} KiB in all"""


def _choice(settings: Settings) -> str:
    return (
        f"Where a path offers it, the query parameter `{DETECT}` says whether to find the faces of whole images. A "
        "JSON body may say it in `parameters`, and the query parameter precedes. This deployment's default is "
        f"`{json.dumps(settings.detect)}`. The response is `Detections` if faces were to be found, otherwise "
        "`Predictions`."
    )


def document(settings: Settings, release: Release, routes: Routes) -> JsonObject:
    """Return the whole description."""
    tags = dict.fromkeys(operation.tag for operations in routes.values() for operation in operations.values())
    described = {
        "openapi": OPENAPI,
        "info": {
            "title": "Age and gender of faces",
            "version": release.version,
            "description": _text(settings, release),
        },
        "servers": [{"url": "/"}],
        "tags": [{"name": tag} for tag in tags],
        "paths": {path: _path(path, operations, settings, release) for path, operations in routes.items()},
        "components": {
            "schemas": schemas(release, settings),
            "headers": _headers(),
            "responses": _responses(settings),
            **({"securitySchemes": _SCHEMES} if settings.api_key else {}),
        },
    }
    demographics.add(described, settings, release)
    if settings.deepface or settings.rekognition:
        from serving.openapi import dropins

        dropins.add(described, settings, release, example_image(settings))
    return described


_SCHEMES = {
    "key": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
    "bearer": {"type": "http", "scheme": "bearer"},
}


def _path(path: str, operations: dict[str, Operation], settings: Settings, release: Release) -> JsonObject:
    described = {
        method.lower(): _operation(path, method, operation, settings, release)
        for method, operation in operations.items()
    }
    if "GET" in operations:
        described["head"] = {**described["get"], "operationId": f"HEAD {path}", "responses": _head(operations["GET"])}
        if operations["GET"].keyed and settings.api_key:
            described["head"]["responses"]["401"] = {"description": "As for GET", "headers": _every()}
    allow = {"Allow": ref("Allow", "headers")}
    described["options"] = {
        "operationId": f"OPTIONS {path}",
        "tags": [next(iter(operations.values())).tag],
        "summary": "The methods of this path",
        "responses": {"204": {"description": "`Allow` lists the methods", "headers": _every() | allow}},
    }
    return described


def _head(operation: Operation) -> JsonObject:
    responses: JsonObject = {"200": {"description": "As for GET, without a body", "headers": _every(operation.static)}}
    return responses | ({"304": ref("NotModified", "responses")} if operation.static else {})


def _operation(path: str, method: str, operation: Operation, settings: Settings, release: Release) -> JsonObject:
    guarded = operation.keyed and bool(settings.api_key)
    refused = (*operation.problems, *((HTTPStatus.UNAUTHORIZED,) if guarded else ()))
    responses: JsonObject = {"200": _ok(operation, settings, release)}
    responses |= {str(int(status)): ref(_component(status), "responses") for status in sorted(refused)}
    if operation.static:
        responses["304"] = ref("NotModified", "responses")
    return {
        "operationId": f"{method} {path}",
        "tags": [operation.tag],
        "summary": operation.summary,
        **({"security": [{name: []} for name in _SCHEMES]} if guarded else {}),
        **({"parameters": found} if (found := _parameters(operation, settings)) else {}),
        **({"requestBody": _BODIES[operation.body](settings)} if operation.body else {}),
        "responses": responses,
    }


def _parameters(operation: Operation, settings: Settings) -> list[JsonObject]:
    return [
        *([_detect_parameter(settings)] if operation.choosable else []),
        *([_PROBABILITIES_PARAMETER] if operation.body == "images" else []),
    ]


_PROBABILITIES_PARAMETER: JsonObject = {
    "name": PROBABILITIES,
    "in": "query",
    "description": "Whether each prediction also has what its estimates were chosen from. `age-gender summarize` needs "
    "that. It precedes `parameters` of a JSON body. Default: `false`.",
    "schema": {"type": "boolean", "default": False},
}


def _detect_parameter(settings: Settings) -> JsonObject:
    return {
        "name": DETECT,
        "in": "query",
        "description": "Whether to find the faces of whole images first. It precedes `parameters` of a JSON body. "
        f"Default: `{json.dumps(settings.detect)}`.",
        "schema": {"type": "boolean", "default": settings.detect},
    }


def _ok(operation: Operation, settings: Settings, release: Release) -> JsonObject:
    if operation.schema:
        schema = ref(operation.schema)
    else:
        schema = {"type": "object" if operation.media == "application/json" else "string"}
    content: JsonObject = {"schema": schema}
    if operation.body == "images":
        detected = settings.detect or not operation.choosable
        content["example"] = (_detection_example if detected else _prediction_example)(settings, release)
    return {"description": "OK", "headers": _every(operation.static), "content": {operation.media: content}}


def _images(settings: Settings) -> JsonObject:
    binary = {"type": "string", "format": "binary"}
    files = {"type": "array", "items": binary, "minItems": 1, "maxItems": settings.max_images}
    form = {"type": "object", "properties": {"image": files}, "required": ["image"]}
    example = {"instances": [{"b64": base64.b64encode(example_image(settings)).decode()}]}
    description = (
        f"{_limits(settings)} The function detects the format from the image's bytes, also if `Content-Type` is "
        "missing or `application/x-www-form-urlencoded`. It does not accept `Content-Encoding`. Example: "
        "`curl --data-binary @face.jpg …/predict`."
    )
    return {
        "required": True,
        "description": description,
        "content": {
            **{media: {"schema": binary} for media in request_parsing.IMAGE_TYPES},
            request_parsing.BINARY_TYPE: {"schema": binary},
            request_parsing.FORM_TYPE: {"schema": form},
            request_parsing.JSON_TYPE: {"schema": ref("Instances"), "example": example},
        },
    }


def _tensors(settings: Settings) -> JsonObject:
    image = base64.b64encode(example_image(settings)).decode()
    tensor = {"name": protocols.INPUT, "datatype": "BYTES", "shape": [1], "data": [image]}
    return {
        "required": True,
        "description": f"{_limits(settings)} Clients may also send the images as binary data, with the header "
        f"`{protocols.HEADER_LENGTH}`. The response is JSON. If one image fails, the request fails.",
        "content": {request_parsing.JSON_TYPE: {"schema": ref("InferRequest"), "example": {"inputs": [tensor]}}},
    }


_BODIES = {"images": _images, "tensors": _tensors}


def _limits(settings: Settings) -> str:
    return (
        f"At most {settings.max_images} images in a body of at most {_size(settings.max_request_bytes)}. An image has "
        f"at most {settings.max_pixels / 1e6:g} megapixels, a shorter side of at least {settings.min_image_side} "
        f"pixels, and a longer side of at most {settings.max_aspect_ratio} times the shorter."
    )


def _size(count: int) -> str:
    """Return a number of bytes in MiB, as far as it is a round one."""
    return f"{count / 2**20:g} MiB" if count % 2**18 == 0 else f"{count} bytes"


def example_image(settings: Settings) -> bytes:
    """Return a small PNG within the limits. It shows no face, so its prediction has warnings."""
    side = max(settings.min_image_side, 32)
    out = io.BytesIO()
    Image.radial_gradient("L").resize((side, side)).save(out, "PNG", optimize=True)
    return out.getvalue()


def _prediction_example(settings: Settings, release: Release) -> JsonObject:
    return {"predictions": [_estimates(settings, release)], "model": release.identity()}


def _detection_example(settings: Settings, release: Release) -> JsonObject:
    points = dict(zip(LANDMARKS, _EXAMPLE_LANDMARKS, strict=True))
    face = {"box": _EXAMPLE_BOX._asdict(), "landmarks": points, "score": 0.9312, **_estimates(settings, release)}
    detection = {"width": 4000, "height": 3000, "faces": [face]}
    return {"predictions": [detection], "model": release.identity()}


_EXAMPLE_BOX = FaceBox(0.4058, 0.2111, 0.153, 0.204)
_EXAMPLE_LANDMARKS = [[0.45, 0.28], [0.515, 0.279], [0.482, 0.33], [0.482, 0.372], [0.42, 0.292], [0.549, 0.291]]


def _estimates(settings: Settings, release: Release) -> JsonObject:
    heads: JsonObject = {
        AGE: {"years": 26, "low": 21, "high": 28},
        **{head: {"label": names[len(names) // 2], "probability": 0.988} for head, names in release.labels.items()},
    }
    return {head: heads[head] for head in settings.heads}


def _headers() -> JsonObject:
    fixed: dict[str, tuple[str, JsonObject]] = {
        name: ("The same in every response", {"const": value}) for name, value in middleware.HEADERS.items()
    }
    own: dict[str, tuple[str, JsonObject]] = {
        access.REQUEST_ID: ("The request's id in the log", {"pattern": f"^{middleware.REQUEST_ID_FORM}$"}),
        "Cache-Control": ("Whether a client may cache the response", {"enum": ["no-store", "no-cache"]}),
        "ETag": ("The version of the content", {}),
        "Allow": ("The methods of this path", {}),
        "WWW-Authenticate": ("How to send the API key", {}),
        "Retry-After": ("Seconds to wait before the next attempt", {"type": "integer"}),
    }
    return {
        name: {"description": description, "required": True, "schema": {"type": "string", **schema}}
        for name, (description, schema) in {**fixed, **own}.items()
    }


def _every(static: bool = False) -> JsonObject:
    names = (*middleware.HEADERS, access.REQUEST_ID, "Cache-Control", *(("ETag",) if static else ()))
    return {name: ref(name, "headers") for name in names}


_REFUSALS = {
    HTTPStatus.BAD_REQUEST: "The body is malformed or incomplete, or contains no image",
    HTTPStatus.UNAUTHORIZED: "The API key is missing or wrong",
    HTTPStatus.CONFLICT: "The answers are of another release",
    HTTPStatus.NOT_IMPLEMENTED: "The release has no statistics to correct counts with",
    HTTPStatus.REQUEST_TIMEOUT: "The body did not arrive within the time limit",
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: "Too many bytes, pixels or images",
    HTTPStatus.UNSUPPORTED_MEDIA_TYPE: "The function does not support the content type, the content encoding or the "
    "image format",
    HTTPStatus.UNPROCESSABLE_ENTITY: "The image is damaged, too small or too elongated. If all of several images "
    "failed, `errors` lists the problem of each",
    HTTPStatus.SERVICE_UNAVAILABLE: "The server is busy: the request reached its time limit, or too many "
    "large requests arrive",
}


def _responses(settings: Settings) -> JsonObject:
    responses: JsonObject = {
        "NotModified": {"description": "The browser's cached copy is current", "headers": _every(static=True)},
    }
    for status, description in _REFUSALS.items():
        if status == HTTPStatus.UNAUTHORIZED and not settings.api_key:
            continue
        headers = _every()
        if status == HTTPStatus.UNAUTHORIZED:
            headers["WWW-Authenticate"] = ref("WWW-Authenticate", "headers")
        if status == HTTPStatus.SERVICE_UNAVAILABLE:
            headers["Retry-After"] = ref("Retry-After", "headers")
        content = {problems.MEDIA_TYPE: {"schema": ref("Problem")}}
        responses[_component(status)] = {"description": description, "headers": headers, "content": content}
    return responses


def _component(status: HTTPStatus) -> str:
    return status.phrase.title().replace(" ", "")
