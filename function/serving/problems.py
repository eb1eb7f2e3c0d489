"""Error responses: RFC 9457 problem details."""

from __future__ import annotations

import json
from http import HTTPStatus
from typing import Any

from flask import Response

MEDIA_TYPE = "application/problem+json"


class Problem(Exception):  # noqa: N818 - the term of RFC 9457
    """A failed request. `detail` says what was found and what is allowed."""

    def __init__(
        self,
        status: HTTPStatus,
        detail: str,
        headers: dict[str, str] | None = None,
        *,
        members: dict[str, Any] | None = None,
    ) -> None:
        """Keep the parts of the response.

        Args:
            status: the HTTP status.
            detail: what was found, and what is allowed or how to fix it.
            headers: additional response headers.
            members: members of the body besides the standard ones.
        """
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.headers = headers or {}
        self.members = members or {}

    def details(self) -> dict[str, Any]:
        """Return the members of RFC 9457, section 3.1."""
        return {"type": "about:blank", "title": self.status.phrase, "status": int(self.status), "detail": self.detail}

    def response(self, request_id: str) -> Response:
        """Return the HTTP response."""
        body = json_text({**self.details(), **self.members, "request_id": request_id})
        return Response(body, self.status, self.headers, mimetype=MEDIA_TYPE)


def json_text(body: dict[str, Any]) -> str:
    """Return a JSON body with a newline at its end, so a terminal's prompt starts on a new line."""
    return json.dumps(body) + "\n"
