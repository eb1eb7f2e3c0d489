"""Identity tokens for requests to a private service."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from urllib.parse import urlsplit

import google.auth
from google.auth import identity_pool, impersonated_credentials
from google.auth.exceptions import GoogleAuthError
from google.auth.transport.requests import Request
from google.oauth2 import id_token

from training.errors import StepError

_SCOPE = "https://www.googleapis.com/auth/cloud-platform"


def token(audience: str) -> str:
    """Return an identity token for the service at this https:// address, or "" for an http:// address.

    Raises:
        StepError: The credentials cannot create identity tokens.
    """
    if urlsplit(audience).scheme == "http":
        return ""
    try:
        credentials = _gitlabs() or google.auth.default(scopes=[_SCOPE])[0]
        if not isinstance(credentials, impersonated_credentials.Credentials):
            return str(id_token.fetch_id_token(Request(), audience))
        identity = impersonated_credentials.IDTokenCredentials(credentials, audience, include_email=True)
        identity.refresh(Request())
        return str(identity.token)
    except GoogleAuthError as error:
        raise StepError(
            f"no identity token for {audience}: {error}; use a service account that may invoke the service, for "
            "example with `gcloud auth application-default login --impersonate-service-account=…`"
        ) from error


def _gitlabs() -> impersonated_credentials.Credentials | None:
    """Return the service account that GitLab's identity impersonates, or None for other credentials.

    The credential file creates access tokens of the service account, which must not create identity tokens itself.
    GitLab's identity, which is the same file without the impersonation, may create them.
    """
    path = Path(os.environ.get("GOOGLE_APPLICATION_CREDENTIALS", ""))
    stated = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    account = re.search(r"/serviceAccounts/([^/:]+):", stated.get("service_account_impersonation_url", ""))
    if stated.get("type") != "external_account" or account is None:
        return None
    own = {name: value for name, value in stated.items() if not name.startswith("service_account_impersonation")}
    source = identity_pool.Credentials.from_info(own, scopes=[_SCOPE])
    return impersonated_credentials.Credentials(source, account[1], [_SCOPE])
