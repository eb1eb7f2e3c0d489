"""Clients of Google Cloud over REST, with gcloud's endpoint overrides.

Production uses REST too, so the tests exercise the same wire format.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from google.api_core.exceptions import Conflict, GoogleAPIError, PreconditionFailed
from google.api_core.retry import Retry
from google.auth.credentials import AnonymousCredentials
from google.auth.exceptions import GoogleAuthError
from google.cloud import logging as cloud_logging

from training.errors import StepError
from training.registry.gcs import told
from training.registry.storage import ConflictError

# Retries reads on 5xx, 429 and connection errors, for at most 60 s.
READING = Retry(initial=0.5, maximum=10.0, timeout=60.0)


def override(api: str) -> str:
    """Return the endpoint of an API (RUN, CLOUDBUILD, LOGGING) from gcloud's variable, or "" for Google's endpoint."""
    return os.environ.get(f"CLOUDSDK_API_ENDPOINT_OVERRIDES_{api}", "").rstrip("/")


def client(kind: Any, api: str) -> Any:
    """Return a client of one of Google's generated libraries."""
    with calling("Google Cloud"):
        address = override(api)
        if not address:
            return kind(transport="rest")
        return kind(transport=kind.get_transport_class("rest")(host=address, credentials=AnonymousCredentials()))


def logging_client(project: str) -> cloud_logging.Client:
    """Return a client of Cloud Logging, whose library is handwritten.

    Raises:
        StepError: There are no credentials.
    """
    address = override("LOGGING")
    options = {"client_options": {"api_endpoint": address}, "credentials": AnonymousCredentials()} if address else {}
    with calling("Cloud Logging"):
        return cloud_logging.Client(project=project, _use_grpc=False, **options)


@contextmanager
def calling(what: str) -> Iterator[None]:
    """Turn errors of Google's libraries into step errors.

    Raises:
        ConflictError: Another process changed the resource concurrently.
        StepError: Any other error of Google Cloud, or missing credentials.
    """
    try:
        yield
    except (Conflict, PreconditionFailed) as error:
        raise ConflictError(f"another process changed {what} concurrently; check it and try again") from error
    except (GoogleAPIError, GoogleAuthError) as error:
        raise StepError(f"{what}: {told(error)}") from error
