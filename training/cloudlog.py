"""One entry into a log of Cloud Logging."""

from __future__ import annotations

import os
import re
from typing import Any

from google.api_core.exceptions import GoogleAPIError
from google.auth.credentials import AnonymousCredentials
from google.auth.exceptions import GoogleAuthError
from google.cloud.logging import Client, Resource

from training.errors import StepError

# gcloud's own variable; what it names is a stand-in, which asks for no credentials
_OVERRIDE = "CLOUDSDK_API_ENDPOINT_OVERRIDES_LOGGING"


def write(log: str, fields: dict[str, Any], severity: str) -> None:
    """Write one entry.

    Args:
        log: projects/<project>/logs/<name>.
        fields: its `jsonPayload`.
        severity: Cloud Logging's name of it.

    Raises:
        StepError: that is no log, or it cannot be written.
    """
    named = re.fullmatch(r"projects/([a-z0-9:.-]+)/logs/([A-Za-z0-9_.-]+)", log)
    if named is None:
        raise StepError(f"{log} names no log; write projects/<project>/logs/<name>")
    project, name = named.groups()
    # Named, for the client would look around for it: on a runner that is none of Google's, in vain and for seconds.
    resource = Resource("global", {"project_id": project})
    try:
        _client(project).logger(name, resource=resource).log_struct(fields, severity=severity)
    except (GoogleAPIError, GoogleAuthError, OSError) as error:
        raise StepError(f"{log} cannot be written: {error}") from error


def _client(project: str) -> Client:
    # One entry is not worth a channel of gRPC, which a stand-in does not speak.
    chosen: dict[str, Any] = {"project": project, "_use_grpc": False}
    if endpoint := os.environ.get(_OVERRIDE, "").rstrip("/"):
        chosen["client_options"] = {"api_endpoint": endpoint}
        chosen["credentials"] = AnonymousCredentials()
    return Client(**chosen)
