"""What is asked of gunicorn, which the framework starts without a way to configure it."""

from __future__ import annotations

import json
import os
from http import HTTPStatus
from typing import Any

from functions_framework._http.gunicorn import GunicornApplication
from gunicorn import util
from gunicorn.http.errors import ParseException
from gunicorn.http.wsgi import Response

from serving import memory
from serving.logs import log
from serving.problems import MEDIA_TYPE, Problem

# bytes; the framework lifts gunicorn's limit, and a line without end would fill the memory
MAX_REQUEST_LINE = 8190
# The framework's default, four a processor, lets a few clients that send slowly keep all others waiting; threads that
# wait cost next to nothing.
THREADS = 64
# gunicorn's own defaults, stated because the description promises them
MAX_HEADERS = 100
MAX_HEADER_BYTES = 8190

_REFUSALS = {
    414: f"the request's first line is too long; at most {MAX_REQUEST_LINE} bytes are read",
    417: "the expectation is not understood; Expect may only be 100-continue",
    431: f"the header is too large; at most {MAX_HEADERS} fields of at most {MAX_HEADER_BYTES} bytes are read",
    500: "the request failed here",
    501: "the Transfer-Encoding is not understood; it may only be chunked",
}
MALFORMED = (
    "the request is not valid HTTP/1.1; its lengths, hosts or other lines are malformed or contradict each other"
)

# raised from below a handler that reads a body which is not valid HTTP
MalformedError = ParseException


def configure(port: int | None) -> None:
    """Bound what is read before this code is called, and the memory of threads; name no server, refuse by problems.

    It listens on `port`, if any.

    To be called before the framework starts the server; the framework's debugging server is left as it is.
    """
    memory.configure_allocator()
    load, state = GunicornApplication.load_config, Response.default_headers

    def load_config(application: Any) -> None:
        load(application)
        if "THREADS" not in os.environ:
            application.cfg.set("threads", THREADS)
        application.cfg.set("limit_request_line", MAX_REQUEST_LINE)
        application.cfg.set("limit_request_fields", MAX_HEADERS)
        application.cfg.set("limit_request_field_size", MAX_HEADER_BYTES)
        # Below that level its lines name addresses, queries and bytes of bodies.
        application.cfg.set("loglevel", "error")
        if port:
            host, _, _ = application.options["bind"].rpartition(":")
            application.cfg.set("bind", f"{host}:{port}")

    def default_headers(response: Any) -> list[str]:
        return [line for line in state(response) if not line.startswith("Server:")]

    GunicornApplication.load_config = load_config
    Response.default_headers = default_headers
    util.write_error = _refuse


def _refuse(socket: Any, status: int, *_: str) -> None:
    """Say in a problem why a request was refused before any handler saw it, instead of in HTML that repeats it."""
    problem = Problem(HTTPStatus(status), _REFUSALS.get(status, MALFORMED))
    body = json.dumps(problem.details())
    lines = (
        f"HTTP/1.1 {status} {problem.status.phrase}",
        "Connection: close",
        f"Content-Type: {MEDIA_TYPE}",
        f"Content-Length: {len(body)}",
        "X-Content-Type-Options: nosniff",
    )
    util.write_nonblock(socket, "\r\n".join((*lines, "", body)).encode())
    log.warning("refused unrouted: %d", status, extra={"fields": {"httpRequest": {"status": status}}})
