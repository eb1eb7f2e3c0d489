"""Fake Security Token Service and IAM Service Account Credentials: tokens for GitLab's token."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import flask

from tests.fake_gcp import tokens
from tests.fake_gcp.access import Access
from tests.fake_gcp.errors import ApiError

AUDIENCE = "age-gender-detection"
_EXCHANGE = {
    "grant_type": "urn:ietf:params:oauth:grant-type:token-exchange",
    "requested_token_type": "urn:ietf:params:oauth:token-type:access_token",
    "subject_token_type": "urn:ietf:params:oauth:token-type:jwt",
}
_SECONDS = 3600


def routes(app: flask.Flask, access: Access) -> None:
    """Add the routes of both services."""

    @app.post("/v1/token")
    def exchange() -> dict[str, Any] | tuple[dict[str, Any], int]:
        form = flask.request.form
        for name, expected in _EXCHANGE.items():
            if form.get(name) != expected:
                return {"error": "invalid_request", "error_description": f"{name} is {form.get(name)}"}, 400
        try:
            assertion = tokens.claims(form["subject_token"], AUDIENCE)
            members = access.federated(form["audience"], assertion)
        except ApiError as error:
            return {"error": "invalid_grant", "error_description": str(error)}, 400
        return {
            "access_token": tokens.issue(tokens.ACCESS, _SECONDS, members=members),
            "issued_token_type": _EXCHANGE["requested_token_type"],
            "token_type": "Bearer",
            "expires_in": _SECONDS,
        }

    @app.post("/v1/projects/-/serviceAccounts/<account>:generateAccessToken")
    def generate_access_token(account: str) -> dict[str, str]:
        member = _member(access, account, "iam.serviceAccounts.getAccessToken")
        expires = datetime.now(UTC) + timedelta(seconds=_SECONDS)
        token = tokens.issue(tokens.ACCESS, _SECONDS, members=[member])
        return {"accessToken": token, "expireTime": expires.strftime("%Y-%m-%dT%H:%M:%SZ")}

    @app.post("/v1/projects/-/serviceAccounts/<account>:generateIdToken")
    def generate_id_token(account: str) -> dict[str, str]:
        member = _member(access, account, "iam.serviceAccounts.getOpenIdToken")
        return {"token": tokens.issue(flask.request.get_json()["audience"], _SECONDS, members=[member], email=account)}


def caller(authorization: str | None) -> list[str]:
    """Return the members that the bearer of an access token is.

    Raises:
        ApiError: 401 without a valid one.
    """
    members: list[str] = tokens.claims(tokens.bearer(authorization), tokens.ACCESS)["members"]
    return members


def _member(access: Access, account: str, permission: str) -> str:
    """Return the account as grants name it, if the caller may act as it."""
    member = account.partition("@")[0]
    access.require(caller(flask.request.headers.get("Authorization")), permission, f"account {member}")
    return member
