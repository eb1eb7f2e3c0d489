"""Responses that browsers cache: files of the web page, and the OpenAPI description."""

from __future__ import annotations

import hashlib
from functools import cache
from pathlib import Path

from flask import Request, Response

_MODULES = (
    "page",
    "adjuster",
    "answers",
    "camera",
    "crowd",
    "elements",
    "examples",
    "face",
    "framing",
    "grid",
    "intake",
    "messages",
    "photo",
    "pixels",
    "predictions",
    "queue",
    "server",
    "squares",
    "upload",
)
FILES = {
    "/": "index.html",
    **{f"/{name}.css": f"{name}.css" for name in ("page", "photo", "predictions", "crowd", "docs")},
    **{f"/{name}.js": f"{name}.js" for name in _MODULES},
    **{f"/example-{number}.jpg": f"example-{number}.jpg" for number in (1, 2, 3)},
}
"""Files of the folder `page` by path."""

_FOLDER = Path(__file__).parent / "page"
# Python's own table of media types depends on the machine.
_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
    ".jpg": "image/jpeg",
}


def file(request: Request, name: str) -> Response:
    """Return a file of the page."""
    return cached(request, _read(name), content_type(name))


def content_type(name: str) -> str:
    """Return the media type of a file, with its character set."""
    return _TYPES[Path(name).suffix]


def cached(request: Request, data: bytes, content_type: str) -> Response:
    """Return 200 with `data` and its ETag, or 304 if the browser has the same data.

    Browsers revalidate before each use, so a page never mixes the files of two revisions.
    """
    response = Response(data, content_type=content_type, headers={"Cache-Control": "no-cache"})
    response.set_etag(hashlib.sha256(data).hexdigest()[:16])
    response.make_conditional(request)
    return response


@cache
def _read(name: str) -> bytes:
    return (_FOLDER / name).read_bytes()
