"""What browsers keep: files of the web page and the description, with an ETag each."""

from __future__ import annotations

import hashlib
from functools import cache
from pathlib import Path

from flask import Request, Response

# path -> file in page/
FILES = {
    "/": "index.html",
    "/page.css": "page.css",
    "/predictions.css": "predictions.css",
    "/docs.css": "docs.css",
    "/page.js": "page.js",
    "/predictions.js": "predictions.js",
    "/messages.js": "messages.js",
    "/examples.js": "examples.js",
    "/camera.js": "camera.js",
    "/framing.js": "framing.js",
    "/intake.js": "intake.js",
    "/images.js": "images.js",
    "/server.js": "server.js",
    **{f"/example-{number}.jpg": f"example-{number}.jpg" for number in (1, 2, 3)},
}

_FOLDER = Path(__file__).parent / "page"
# Not by the machine's own table of types, which differs between systems.
_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
    ".jpg": "image/jpeg",
}


def file(request: Request, name: str) -> Response:
    """A file of the page."""
    return kept(request, _read(name), content_type(name))


def content_type(name: str) -> str:
    """The media type of a file, with its character set."""
    return _TYPES[Path(name).suffix]


def kept(request: Request, data: bytes, content_type: str) -> Response:
    """Data that a browser keeps and asks about before each use, so that it never mixes the files of two revisions.

    Returns:
        200 with the data, or 304 for whom it is unchanged.
    """
    response = Response(data, content_type=content_type, headers={"Cache-Control": "no-cache"})
    response.set_etag(hashlib.sha256(data).hexdigest()[:16])
    response.make_conditional(request)
    return response


@cache
def _read(name: str) -> bytes:
    return (_FOLDER / name).read_bytes()
