"""What surrounds every answer: its request id, its headers, its line in the log, and problems instead of tracebacks."""

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
    # A page needs its own files, images that never leave the browser's memory, and this server; nothing else.
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src blob: data:; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "Permissions-Policy": "camera=(self), microphone=(), geolocation=()",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
# request ids of callers that are taken over
REQUEST_ID_FORM = r"[A-Za-z0-9._-]{1,64}"
# X-Cloud-Trace-Context: <trace>/<span>;o=1, or traceparent: 00-<trace>-<span>-01
_TRACE = r"(?:[0-9a-f]{2}-)?([0-9a-f]{32})(?:[-/;].*)?"


class _InMemory(Request):
    """A request whose uploads never touch a disk; the framework would put larger ones there."""

    def _get_file_stream(self, *_: object, **__: object) -> IO[bytes]:
        return io.BytesIO()


def surround(app: Flask, handle: Handler, settings: Settings, version: str) -> None:
    """Have `handle` called for every request that `app` gets, and surround what it returns or raises.

    Args:
        app: the framework's.
        handle: the whole function.
        settings: for whom answers are shared, and what lines name and count.
        version: of the release, for the log.
    """

    def answered() -> Response:
        try:
            # Not the proxy, which looks for the request anew at each of its attributes.
            return handle(request_ctx.request)
        finally:
            # The framework would read the rest of a body into memory; the server discards it piece by piece.
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
    # Before the framework's own rules (/robots.txt, /favicon.ico, /static), which answer in their own way.
    app.before_request(answered)
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
        log.error("unforeseen failure", exc_info=error, extra={"fields": {"request_id": g.request_id}})
        error = Problem(
            HTTPStatus.INTERNAL_SERVER_ERROR, "the request failed here; the reason is logged with its request_id"
        )
    return error.response(g.request_id)


def _log(response: Response, settings: Settings, version: str) -> None:
    status, seconds = response.status_code, time.perf_counter() - g.started
    # A path or a method that is none of ours was written by the caller, who may have put anything there.
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
    if settings.project and (trace := _trace(request)):
        fields["logging.googleapis.com/trace"] = f"projects/{settings.project}/traces/{trace}"
    level = logging.INFO if status < 400 else logging.WARNING if status < 500 else logging.ERROR
    log.log(level, "%s %s %d in %.1f ms", method, path, status, 1000 * seconds, extra={"fields": fields})


def _trace(asked: Request) -> str:
    stated = asked.headers.get("X-Cloud-Trace-Context") or asked.headers.get("traceparent", "")
    found = re.fullmatch(_TRACE, stated)
    return found[1] if found else ""
