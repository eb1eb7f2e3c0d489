"""Read the images of an HTTP request."""

from __future__ import annotations

import binascii
import codecs
import json
import re
from collections.abc import Iterator, Sequence
from http import HTTPStatus
from typing import Any, NamedTuple

from flask import Request
from werkzeug.exceptions import ClientDisconnected, HTTPException, RequestEntityTooLarge
from werkzeug.sansio.multipart import Data, Epilogue, Field, File, MultipartDecoder, NeedData

from serving import formats
from serving.connections import UnreadBodyError
from serving.gunicorn_settings import MalformedError
from serving.prediction import PROBABILITIES
from serving.problems import Problem
from serving.settings import Settings

# For messages and the description. The bytes determine an image's format.
IMAGE_TYPES = ("image/jpeg", "image/png", "image/webp", "image/avif")
BINARY_TYPE = "application/octet-stream"
FORM_TYPE = "multipart/form-data"
URLENCODED_TYPE = "application/x-www-form-urlencoded"
JSON_TYPE = "application/json"
ACCEPTED_TYPES = (*IMAGE_TYPES, BINARY_TYPE, FORM_TYPE, JSON_TYPE)
# Types that clients send without knowing the content: none, and curl's default.
_UNSPECIFIC_TYPES = ("", BINARY_TYPE, URLENCODED_TYPE)

MAX_FORM_PARTS = 1000
"""Limit of one form. Each part costs time and memory."""
MAX_JSON_VALUES = 10_000
"""Limit of one body. An empty object takes 64 bytes, its text three."""
_JSON_PIECE = 2**16
_NOT_ASCII = r"[^\0-\x7f]"
# Characters between the lines of base64, and the URL-safe alphabet.
_SPACES = b" \t\r\n\v\f"
_STANDARD = bytes.maketrans(b"-_", b"+/")
# Bytes of a form that the parser looks at, at once and for a part's header.
_FORM_PIECE, _FORM_BUFFER = 2**16, 2**20

DETECT = "detect"
"""Name of the query parameter, and of the member of a JSON body's `parameters`, that asks to find faces."""

_EXPECTED_JSON = 'expected {"instances": [{"b64": "<base64 of an image>"}]}'

Images = Sequence[bytes | Problem]
"""Images of a request in the order sent. A problem stands for one that cannot be read."""


class ImageRequest(NamedTuple):
    """The content of a request for predictions."""

    images: Images
    detect: bool
    """Whether the images are whole, and their faces are to be found."""
    probabilities: bool
    """Whether each prediction is to have what it was chosen from."""


def read(request: Request, settings: Settings) -> ImageRequest:
    """Return the images of a request, at least one and at most `settings.max_images`, and how to treat them.

    Raises:
        Problem: 400, 413 or 415 with what was found, 408 for a body that did not arrive in time, 503 for full buffers.
    """
    data = body(request, settings)
    if request.mimetype == JSON_TYPE:
        return from_json(request, parse_json(data, _EXPECTED_JSON), settings)
    found: Images
    if request.mimetype == FORM_TYPE:
        found = _form(data, request.mimetype_params.get("boundary", ""))
    elif request.mimetype.startswith("image/") or (request.mimetype in _UNSPECIFIC_TYPES and _is_image(data)):
        found = [data]
    else:
        raise _unsupported(request.mimetype)
    return _asked(request, found, {}, settings)


def from_json(request: Request, content: Any, settings: Settings) -> ImageRequest:
    """Return what `read` does, of a request whose JSON body has this content.

    Raises:
        Problem: 400 or 413 with what was found.
    """
    return _asked(request, *_instances(content), settings)


def _asked(request: Request, found: Images, parameters: dict[str, Any], settings: Settings) -> ImageRequest:
    """Return the images and the choices of a request. The query precedes the parameters of a JSON body."""
    defaults = {DETECT: settings.detect, PROBABILITIES: False}
    asked = {name: _query_flag(request, name) for name in defaults}
    chosen = defaults | parameters | {name: value for name, value in asked.items() if value is not None}
    return ImageRequest(check_count(found, settings), chosen[DETECT], chosen[PROBABILITIES])


def _query_flag(request: Request, name: str) -> bool | None:
    text = request.args.get(name)
    if text in (None, "true", "false"):
        return None if text is None else text == "true"
    raise Problem(HTTPStatus.BAD_REQUEST, f"the query has {name}={text!r:.40}; use true or false")


def check_count(found: Images, settings: Settings) -> Images:
    """Return the images of a request, if their number is within the limits.

    Raises:
        Problem: 400 for none, 413 for too many, or the only image's own.
    """
    if not found:
        raise Problem(HTTPStatus.BAD_REQUEST, "the request contains no image; send at least one")
    if len(found) > settings.max_images:
        raise Problem(
            HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
            f"the request contains {len(found)} images; the limit is {settings.max_images}",
        )
    if len(found) == 1 and isinstance(found[0], Problem):
        raise found[0]
    return found


