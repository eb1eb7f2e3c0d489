"""The OpenAPI 3.1 description of this copy of the function: its paths, limits, heads and release."""

from __future__ import annotations

import base64
import io
from http import HTTPStatus

from PIL import Image

from serving import access, gunicorn_settings, middleware, problems, request_parsing
from serving.heads import AGE
from serving.openapi.routes import Operation, operations
from serving.openapi.schemas import JsonObject, ref, schemas
from serving.release import Release
from serving.settings import Settings

OPENAPI = "3.1.0"

_TEXT = f"""\
Each image is taken for one aligned, cropped face; faces are not looked for. Nothing of it is stored or logged.

Every answer carries `{access.REQUEST_ID}`: the one that was sent, if it is made of 1 to 64 letters, digits, dots,
underscores and hyphens, or a new one. Whatever cannot be answered is an RFC 9457 problem (`{problems.MEDIA_TYPE}`): 404
at any other path, 405 with `Allow` for any other method, 500 when the function itself fails. `HEAD` works wherever
`GET` does, and `OPTIONS` everywhere.

Before a request gets that far, the server refuses with a problem and closes the connection: 400 for what is not
HTTP/1.0 or 1.1, has contradictory or repeated lengths, hosts or content types; 414 for a first line above
{gunicorn_settings.MAX_REQUEST_LINE} bytes; 417 for an `Expect` other than `100-continue`; 431 for more than
{gunicorn_settings.MAX_HEADERS} header fields or one above {gunicorn_settings.MAX_HEADER_BYTES} bytes; 501 for a
`Transfer-Encoding` other than `chunked`."""


def document(settings: Settings, release: Release) -> JsonObject:
    """The whole description."""
    table = operations(settings, release)
    return {
        "openapi": OPENAPI,
        "info": {"title": "Age and gender of faces", "version": release.version, "description": _TEXT},
        "servers": [{"url": "/"}],
        "tags": [{"name": tag} for tag in dict.fromkeys(each.tag for path in table.values() for each in path.values())],
        "paths": {path: _path(path, methods, settings, release) for path, methods in table.items()},
        "components": {
            "schemas": schemas(release, settings),
            "headers": _headers(),
            "responses": _responses(settings),
            **({"securitySchemes": _SCHEMES} if settings.api_key else {}),
        },
    }


_SCHEMES = {
    "key": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
    "bearer": {"type": "http", "scheme": "bearer"},
}


def _path(path: str, methods: dict[str, Operation], settings: Settings, release: Release) -> JsonObject:
    described = {method.lower(): _operation(path, method, each, settings, release) for method, each in methods.items()}
    if "GET" in methods:
        described["head"] = {**described["get"], "operationId": f"HEAD {path}", "responses": _head(methods["GET"])}
        if methods["GET"].keyed and settings.api_key:
            described["head"]["responses"]["401"] = {"description": "As for GET", "headers": _every()}
    allow = {"Allow": ref("Allow", "headers")}
    described["options"] = {
        "operationId": f"OPTIONS {path}",
        "tags": [next(iter(methods.values())).tag],
        "summary": "The methods of this path",
        "responses": {"204": {"description": "They are in `Allow`", "headers": _every() | allow}},
    }
    return described


def _head(operation: Operation) -> JsonObject:
    responses: JsonObject = {"200": {"description": "As for GET, without a body", "headers": _every(operation.kept)}}
    return responses | ({"304": ref("NotModified", "responses")} if operation.kept else {})


def _operation(path: str, method: str, operation: Operation, settings: Settings, release: Release) -> JsonObject:
    guarded = operation.keyed and bool(settings.api_key)
    refused = (*operation.problems, *((HTTPStatus.UNAUTHORIZED,) if guarded else ()))
    responses: JsonObject = {str(int(status)): ref(_component(status), "responses") for status in sorted(refused)}
    if operation.schema is not None:
        content: JsonObject = {"schema": operation.schema}
        if operation.takes_images:
            content["example"] = _prediction_example(settings, release)
        found = {"description": "Found", "headers": _every(operation.kept), "content": {operation.media: content}}
        responses = {"200": found, **responses}
    if operation.kept:
        responses["304"] = ref("NotModified", "responses")
    return {
        "operationId": f"{method} {path}",
        "tags": [operation.tag],
        "summary": operation.summary,
        **({"security": [{name: []} for name in _SCHEMES]} if guarded else {}),
        **({"requestBody": _images(settings)} if operation.takes_images else {}),
        "responses": responses,
    }


