"""Who asks a private service: an identity token for its address."""

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
    """A token for the service at that https:// address; "" for one on loopback, which asks for none.

    Raises:
        StepError: the credentials can make none.
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
            f"no identity token for {audience}: {error}; act as a service account that may invoke the service, for "
            "example by `gcloud auth application-default login --impersonate-service-account=…`"
        ) from error


def _gitlabs() -> impersonated_credentials.Credentials | None:
    """The account that GitLab's identity may act as; None where the credentials are of another kind.

    The credential file as it is makes access tokens of the account, which has itself no right to make identity tokens.
    GitLab's own identity, that of the file without the account, has that right.
    """
    path = Path(os.environ.get("GOOGLE_APPLICATION_CREDENTIALS", ""))
    stated = json.loads(path.read_text()) if path.is_file() else {}
    account = re.search(r"/serviceAccounts/([^/:]+):", stated.get("service_account_impersonation_url", ""))
    if stated.get("type") != "external_account" or account is None:
        return None
    own = {name: value for name, value in stated.items() if not name.startswith("service_account_impersonation")}
    source = identity_pool.Credentials.from_info(own, scopes=[_SCOPE])
    return impersonated_credentials.Credentials(source, account[1], [_SCOPE])
