"""The steps around every handler: request id, response headers, log line, and problem details for errors."""

from __future__ import annotations

import io
import logging
import os
import re
import time
from http import HTTPMethod, HTTPStatus
from typing import IO, Any

from flask import Flask, Request, Response, g, request
from flask.globals import request_ctx

from serving.access import REQUEST_ID, Handler, share
from serving.gunicorn_settings import MALFORMED, MalformedError
from serving.logs import log
from serving.problems import Problem
from serving.settings import Settings

HEADERS = {
    # The page needs its own files, images in the browser's memory, and this server.
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src blob: data:; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "Permissions-Policy": "camera=(self), microphone=(), geolocation=()",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
REQUEST_ID_FORM = r"[A-Za-z0-9._-]{1,64}"
"""Pattern of the callers' request ids that are kept."""
# X-Cloud-Trace-Context: <trace>/<span>;o=1, or traceparent: 00-<trace>-<span>-01
_TRACE = r"(?:[0-9a-f]{2}-)?([0-9a-f]{32})(?:[-/;].*)?"


class _InMemory(Request):
    """A request that keeps uploads in memory. Flask would write large ones to disk."""

    def _get_file_stream(self, *_: object, **__: object) -> IO[bytes]:
        return io.BytesIO()


def install(app: Flask, handle: Handler, settings: Settings, version: str) -> None:
    """Let `app` call `handle` for every request, between the steps of this module.

    Args:
        app: the framework's application.
        handle: returns the response, or raises.
        settings: the origins that may read responses, and what the log counts.
        version: the release's, for the log.
    """

    def respond() -> Response:
        try:
            # Not Flask's proxy, which searches the request again for each attribute.
            return handle(request_ctx.request)
        finally:
            # Flask would read the rest of the body into memory. The server discards it in pieces.
            request.stream = io.BytesIO()

    def finish(response: Response) -> Response:
        response.headers.extend(HEADERS)
        response.headers.add(REQUEST_ID, g.request_id)
        response.headers.setdefault("Cache-Control", "no-store")
        share(request, response, settings.cors_origins)
        _log(response, settings, version)
        return response

    app.request_class = _InMemory
    app.before_request(_begin)
    # Before the framework's own routes (/robots.txt, /favicon.ico, /static).
    app.before_request(respond)
    app.after_request(finish)
    app.register_error_handler(Exception, _problem)
    app.register_error_handler(HTTPStatus.INTERNAL_SERVER_ERROR, _problem)


def _begin() -> None:
    g.started = time.perf_counter()
    sent = request.headers.get(REQUEST_ID, "")
    g.request_id = sent if re.fullmatch(REQUEST_ID_FORM, sent) else os.urandom(16).hex()


def _problem(error: Exception) -> Response:
    if isinstance(error, MalformedError):
        error = Problem(HTTPStatus.BAD_REQUEST, MALFORMED)
    if not isinstance(error, Problem):
        log.error("unexpected failure", exc_info=error, extra={"fields": {"request_id": g.request_id}})
        error = Problem(
            HTTPStatus.INTERNAL_SERVER_ERROR,
            "the request failed in the server; the log has the reason under this id",
        )
    return error.response(g.request_id)


def _log(response: Response, settings: Settings, version: str) -> None:
    status, seconds = response.status_code, time.perf_counter() - g.started
    # The caller may have put anything into an unknown path or method: only a terminal shows the path.
    path = g.get("route", "(unknown)")
    method = request.method if request.method in HTTPMethod.__members__ else "(unknown)"
    fields: dict[str, Any] = {
        "httpRequest": {
            "requestMethod": method,
            "requestUrl": path,
            "status": status,
            "responseSize": str(response.content_length or 0),
            "latency": f"{seconds:.6f}s",
        },
        "request_id": g.request_id,
        "release": version,
    }
    if "stats" in g:
        fields |= g.stats.fields(settings.log_predictions)
        if settings.log_faces:
            fields |= g.stats.estimates(settings.log_predictions)
    if settings.project and (trace := _trace(request)):
        fields["logging.googleapis.com/trace"] = f"projects/{settings.project}/traces/{trace}"
    outcome = f"{status} in {1000 * seconds:.1f} ms"
    extra = {"fields": fields, "shown": f"{method} {request.path} {outcome}"}
    log.log(_level(status), f"{method} {path} {outcome}", extra=extra)


def _level(status: int) -> int:
    if status >= 500:
        return logging.ERROR
    if status >= 400:
        return logging.WARNING
    # One visit of the page requests eleven files.
    return logging.DEBUG if g.get("static") and g.route != "/" else logging.INFO


def _trace(asked: Request) -> str:
    stated = asked.headers.get("X-Cloud-Trace-Context") or asked.headers.get("traceparent", "")
    found = re.fullmatch(_TRACE, stated)
    return found[1] if found else ""
