"""Access control: the API key, and the origins of web pages that may call the function (CORS)."""

from __future__ import annotations

import hmac
from collections.abc import Callable
from http import HTTPStatus

from flask import Request, Response

from serving.problems import Problem

Handler = Callable[[Request], Response]

REQUEST_ID = "X-Request-Id"
# Request headers that pages of other origins may send.
_ALLOWED = f"Authorization, Content-Type, X-API-Key, {REQUEST_ID}"
# Browsers cache the permission for this many seconds.
_PREFLIGHT_SECONDS = "3600"


def require_key(request: Request, key: str) -> None:
    """Check the key in `X-API-Key` or `Authorization: Bearer`. An empty `key` admits every request.

    Raises:
        Problem: 401, the key is missing or wrong.
    """
    if not matches(_sent(request), key):
        raise Problem(
            HTTPStatus.UNAUTHORIZED,
            "the API key is missing or wrong; send it as X-API-Key, or as Authorization: Bearer",
            {"WWW-Authenticate": 'Bearer realm="predictions"'},
        )


def matches(sent: str, key: str) -> bool:
    """Return whether a caller sent the key, in constant time. An empty `key` matches everything."""
    return not key or hmac.compare_digest(sent.encode(), key.encode())


def _sent(request: Request) -> str:
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    bearer = token.strip() if scheme.lower() == "bearer" else ""
    return request.headers.get("X-API-Key", bearer)


def share(request: Request, response: Response, origins: tuple[str, ...]) -> None:
    """Let pages of `origins` read the response. Browsers keep it from all other origins."""
    if not origins:
        return
    response.vary.add("Origin")
    origin = request.headers.get("Origin", "")
    if origin not in origins:
        return
    response.headers["Access-Control-Allow-Origin"] = origin
    response.headers["Access-Control-Expose-Headers"] = REQUEST_ID
    if request.method == "OPTIONS":
        response.headers["Access-Control-Allow-Methods"] = response.headers.get("Allow", "")
        response.headers["Access-Control-Allow-Headers"] = _ALLOWED
        response.headers["Access-Control-Max-Age"] = _PREFLIGHT_SECONDS
