"""The route table's type, and the dispatch of requests by it."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from http import HTTPStatus
from typing import NamedTuple

from flask import Request, Response, g

from serving import access
from serving.access import Handler
from serving.problems import Problem
from serving.timeouts import Deadline

Reserve = Callable[[Request], AbstractContextManager[Deadline]]
"""Reserves the memory that the parsing of a request takes, and returns the request's deadline."""


class Operation(NamedTuple):
    """One method of one path: its handler, and its entry in the OpenAPI description."""

    handler: Handler
    tag: str
    """Section of the description."""
    summary: str
    media: str = "application/json"
    """Media type of the 200 response."""
    schema: str = ""
    """Name of the response's JSON Schema. Empty: any object for JSON, text otherwise."""
    problems: tuple[HTTPStatus, ...] = ()
    """Error statuses, besides 401."""
    keyed: bool = False
    """Whether the operation requires the API key, if there is one."""
    static: bool = False
    """Whether browsers may cache the response and revalidate it by its ETag."""
    body: str = ""
    """Kind of the request's body: "images", "tensors", or none."""
    choosable: bool = False
    """Whether the query parameter `request_parsing.DETECT` chooses between predictions and detections."""
    authorize: Callable[[Request, str], None] = access.require_key
    """Checks the API key of a request."""


Routes = dict[str, dict[str, Operation]]
"""Operations by path and method. GET includes HEAD, and every path has OPTIONS."""


def dispatch(routes: Routes, request: Request, api_key: str) -> Response:
    """Return the response of the operation that a request names.

    Raises:
        Problem: 404, 405 or 401, or the operation's own.
    """
    try:
        return _respond(routes, request, api_key)
    except Problem as problem:
        if request.path.startswith("/v2/"):
            # The Open Inference Protocol's name of the message.
            problem.members["error"] = problem.detail
        raise


def _respond(routes: Routes, request: Request, api_key: str) -> Response:
    operations = routes.get(request.path)
    if operations is None:
        raise _not_found(routes, request.path)
    g.route = request.path
    allowed = ", ".join([*operations, *(["HEAD"] if "GET" in operations else []), "OPTIONS"])
    if request.method == "OPTIONS":
        return Response(status=HTTPStatus.NO_CONTENT, headers={"Allow": allowed})
    operation = operations.get("GET" if request.method == "HEAD" else request.method)
    if operation is None:
        detail = f"{request.path} accepts {allowed}, not {request.method}"
        raise Problem(HTTPStatus.METHOD_NOT_ALLOWED, detail, {"Allow": allowed})
    g.static = operation.static
    if operation.keyed:
        operation.authorize(request, api_key)
    return operation.handler(request)


def _not_found(routes: Routes, path: str) -> Problem:
    without = path.rstrip("/")
    hint = f"use {without}, without the slash at its end" if without in routes else "GET /docs lists all paths"
    return Problem(HTTPStatus.NOT_FOUND, f"there is nothing at this path; {hint}")
