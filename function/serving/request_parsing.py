"""Read the images of an HTTP request."""

from __future__ import annotations

import base64
import binascii
import json
from http import HTTPStatus
from typing import Any

from flask import Request
from werkzeug.exceptions import ClientDisconnected, HTTPException, RequestEntityTooLarge

from serving.gunicorn_settings import MalformedError
from serving.problems import Problem
from serving.settings import Settings
from serving.timeouts import BodyReadTimeout, Deadline

# For messages and the description. The bytes determine an image's format.
IMAGE_TYPES = ("image/jpeg", "image/png", "image/webp", "image/avif")
FORM_TYPE = "multipart/form-data"
JSON_TYPE = "application/json"
MAX_FORM_PARTS = 1000
"""Limit of one form. Each part costs time and memory."""
ACCEPTED_TYPES = (*IMAGE_TYPES, FORM_TYPE, JSON_TYPE)

# Bytes of one read.
_PIECE = 2**18

_BODY_TIMEOUT = BodyReadTimeout()

_EXPECTED_JSON = 'expected {"instances": [{"b64": "<base64 of an image>"}]}'


def images(request: Request, settings: Settings, deadline: Deadline) -> list[bytes]:
    """Return the images of a request in the order sent: at least one, at most `settings.max_images`.

    Raises:
        Problem: 400, 413 or 415 with what was found, or 408 if the body is incomplete at the deadline.
    """
    _refuse_encoded(request)
    # One byte more than allowed: the framework cuts a body of unknown length at the limit without an error.
    request.max_content_length = settings.max_request_bytes + 1
    # The framework's own limit of form fields is lower.
    request.max_form_memory_size = settings.max_request_bytes
    request.max_form_parts = MAX_FORM_PARTS
    try:
        with _BODY_TIMEOUT.reading(request.environ.get("gunicorn.socket"), deadline):
            found = _read(request, settings)
    except RequestEntityTooLarge as error:
        raise _too_large(settings) from error
    except (HTTPException, MalformedError, OSError) as error:
        if not deadline.left():
            raise _too_slow(settings) from error
        raise Problem(HTTPStatus.BAD_REQUEST, "the request's body is incomplete or malformed; send it again") from error
    if not deadline.left():
        # The body is cut, and may still look complete.
        raise _too_slow(settings)
    if not found:
        raise Problem(HTTPStatus.BAD_REQUEST, "the request contains no image; send at least one")
    if len(found) > settings.max_images:
        raise Problem(
            HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
            f"the request contains {len(found)} images; the limit is {settings.max_images}",
        )
    return found


def _refuse_encoded(request: Request) -> None:
    """Refuse compressed bodies.

    Raises:
        Problem: 415 or 501.
    """
    if request.headers.get("Content-Encoding", "identity").strip().lower() != "identity":
        raise Problem(
            HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
            "the body has a Content-Encoding; send it without one, images are compressed already",
            {"Accept-Encoding": "identity"},
        )
    if request.headers.get("Transfer-Encoding", "chunked").strip().lower() != "chunked":
        raise Problem(HTTPStatus.NOT_IMPLEMENTED, "the body has a Transfer-Encoding other than chunked")


def _read(request: Request, settings: Settings) -> list[bytes]:
    if request.mimetype.startswith("image/"):
        return [_body(request, settings)]
    if request.mimetype == FORM_TYPE:
        return [file.read() for _, file in request.files.items(multi=True)]
    if request.mimetype == JSON_TYPE:
        return _instances(_body(request, settings))
    raise Problem(
        HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
        f"Content-Type is {request.mimetype or 'missing'}; send one of {', '.join(ACCEPTED_TYPES)}",
        {"Accept": ", ".join(ACCEPTED_TYPES)},
    )


def _body(request: Request, settings: Settings) -> bytes:
    """Return the whole body. Larger pieces than the framework's take a third of its time for a photograph."""
    stream, length = request.environ["wsgi.input"], request.content_length
    if length is None and not request.environ.get("wsgi.input_terminated"):
        length = 0
    left = settings.max_request_bytes + 1 if length is None else length
    if length is not None and length > settings.max_request_bytes:
        raise _too_large(settings)
    pieces = []
    while left and (piece := stream.read(min(left, _PIECE))):
        pieces.append(piece)
        left -= len(piece)
    data = b"".join(pieces)
    if len(data) > settings.max_request_bytes:
        raise _too_large(settings)
    if length is not None and left:
        raise ClientDisconnected
    return data


def _too_slow(settings: Settings) -> Problem:
    detail = f"the body did not arrive within {settings.request_timeout} seconds; send less, or send it faster"
    return Problem(HTTPStatus.REQUEST_TIMEOUT, detail)


def _too_large(settings: Settings) -> Problem:
    return Problem(
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
        f"the request is too large; the limit is {settings.max_request_bytes} bytes, and {MAX_FORM_PARTS} parts of a "
        "form",
    )


def _instances(data: bytes) -> list[bytes]:
    try:
        body: Any = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise Problem(HTTPStatus.BAD_REQUEST, f"the body is not JSON; {_EXPECTED_JSON}") from error
    instances = body.get("instances") if isinstance(body, dict) else None
    if not isinstance(instances, list):
        raise Problem(HTTPStatus.BAD_REQUEST, f'the body has no list "instances"; {_EXPECTED_JSON}')
    return [_image(instance, number) for number, instance in enumerate(instances)]


def _image(instance: object, number: int) -> bytes:
    text = instance.get("b64") if isinstance(instance, dict) else None
    if not isinstance(text, str):
        raise Problem(HTTPStatus.BAD_REQUEST, f'instance {number} has no string "b64"; {_EXPECTED_JSON}')
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise Problem(HTTPStatus.BAD_REQUEST, f"instance {number} is not base64 (RFC 4648, section 4)") from error
