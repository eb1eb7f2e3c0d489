"""Who may ask: an API key, and the origins whose pages may call from a browser (CORS)."""

from __future__ import annotations

import hmac
from collections.abc import Callable
from http import HTTPStatus

from flask import Request, Response

from serving.problems import Problem

Handler = Callable[[Request], Response]

REQUEST_ID = "X-Request-Id"
# what a page of another origin may send, and read of the answer
_ALLOWED = f"Authorization, Content-Type, X-API-Key, {REQUEST_ID}"
# seconds for which a browser need not ask again
_PREFLIGHT_SECONDS = "3600"


def keyed(key: str, handler: Handler) -> Handler:
    """`handler` for those who send the key, as `X-API-Key` or `Authorization: Bearer`; for everybody if there is none.

    The returned handler raises:
        Problem: 401, the key is missing or another one.
    """
    if not key:
        return handler

    def asked(request: Request) -> Response:
        if not hmac.compare_digest(_sent(request).encode(), key.encode()):
            raise Problem(
                HTTPStatus.UNAUTHORIZED,
                "the API key is missing or wrong; send it as X-API-Key, or as Authorization: Bearer",
                {"WWW-Authenticate": 'Bearer realm="predictions"'},
            )
        return handler(request)

    return asked


def _sent(request: Request) -> str:
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    bearer = token.strip() if scheme.lower() == "bearer" else ""
    return request.headers.get("X-API-Key", bearer)


def share(request: Request, response: Response, origins: tuple[str, ...]) -> None:
    """Let pages of `origins` read the answer; without origins nothing is said, and browsers refuse all others."""
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
