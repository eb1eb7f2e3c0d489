"""Who asks a private service: an identity token for its address."""

from __future__ import annotations

import json
import os
from pathlib import Path
from urllib.parse import urlsplit

import google.auth
from google.auth import external_account, impersonated_credentials
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
        credentials, _ = google.auth.default(scopes=[_SCOPE])
        if isinstance(credentials, external_account.Credentials):
            credentials = _impersonated(credentials)
        if isinstance(credentials, impersonated_credentials.Credentials):
            identity = impersonated_credentials.IDTokenCredentials(credentials, audience, include_email=True)
            identity.refresh(Request())
            return str(identity.token)
        return str(id_token.fetch_id_token(Request(), audience))
    except GoogleAuthError as error:
        raise StepError(
            f"no identity token for {audience}: {error}; act as a service account that may invoke the service, for "
            "example by `gcloud auth application-default login --impersonate-service-account=…`"
        ) from error


def _impersonated(credentials: external_account.Credentials) -> impersonated_credentials.Credentials:
    """The account that GitLab's identity may act as.

    The credential file makes access tokens only. GitLab's own identity, the file without the account, has the right to
    make identity tokens of that account too; the account itself has not.
    """
    stated = json.loads(Path(os.environ["GOOGLE_APPLICATION_CREDENTIALS"]).read_text())
    own = {name: value for name, value in stated.items() if not name.startswith("service_account_impersonation")}
    source, _ = google.auth.load_credentials_from_dict(own, scopes=[_SCOPE])
    return impersonated_credentials.Credentials(source, credentials.service_account_email, [_SCOPE])
