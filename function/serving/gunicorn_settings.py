"""The configuration of gunicorn. functions-framework starts gunicorn without a way to configure it."""

from __future__ import annotations

import os
import sys
import tempfile
from http import HTTPStatus
from typing import Any

from functions_framework._http.gunicorn import GunicornApplication
from gunicorn import util
from gunicorn.http.errors import ParseException
from gunicorn.http.wsgi import Response

from serving import memory
from serving.connections import MAX_CONNECTIONS, MAX_HEAD_BYTES, Worker
from serving.logs import log
from serving.problems import MEDIA_TYPE, Problem, json_text
from serving.settings import Settings

MAX_REQUEST_LINE = 8190
"""Bytes. The framework removes gunicorn's limit, and an endless line would fill the memory."""
# gunicorn's defaults, explicit because the OpenAPI description states them.
MAX_HEADERS = 100
MAX_HEADER_BYTES = 8190

_REFUSALS = {
    408: "the head of the request did not arrive in time; send it faster",
    414: f"the request's first line is too long; the limit is {MAX_REQUEST_LINE} bytes",
    417: "Expect has an unknown value; it may only be 100-continue",
    431: f"the header is too large; the limit is {MAX_HEADERS} fields of at most {MAX_HEADER_BYTES} bytes, and "
    f"{MAX_HEAD_BYTES // 2**10} KiB in all",
    500: "the request failed in the server",
    501: "Transfer-Encoding has an unknown value; it may only be chunked",
}
# The caller's fault must not count as a failure of the server.
_STATUSES = {
    501: HTTPStatus.BAD_REQUEST,
}
MALFORMED = (
    "the request is not valid HTTP/1.1: its lengths, hosts or other lines are malformed or contradict each other"
)

MalformedError = ParseException
"""Raised when a handler reads a body that is not valid HTTP."""


def configure(settings: Settings) -> None:
    """Configure the server: limits, threads, headers, error responses, and the line that states its address.

    Call this before the framework starts the server. It does not affect the framework's debugging server. The process
    ends with one line if the server cannot start with this port or without a temporary folder.
    """
    memory.configure_allocator()
    # The framework reads these itself, and fails with a traceback for an empty text.
    os.environ["THREADS"] = str(settings.threads)
    os.environ["WORKERS"] = str(settings.workers)
    os.environ["CLOUD_RUN_TIMEOUT_SECONDS"] = str(settings.cloud_run_timeout)
    Worker.settings = settings
    load, state = GunicornApplication.load_config, Response.default_headers

    def load_config(application: Any) -> None:
        load(application)
        options = {
            "bind": _address(application.options["bind"], settings.http_port),
            "control_socket_disable": True,
            "keepalive": settings.keepalive_timeout,
            "limit_request_line": MAX_REQUEST_LINE,
            "limit_request_fields": MAX_HEADERS,
            "limit_request_field_size": MAX_HEADER_BYTES,
            # At lower levels, lines contain addresses, queries and parts of bodies.
            "loglevel": "error",
            "when_ready": _announce,
            "worker_class": Worker,
            "worker_connections": MAX_CONNECTIONS,
        }
        for name, value in options.items():
            application.cfg.set(name, value)
        _require_temporary_folder()

    def default_headers(response: Any) -> list[str]:
        return [line for line in state(response) if not line.startswith("Server:")]

    GunicornApplication.load_config = load_config
    Response.default_headers = default_headers
    util.write_error = _refuse


def _address(bind: str, port: int | None) -> str:
    host, _, stated = bind.rpartition(":")
    if not 0 <= int(stated) < 2**16:
        sys.exit(f"cannot start: PORT is {stated}; it takes a port, 1 to 65535")
    # gunicorn expects an IPv6 address in brackets.
    host = f"[{host}]" if ":" in host and not host.startswith("[") else host
    return f"{host}:{port or stated}"


def _require_temporary_folder() -> None:
    try:
        tempfile.gettempdir()
    except FileNotFoundError:
        sys.exit("cannot start: there is no writable folder for temporary files; set TMPDIR to one, such as /dev/shm")


def _announce(arbiter: Any) -> None:
    """Log the address, once the socket is bound."""
    host, port, *_ = arbiter.LISTENERS[0].sock.getsockname()
    reachable = "localhost" if host in ("0.0.0.0", "::") else f"[{host}]" if ":" in host else host  # noqa: S104
    log.info(f"listening at http://{reachable}:{port}")


def _refuse(client: Any, status: int, *_: str) -> None:
    """Refuse a request before any handler, with problem details. gunicorn's own HTML quotes the request."""
    problem = Problem(_STATUSES.get(status, HTTPStatus(status)), _REFUSALS.get(status, MALFORMED))
    stated = int(problem.status)
    body = json_text(problem.details())
    lines = (
        f"HTTP/1.1 {stated} {problem.status.phrase}",
        "Connection: close",
        f"Content-Type: {MEDIA_TYPE}",
        f"Content-Length: {len(body)}",
        "X-Content-Type-Options: nosniff",
    )
    client.sendall("\r\n".join((*lines, "", body)).encode())
    log.warning(f"refused unrouted: {stated}", extra={"fields": {"httpRequest": {"status": stated}}})