def body(request: Request, settings: Settings) -> bytes:
    """Return the whole body of a request.

    Raises:
        Problem: 400, 408, 413, 415 or 503.
    """
    _refuse_encoded(request)
    length = request.content_length
    if (length or 0) > settings.max_request_bytes:
        raise _too_large(settings)
    if length is None and not request.environ.get("wsgi.input_terminated"):
        length = 0
    try:
        data: bytes = request.environ["wsgi.input"].read(settings.max_request_bytes + 1 if length is None else length)
    except UnreadBodyError as error:
        raise _unread(error.status, settings) from error
    except (HTTPException, MalformedError, OSError) as error:
        raise _unread(HTTPStatus.BAD_REQUEST, settings) from error
    if len(data) > settings.max_request_bytes:
        raise _too_large(settings)
    if length is not None and len(data) < length:
        raise _unread(HTTPStatus.BAD_REQUEST, settings) from ClientDisconnected()
    return data


def parse_json(data: bytes, expected: str, most: int = MAX_JSON_VALUES) -> Any:
    """Return the content of a JSON body with at most so many values.

    Raises:
        Problem: 400 with `expected`.
    """
    if sum(map(data.count, (b",", b"{", b"["))) > most:
        raise Problem(HTTPStatus.BAD_REQUEST, f"the body has more than {most} JSON values; {expected}")
    try:
        return json.loads(_ascii(data))
    except (ValueError, RecursionError) as error:
        raise Problem(HTTPStatus.BAD_REQUEST, f"the body is not JSON; {expected}") from error


def _ascii(data: bytes) -> str:
    """Return JSON with escapes for all characters that are not ASCII.

    A single other character would make Python hold the whole text in two or four bytes per character.

    Raises:
        ValueError: the encoding is wrong, or there are too many such characters.
    """
    if data.isascii() and b"\0" not in data[:4]:
        return data.decode("ascii")
    encoding = json.detect_encoding(data)
    decoder = codecs.getincrementaldecoder(encoding)()
    pieces = []
    escaped = 0
    for start in range(0, len(data), _JSON_PIECE):
        piece = decoder.decode(data[start : start + _JSON_PIECE], start + _JSON_PIECE >= len(data))
        piece, found = re.subn(_NOT_ASCII, lambda match: json.dumps(match[0])[1:-1], piece)
        pieces.append(piece)
        escaped += found
        if escaped > MAX_JSON_VALUES:
            raise ValueError("too many characters that are not ASCII")
    return "".join(pieces)


def decode_base64(text: str) -> bytes:
    """Decode base64 as clients send it: with line breaks, without padding, url-safe, or as a `data:` URI.

    Raises:
        ValueError: the text is not base64. The message completes "… is not base64: ".
    """
    try:
        # The usual case, without a copy.
        return binascii.a2b_base64(text, strict_mode=True)
    except ValueError:
        return _decode_loosely(text)


def _decode_loosely(text: str) -> bytes:
    if text[:5].lower() == "data:":
        kind, _, text = text.partition(",")
        if not kind.lower().endswith(";base64"):
            raise ValueError("the data: URI does not say ;base64")
    # A list of the lines would take many times the memory of the text if they are short.
    plain = text.encode("ascii", "replace").translate(None, _SPACES)
    # A form's decoder turns each + into a space. Line breaks are regular.
    if " " in text.strip() and (len(plain) % 4 or not _regular(text)):
        raise ValueError("it contains spaces; was each + turned into a space?")
    plain = plain.rstrip(b"=").translate(_STANDARD)
    try:
        return binascii.a2b_base64(plain + b"=" * (-len(plain) % 4), strict_mode=True)
    except ValueError as error:
        raise ValueError("it has other characters than A-Z, a-z, 0-9, + and /, or is incomplete") from error


def _regular(text: str) -> bool:
    """Return whether all lines but the last have the same length."""
    lengths: set[int] = set()
    last = 0
    for line in re.finditer(r"\S+", text):
        if last:
            lengths.add(last)
        last = line.end() - line.start()
        if len(lengths) > 1:
            return False
    return True


def _is_image(data: bytes) -> bool:
    return bool(formats.name(data))


def _refuse_encoded(request: Request) -> None:
    if request.headers.get("Content-Encoding", "identity").strip().lower() != "identity":
        raise Problem(
            HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
            "the body has a Content-Encoding; send it without one, images are compressed already",
            {"Accept-Encoding": "identity"},
        )
    if request.headers.get("Transfer-Encoding", "chunked").strip().lower() != "chunked":
        raise Problem(HTTPStatus.BAD_REQUEST, "the body has a Transfer-Encoding other than chunked")


def _unsupported(mimetype: str) -> Problem:
    found = f"Content-Type is {mimetype or 'missing'}"
    if mimetype in _UNSPECIFIC_TYPES:
        found += ", and the body is not a JPEG, PNG, WebP or AVIF"
    return Problem(
        HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
        f"{found}; send one of {', '.join(ACCEPTED_TYPES)}",
        {"Accept": ", ".join(ACCEPTED_TYPES)},
    )