def _images(settings: Settings) -> JsonObject:
    binary = {"type": "string", "format": "binary"}
    files = {"type": "array", "items": binary, "minItems": 1, "maxItems": settings.max_images}
    form = {"type": "object", "properties": {"image": files}, "required": ["image"]}
    example = {"instances": [{"b64": base64.b64encode(example_image(settings)).decode()}]}
    limits = (
        f"At most {settings.max_images} images in at most {settings.max_request_bytes} bytes; each of at most "
        f"{settings.max_pixels} pixels, no side below {settings.min_image_side} pixels or above "
        f"{settings.max_aspect_ratio} times the other. What an image is, is told by its content. `Content-Encoding` is "
        "not understood. For example `curl -H 'Content-Type: image/jpeg' --data-binary @face.jpg …/predict`."
    )
    return {
        "required": True,
        "description": limits,
        "content": {
            **{media: {"schema": binary} for media in request_parsing.IMAGE_TYPES},
            request_parsing.FORM_TYPE: {"schema": form},
            request_parsing.JSON_TYPE: {"schema": ref("Instances"), "example": example},
        },
    }


def example_image(settings: Settings) -> bytes:
    """A small PNG within the limits; no face, and so answered with warnings."""
    side = max(settings.min_image_side, 32)
    out = io.BytesIO()
    Image.radial_gradient("L").resize((side, side)).save(out, "PNG", optimize=True)
    return out.getvalue()


def _prediction_example(settings: Settings, release: Release) -> JsonObject:
    heads: JsonObject = {
        AGE: {"years": 26, "low": 21, "high": 28},
        **{head: {"label": names[len(names) // 2], "probability": 0.988} for head, names in release.labels.items()},
    }
    return {"predictions": [{head: heads[head] for head in settings.heads}], "model": release.identity()}


def _headers() -> JsonObject:
    fixed: dict[str, tuple[str, JsonObject]] = {
        name: ("The same on every answer", {"const": value}) for name, value in middleware.HEADERS.items()
    }
    own: dict[str, tuple[str, JsonObject]] = {
        access.REQUEST_ID: ("Names the request in the function's log", {"pattern": f"^{middleware.REQUEST_ID_FORM}$"}),
        "Cache-Control": ("Whether an answer may be kept", {"enum": ["no-store", "no-cache"]}),
        "ETag": ("Changes with the content", {}),
        "Allow": ("The methods of this path", {}),
        "WWW-Authenticate": ("How to send the key", {}),
        "Retry-After": ("Seconds after which to try again", {"type": "integer"}),
    }
    return {
        name: {"description": description, "required": True, "schema": {"type": "string", **schema}}
        for name, (description, schema) in {**fixed, **own}.items()
    }


def _every(kept: bool = False) -> JsonObject:
    names = (*middleware.HEADERS, access.REQUEST_ID, "Cache-Control", *(("ETag",) if kept else ()))
    return {name: ref(name, "headers") for name in names}


_REFUSALS = {
    HTTPStatus.BAD_REQUEST: "The body is malformed, broke off, or holds no image",
    HTTPStatus.UNAUTHORIZED: "The API key is missing or wrong",
    HTTPStatus.REQUEST_TIMEOUT: "The body was not whole within the time limit",
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: "Too many bytes, pixels or images",
    HTTPStatus.UNSUPPORTED_MEDIA_TYPE: "The content type or encoding is not taken, or the bytes are no image",
    HTTPStatus.UNPROCESSABLE_ENTITY: "The image is damaged or of measures not allowed, or none of several could be "
    "answered: `errors` then lists each one's problem",
    HTTPStatus.NOT_IMPLEMENTED: "Not there",
    HTTPStatus.SERVICE_UNAVAILABLE: "Others were before it until its time limit",
}


def _responses(settings: Settings) -> JsonObject:
    responses: JsonObject = {
        "NotModified": {"description": "The browser has it already", "headers": _every(kept=True)},
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
