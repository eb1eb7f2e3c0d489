"""The HTTP entry for functions-framework: routes, nothing else.

functions-framework --source function/main.py --target predict
"""

from __future__ import annotations

import gc
import io
import json
import logging
import os
import sys
from http import HTTPStatus
from pathlib import Path
from typing import Any

# functions-framework runs this file by its path; its neighbours are found whatever the working directory.
sys.path.insert(0, str(Path(__file__).parent))
# numpy's matrix library has nothing to do here; its threads and their buffers would cost time and memory.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
# Imports make objects that stay: looking through them for garbage again and again finds none.
gc.disable()

from serving import release, settings

try:
    SETTINGS = settings.from_environment(os.environ)
except settings.SettingsError as reason:
    sys.exit(f"cannot start: {reason}")
# Storage answers while numpy, Pillow and the runtime are being imported below.
LOADING = release.Loading(
    SETTINGS.model_uri, SETTINGS.model_sha256, SETTINGS.model_cache, seconds=SETTINGS.fetch_seconds
)

from flask import Request, Response, send_from_directory

from serving import answers, requests
from serving.predictor import Predictor
from serving.problems import Problem

PAGE = Path(__file__).parent / "serving" / "page"
PAGE_FILES = {"/": "index.html", "/page.css": "page.css", "/page.js": "page.js", "/openapi.json": "openapi.json"}
# The page needs its own two files, pictures that never leave the browser's memory, and this server; nothing else.
PAGE_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src blob: data:; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
METHODS = {
    "/": ("GET", "HEAD", "POST"),
    "/predict": ("POST",),
    "/health": ("GET", "HEAD"),
    "/model": ("GET", "HEAD"),
    "/page.css": ("GET", "HEAD"),
    "/page.js": ("GET", "HEAD"),
    "/openapi.json": ("GET", "HEAD"),
}

try:
    PREDICTOR = Predictor(LOADING.release())
except release.ReleaseError as reason:
    sys.exit(f"cannot start: {reason}")
# Nor does anybody look through them later, so that workers share their memory.
gc.freeze()
gc.enable()


def predict(request: Request) -> Response:
    """Answer one request; every failure becomes a problem, none a traceback."""
    try:
        return _route(request)
    except Problem as problem:
        # The framework would read the rest of the body into memory; the server discards it piece by piece.
        request.stream = io.BytesIO()
        return problem.response()
    except Exception:
        logging.exception("unforeseen failure at %s", request.path)
        return Problem(HTTPStatus.INTERNAL_SERVER_ERROR, "the request failed here; the reason is logged").response()


def _route(request: Request) -> Response:
    allowed = METHODS.get(request.path)
    if allowed is None:
        raise Problem(HTTPStatus.NOT_FOUND, f"there is nothing here; there are {', '.join(METHODS)}")
    if request.method not in allowed:
        detail = f"{request.path} takes {', '.join(allowed)}, not {request.method}"
        raise Problem(HTTPStatus.METHOD_NOT_ALLOWED, detail, {"Allow": ", ".join(allowed)})
    if request.method == "POST":
        return _predict(request)
    if request.path == "/health":
        return _json({"status": "ok", "model": _model()})
    if request.path == "/model":
        return _json(PREDICTOR.release.manifest)
    page = send_from_directory(PAGE, PAGE_FILES[request.path])
    page.headers.update(PAGE_HEADERS)
    return page


def _predict(request: Request) -> Response:
    predictions = answers.answer(requests.pictures(request, SETTINGS), PREDICTOR, SETTINGS)
    return _json({"predictions": predictions, "model": _model()})


def _json(body: dict[str, Any]) -> Response:
    return Response(json.dumps(body), mimetype="application/json")


def _model() -> dict[str, str]:
    served = PREDICTOR.release
    return {"name": served.name, "version": served.version, "sha256": served.sha256}
