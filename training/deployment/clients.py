"""Google's client libraries as they are used here: over REST, at gcloud's endpoint overrides where they are set.

REST also where nothing is overridden: what the tests see on the wire is what the cloud gets.
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

# Reading may be repeated: 5xx, 429 and broken connections, for a minute at most.
READING = Retry(initial=0.5, maximum=10.0, timeout=60.0)


def override(api: str) -> str:
    """Where gcloud's own variable says that an API (RUN, CLOUDBUILD, LOGGING) is; "" for Google's address."""
    return os.environ.get(f"CLOUDSDK_API_ENDPOINT_OVERRIDES_{api}", "").rstrip("/")


def client(kind: Any, api: str) -> Any:
    """A client of one of Google's generated libraries."""
    with calling("Google Cloud"):
        address = override(api)
        if not address:
            return kind(transport="rest")
        return kind(transport=kind.get_transport_class("rest")(host=address, credentials=AnonymousCredentials()))


def logging_client(project: str) -> cloud_logging.Client:
    """A client of Cloud Logging, whose library is none of the generated ones.

    Raises:
        StepError: there are no credentials.
    """
    address = override("LOGGING")
    options = {"client_options": {"api_endpoint": address}, "credentials": AnonymousCredentials()} if address else {}
    with calling("Cloud Logging"):
        return cloud_logging.Client(project=project, _use_grpc=False, **options)


@contextmanager
def calling(what: str) -> Iterator[None]:
    """Have a refused or failed call end the step with a sentence.

    Raises:
        ConflictError: somebody else changed it meanwhile.
        StepError: anything else that Google answers, or no credentials.
    """
    try:
        yield
    except (Conflict, PreconditionFailed) as error:
        raise ConflictError(f"{what} was changed by somebody else meanwhile; look at it and try again") from error
    except (GoogleAPIError, GoogleAuthError) as error:
        raise StepError(f"{what}: {told(error)}") from error
