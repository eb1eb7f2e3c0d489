"""Signed tokens that expire: those of GitLab's jobs, of the federation and of service accounts."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from typing import Any

from tests.fake_gcp.errors import ApiError

# GitLab, the token service and every API are processes of the same test, so one key signs for all.
_KEY = b"of the tests"
_HEADER = {"alg": "HS256", "typ": "JWT"}
ACCESS = "access"
"""Audience of access tokens."""


def issue(audience: str, seconds: float = 3600, **claims: Any) -> str:
    """Return a JSON Web Token that expires in `seconds`."""
    payload = {"aud": audience, "exp": int(time.time() + seconds), **claims}
    signed = ".".join(_encoded(json.dumps(part).encode()) for part in (_HEADER, payload))
    return f"{signed}.{_signature(signed)}"


def claims(token: str, audience: str) -> dict[str, Any]:
    """Return the claims of a token.

    Raises:
        ApiError: 401 if it is no token of these tests, is for another audience, or has expired.
    """
    signed, _, signature = token.rpartition(".")
    if not hmac.compare_digest(signature, _signature(signed)):
        raise ApiError(401, "Request had invalid authentication credentials: no token, or not one of ours.")
    payload = signed.partition(".")[2]
    found: dict[str, Any] = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    if found["aud"] != audience:
        raise ApiError(401, f"Request had invalid authentication credentials: the audience is {found['aud']}.")
    if found["exp"] <= time.time():
        raise ApiError(401, "Request had invalid authentication credentials: the token has expired.")
    return found


def bearer(header: str | None) -> str:
    """Return the token of an Authorization header, or ""."""
    kind, _, token = (header or "").partition(" ")
    return token if kind == "Bearer" else ""


def _signature(signed: str) -> str:
    return _encoded(hmac.digest(_KEY, signed.encode(), hashlib.sha256))


def _encoded(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")
