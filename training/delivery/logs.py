"""What Cloud Logging has of a revision's requests."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import numpy as np
from google.auth.credentials import AnonymousCredentials
from google.cloud import logging as cloud_logging

from training.delivery.clients import calling, override
from training.delivery.names import ServiceName

# of one revision, the newest: a page of the log, of which 60 a minute may be read
MOST_REQUESTS = 1000
# what Cloud Run itself writes of each request, those included that the function never saw
_REQUESTS = "run.googleapis.com%2Frequests"
_OUTPUT = "run.googleapis.com%2Fstderr"


@dataclass(frozen=True)
class Seen:
    """Requests of one revision."""

    requests: int = 0
    # answered with a 5xx
    errors: int = 0
    # seconds, 95th percentile; 0 where there were none
    p95: float = 0.0

    @property
    def error_share(self) -> float:
        """Of all requests, 0 to 1."""
        return self.errors / self.requests if self.requests else 0.0

    def __str__(self) -> str:
        return f"{self.requests} requests, {self.errors} failed, 95 % within {self.p95:.3f} s"


class Log:
    """The log of one service."""

    def __init__(self, service: ServiceName) -> None:
        """Raises StepError where there are no credentials."""
        self._service = service
        address = override("LOGGING")
        options = (
            {"client_options": {"api_endpoint": address}, "credentials": AnonymousCredentials()} if address else {}
        )
        with calling("Cloud Logging"):
            self._client = cloud_logging.Client(project=service.project, _use_grpc=False, **options)

    def seen(self, revision: str, since: datetime) -> Seen:
        """Its requests since then, the newest `MOST_REQUESTS`.

        Raises:
            StepError: the log cannot be read.
        """
        with calling(f"log of {revision}"):
            entries = list(
                self._client.list_entries(
                    filter_=self._filter(_REQUESTS, revision, since),
                    order_by=cloud_logging.DESCENDING,
                    max_results=MOST_REQUESTS,
                    page_size=MOST_REQUESTS,
                )
            )
        found = [entry.http_request for entry in entries if entry.http_request]
        latencies = [float(request["latency"].rstrip("s")) for request in found if "latency" in request]
        errors = sum(int(request.get("status", 0)) >= 500 for request in found)
        return Seen(len(found), errors, float(np.percentile(latencies, 95)) if latencies else 0.0)

    def complaint(self, revision: str, since: datetime) -> str:
        """The first error that it wrote itself; "" where it wrote none."""
        terms = f"{self._filter(_OUTPUT, revision, since)} AND severity>=ERROR"
        with calling(f"log of {revision}"):
            for entry in self._client.list_entries(filter_=terms, max_results=1):
                return str(entry.payload.get("message", "") if isinstance(entry.payload, dict) else entry.payload)
        return ""

    def _filter(self, log: str, revision: str, since: datetime) -> str:
        terms = {
            "logName": f"projects/{self._service.project}/logs/{log}",
            "resource.type": "cloud_run_revision",
            "resource.labels.service_name": self._service.name,
            "resource.labels.location": self._service.region,
            "resource.labels.revision_name": revision,
        }
        named = " AND ".join(f'{field}="{value}"' for field, value in terms.items())
        return f'{named} AND timestamp>="{since.isoformat()}"'
