"""The HTTP entry for functions-framework: routes, nothing else.

functions-framework --source function/main.py --target predict
"""

from __future__ import annotations

import gc
import json
import os
import sys
from functools import cache, partial
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
LOADING = release.Loading(SETTINGS.model_uri, SETTINGS.pins, SETTINGS.model_cache, SETTINGS.model_fetch_timeout)

from flask import Request, Response, current_app, g

from serving import access, gunicorn_settings, logs, middleware, protocols, request_parsing, static_files
from serving.access import Handler
from serving.inference import InferenceService
from serving.predictor import Predictor
from serving.problems import Problem
from serving.request_stats import RequestStats
from serving.timeouts import Deadline

try:
    INFERENCE = InferenceService(Predictor(LOADING.release()), SETTINGS)
except release.ReleaseError as reason:
    sys.exit(f"cannot start: {reason}")

RELEASE = INFERENCE.predictor.release
MODEL = RELEASE.identity()


def predict(request: Request) -> Response:
    """Answer one request.

    Raises:
        Problem: it cannot be answered.
    """
    handlers = ROUTES.get(request.path)
    if handlers is None:
        raise Problem(HTTPStatus.NOT_FOUND, "there is nothing at this path; GET /docs tells what there is")
    g.route = request.path
    allowed = ", ".join([*handlers, *(["HEAD"] if "GET" in handlers else []), "OPTIONS"])
    if request.method == "OPTIONS":
        return Response(status=HTTPStatus.NO_CONTENT, headers={"Allow": allowed})
    handler = handlers.get("GET" if request.method == "HEAD" else request.method)
    if handler is None:
        detail = f"{request.path} takes {allowed}, not {request.method}"
        raise Problem(HTTPStatus.METHOD_NOT_ALLOWED, detail, {"Allow": allowed})
    return handler(request)


def _predict(request: Request) -> Response:
    deadline = Deadline.after(SETTINGS.request_timeout)
    images = request_parsing.images(request, SETTINGS, deadline)
    g.stats = RequestStats(len(images))
    return _json({"predictions": INFERENCE.predict(images, deadline, g.stats), "model": MODEL})


def _infer(_: Request) -> Response:
    raise Problem(
        HTTPStatus.NOT_IMPLEMENTED,
        'tensors are not taken, images are: POST /predict with {"instances": [{"b64": "<base64 of an image>"}]}',
    )


def _openapi(request: Request) -> Response:
    return static_files.kept(request, json.dumps(_description()).encode(), "application/json")


def _docs(request: Request) -> Response:
    from serving.openapi import docs_page

    return static_files.kept(request, docs_page.page(_description()), static_files.content_type("docs.html"))


@cache
def _description() -> dict[str, Any]:
    # Seldom asked for: the start is spared it.
    from serving.openapi import document

    return document.document(SETTINGS, RELEASE)


def _json(body: dict[str, Any]) -> Response:
    return Response(json.dumps(body), mimetype="application/json")


def _fixed(body: dict[str, Any]) -> Handler:
    return lambda _: _json(body)


def _routes() -> dict[str, dict[str, Handler]]:
    """Path -> method -> handler; GET stands for HEAD too, and OPTIONS is answered everywhere."""
    keyed = partial(access.keyed, SETTINGS.api_key)
    prediction = {"POST": keyed(_predict)}
    health = {"GET": _fixed({"status": "ok", "model": MODEL})}
    table: dict[str, dict[str, Handler]] = {
        path: {"GET": partial(static_files.file, name=name)} for path, name in static_files.FILES.items()
    }
    table["/"] |= prediction
    table |= {
        "/predict": prediction,
        "/health": health,
        "/model": {"GET": keyed(_fixed(RELEASE.manifest))},
        "/openapi.json": {"GET": _openapi},
        "/docs": {"GET": _docs},
        "/v2": {"GET": _fixed(protocols.server_metadata(RELEASE))},
        "/v2/health/live": {"GET": _fixed({"live": True})},
        "/v2/health/ready": {"GET": _fixed({"ready": True})},
        f"/v1/models/{RELEASE.name}": {"GET": keyed(_fixed(protocols.model_status(RELEASE)))},
        f"/v1/models/{RELEASE.name}:predict": prediction,
    }
    for model in (f"/v2/models/{RELEASE.name}", f"/v2/models/{RELEASE.name}/versions/{RELEASE.version}"):
        table[model] = {"GET": keyed(_fixed(protocols.model_metadata(RELEASE, SETTINGS.heads)))}
        table[f"{model}/ready"] = {"GET": _fixed(protocols.model_ready(RELEASE))}
        table[f"{model}/infer"] = {"POST": keyed(_infer)}
    for path, handlers in ((SETTINGS.health_route, health), (SETTINGS.predict_route, prediction)):
        if path:
            table[path] = table.get(path, {}) | handlers
    return table


ROUTES = _routes()

if current_app:
    logs.setup(SETTINGS.log_level)
    gunicorn_settings.configure(SETTINGS.http_port)
    middleware.surround(current_app, predict, SETTINGS, RELEASE.version)

# Nor does anybody look through them later, so that the server's processes share their memory.
gc.freeze()
gc.enable()
