"""What a caller is told when a request cannot be answered: RFC 9457 problem details."""

from __future__ import annotations

import json
from http import HTTPStatus
from typing import Any

from flask import Response

MEDIA_TYPE = "application/problem+json"


class Problem(Exception):  # noqa: N818 - the term of RFC 9457
    """A request that cannot be answered. `detail` says what was found and what is allowed."""

    def __init__(
        self,
        status: HTTPStatus,
        detail: str,
        headers: dict[str, str] | None = None,
        *,
        members: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.headers = headers or {}
        # beside the standard ones
        self.members = members or {}

    def details(self) -> dict[str, Any]:
        """The members of RFC 9457, section 3.1."""
        return {"type": "about:blank", "title": self.status.phrase, "status": int(self.status), "detail": self.detail}

    def response(self, request_id: str) -> Response:
        """The HTTP answer."""
        body = json.dumps({**self.details(), **self.members, "request_id": request_id})
        return Response(body, self.status, self.headers, mimetype=MEDIA_TYPE)
