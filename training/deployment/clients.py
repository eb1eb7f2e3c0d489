"""Clients of Google Cloud over REST, which a proxy can read."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from google.api_core.exceptions import Conflict, GoogleAPIError, PreconditionFailed
from google.api_core.retry import Retry
from google.auth.exceptions import GoogleAuthError
from google.cloud import logging as cloud_logging

from training.errors import StepError
from training.registry.gcs import told
from training.registry.storage import ConflictError

# Retries reads on 5xx, 429 and connection errors, for at most 60 s.
READING = Retry(initial=0.5, maximum=10.0, timeout=60.0)


def client(kind: Any) -> Any:
    """Return a client of one of Google's generated libraries.

    Raises:
        StepError: There are no credentials.
    """
    with calling("Google Cloud"):
        return kind(transport="rest")


def logging_client(project: str) -> cloud_logging.Client:
    """Return a client of Cloud Logging, whose library is handwritten.

    Raises:
        StepError: There are no credentials.
    """
    with calling("Cloud Logging"):
        return cloud_logging.Client(project=project, _use_grpc=False)


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