def _unread(status: HTTPStatus, settings: Settings) -> Problem:
    if status == HTTPStatus.REQUEST_ENTITY_TOO_LARGE:
        return _too_large(settings)
    if status == HTTPStatus.REQUEST_TIMEOUT:
        seconds = settings.request_timeout
        return Problem(status, f"the body did not arrive within {seconds} seconds; send less, or send it faster")
    if status == HTTPStatus.SERVICE_UNAVAILABLE:
        detail = "the server is receiving too many large requests; try again later"
        return Problem(status, detail, {"Retry-After": "1"})
    return Problem(HTTPStatus.BAD_REQUEST, "the request's body is incomplete or malformed; send it again")


def _too_large(settings: Settings) -> Problem:
    return Problem(
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
        f"the request is too large; the limit is {settings.max_request_bytes} bytes",
    )


def _instances(content: Any) -> tuple[list[bytes | Problem], dict[str, Any]]:
    """Return the images of a JSON body, and its parameters."""
    instances = content.get("instances") if isinstance(content, dict) else None
    if not isinstance(instances, list):
        raise Problem(HTTPStatus.BAD_REQUEST, f'the body has no list "instances"; {_EXPECTED_JSON}')
    # Vertex AI's clients send null for none.
    parameters = content.get("parameters")
    parameters = {} if parameters is None else parameters
    for name in (DETECT, PROBABILITIES):
        if not isinstance(parameters, dict) or not isinstance(parameters.get(name, False), bool):
            raise Problem(HTTPStatus.BAD_REQUEST, f'"parameters" is not an object with "{name}": true or false')
    return [_image(instance, number) for number, instance in enumerate(instances)], parameters


def _image(instance: object, number: int) -> bytes | Problem:
    text = instance.get("b64") if isinstance(instance, dict) else None
    if not isinstance(text, str):
        return Problem(HTTPStatus.BAD_REQUEST, f'instance {number} has no string "b64"; {_EXPECTED_JSON}')
    try:
        return decode_base64(text)
    except ValueError as error:
        return Problem(HTTPStatus.BAD_REQUEST, f"instance {number} is not base64: {error}")


class FormPart(NamedTuple):
    """One part of a form."""

    name: str
    filename: str | None
    content_type: str
    data: bytes

    @property
    def is_file(self) -> bool:
        """Whether the part is a file, and not a text."""
        return self.filename is not None or self.content_type.startswith("image/")


def _form(data: bytes, boundary: str) -> list[bytes]:
    parts = form_parts(data, boundary)
    files = [part for part in parts if part.is_file]
    # An image in another field would be lost.
    if lost := [part for part in parts if not part.is_file and (_is_image(part.data) or not files)]:
        raise Problem(
            HTTPStatus.BAD_REQUEST,
            f"the form's field {lost[0].name[:100]!r} has no filename; send each image as a file",
        )
    return [part.data for part in files]


def form_parts(data: bytes, boundary: str) -> list[FormPart]:
    """Return the parts of a form, in the order sent.

    Raises:
        Problem: 400 for a malformed form, 413 for too many parts.
    """
    if not boundary:
        raise Problem(
            HTTPStatus.BAD_REQUEST,
            f"Content-Type {FORM_TYPE} has no boundary; do not set this header yourself, your HTTP client adds it",
        )
    mark = boundary.encode("latin-1", "replace")
    if b"--" + mark not in data:
        raise Problem(HTTPStatus.BAD_REQUEST, "the form does not contain the boundary that Content-Type states")
    try:
        return list(_parts(data, mark))
    except RequestEntityTooLarge as error:
        raise Problem(
            HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
            f"the form has more than {MAX_FORM_PARTS} parts, or a part with a header of more than a megabyte",
        ) from error
    except (ValueError, LookupError) as error:
        raise Problem(
            HTTPStatus.BAD_REQUEST,
            "the form is malformed, or incomplete: its closing boundary is missing; send it again",
        ) from error


def _parts(data: bytes, boundary: bytes) -> Iterator[FormPart]:
    """Return the parts of a form.

    Raises:
        RequestEntityTooLarge: too many parts, or a header of a part is too large.
        ValueError: the form is malformed or incomplete.
    """
    decoder = MultipartDecoder(boundary, _FORM_BUFFER, max_parts=MAX_FORM_PARTS)
    head: Field | File | None = None
    pieces: list[bytes] = []
    position = 0
    while not isinstance(event := decoder.next_event(), Epilogue):
        if isinstance(event, NeedData):
            decoder.receive_data(data[position : position + _FORM_PIECE] or None)
            position += _FORM_PIECE
        elif isinstance(event, Field | File):
            head, pieces = event, []
        elif isinstance(event, Data) and head is not None:
            pieces.append(event.data)
            if not event.more_data:
                filename = head.filename if isinstance(head, File) else None
                yield FormPart(head.name or "", filename, head.headers.get("Content-Type", ""), b"".join(pieces))
