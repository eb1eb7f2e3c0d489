"""Error responses of Google APIs."""

from __future__ import annotations

_STATUSES = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    409: "ABORTED",
}


class ApiError(Exception):
    """An error as google.rpc.Status over HTTP."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code

    def body(self) -> dict[str, object]:
        return {"error": {"code": self.code, "status": _STATUSES[self.code], "message": str(self)}}
