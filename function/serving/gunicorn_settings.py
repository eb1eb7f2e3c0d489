"""The configuration of gunicorn. functions-framework starts gunicorn without a way to configure it."""

from __future__ import annotations

import ctypes
import os
from contextlib import suppress
from http import HTTPStatus
from typing import Any

from functions_framework._http.gunicorn import GunicornApplication
from gunicorn import util
from gunicorn.http.errors import ParseException
from gunicorn.http.wsgi import Response

from serving.logs import log
from serving.problems import MEDIA_TYPE, Problem, json_text

MAX_REQUEST_LINE = 8190
"""Bytes. The framework removes gunicorn's limit, and an endless line would fill the memory."""
# The framework's default is four per processor, so a few slow clients would block all others. Idle threads are cheap.
THREADS = 64
# Option M_ARENA_MAX of glibc's malloc.h, and its value. By default, threads have up to eight heaps per processor, which
# retain 7 MB of freed memory.
_M_ARENA_MAX = -8
_ARENAS = 2
# gunicorn's defaults, explicit because the OpenAPI description states them.
MAX_HEADERS = 100
MAX_HEADER_BYTES = 8190

_REFUSALS = {
    414: f"the request's first line is too long; the limit is {MAX_REQUEST_LINE} bytes",
    417: "Expect has an unknown value; it may only be 100-continue",
    431: f"the header is too large; the limit is {MAX_HEADERS} fields of at most {MAX_HEADER_BYTES} bytes",
    500: "the request failed in the server",
    501: "Transfer-Encoding has an unknown value; it may only be chunked",
}
MALFORMED = (
    "the request is not valid HTTP/1.1: its lengths, hosts or other lines are malformed or contradict each other"
)

MalformedError = ParseException
"""Raised when a handler reads a body that is not valid HTTP."""


def configure(port: int | None) -> None:
    """Configure the server: limits, threads, headers, error responses, and the line that states its address.

    Call this before the framework starts the server. It does not affect the framework's debugging server.

    Args:
        port: the port to listen on, instead of the framework's.
    """
    # Only glibc has this option.
    with suppress(AttributeError, OSError):
        ctypes.CDLL(None).mallopt(_M_ARENA_MAX, _ARENAS)
    load, state = GunicornApplication.load_config, Response.default_headers

    def load_config(application: Any) -> None:
        load(application)
        if "THREADS" not in os.environ:
            application.cfg.set("threads", THREADS)
        application.cfg.set("limit_request_line", MAX_REQUEST_LINE)
        application.cfg.set("limit_request_fields", MAX_HEADERS)
        application.cfg.set("limit_request_field_size", MAX_HEADER_BYTES)
        # At lower levels, lines contain addresses, queries and parts of bodies.
        application.cfg.set("loglevel", "error")
        application.cfg.set("when_ready", _announce)
        if port:
            host, _, _ = application.options["bind"].rpartition(":")
            application.cfg.set("bind", f"{host}:{port}")

    def default_headers(response: Any) -> list[str]:
        return [line for line in state(response) if not line.startswith("Server:")]

    GunicornApplication.load_config = load_config
    Response.default_headers = default_headers
    util.write_error = _refuse


def _announce(arbiter: Any) -> None:
    """Log the address, once the socket is bound."""
    host, port, *_ = arbiter.LISTENERS[0].sock.getsockname()
    reachable = "localhost" if host in ("0.0.0.0", "::") else f"[{host}]" if ":" in host else host  # noqa: S104
    log.info(f"listening at http://{reachable}:{port}")


def _refuse(socket: Any, status: int, *_: str) -> None:
    """Refuse a request before any handler, with problem details. gunicorn's own HTML quotes the request."""
    problem = Problem(HTTPStatus(status), _REFUSALS.get(status, MALFORMED))
    body = json_text(problem.details())
    lines = (
        f"HTTP/1.1 {status} {problem.status.phrase}",
        "Connection: close",
        f"Content-Type: {MEDIA_TYPE}",
        f"Content-Length: {len(body)}",
        "X-Content-Type-Options: nosniff",
    )
    util.write_nonblock(socket, "\r\n".join((*lines, "", body)).encode())
    log.warning("refused unrouted: %d", status, extra={"fields": {"httpRequest": {"status": status}}})
