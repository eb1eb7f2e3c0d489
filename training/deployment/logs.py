"""What Cloud Logging has of a revision's requests."""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
from google.cloud import logging as cloud_logging

from training.deployment.clients import READING, calling, logging_client
from training.deployment.resources import ServiceName

# of one revision, the newest: a page of the log, of which 60 a minute may be read
MOST_REQUESTS = 1000
# what Cloud Run itself writes of each request, those included that the function never saw
_REQUESTS = "run.googleapis.com%2Frequests"
_OUTPUT = "run.googleapis.com%2Fstderr"
# of these, as many as tell why a start failed
_LINES = 5
# seconds that the log may be behind
_BEHIND = 15


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


class ServiceLog:
    """The log of one service."""

    def __init__(self, service: ServiceName) -> None:
        """Raises StepError where there are no credentials."""
        self._service = service
        self._client = logging_client(service.project)

    def seen(self, revision: str, since: datetime) -> Seen:
        """Its requests since then, the newest `MOST_REQUESTS`.

        Raises:
            StepError: the log cannot be read.
        """
        entries = self._entries(self._filter(_REQUESTS, revision, since), MOST_REQUESTS)
        found = [entry.http_request for entry in entries if entry.http_request]
        latencies = [float(request["latency"].rstrip("s")) for request in found if "latency" in request]
        errors = sum(int(request.get("status", 0)) >= 500 for request in found)
        return Seen(len(found), errors, float(np.percentile(latencies, 95)) if latencies else 0.0)

    def complaint(self, revision: str, since: datetime) -> str:
        """The last error that it wrote itself, rather why a request failed than that it did; "" where it wrote none."""
        found = self._entries(f"{self._filter(_OUTPUT, revision, since)} AND severity>=ERROR", 2 * _LINES)
        return _text(min(found, key=lambda entry: entry.http_request is not None)) if found else ""

    def last_lines(self, revision: str) -> str:
        """What it wrote last, and why it ended if it did; waits a little for the log."""
        since, deadline = datetime.now(UTC) - timedelta(hours=1), time.monotonic() + _BEHIND
        while not (found := self._entries(self._filter(_OUTPUT, revision, since), _LINES)):
            if time.monotonic() > deadline:
                break
            time.sleep(1)
        return "\n".join(_text(entry) for entry in reversed(found))

    def _entries(self, terms: str, count: int) -> list[Any]:
        """The newest that fit, the newest first."""

        def listed() -> list[Any]:
            newest = cloud_logging.DESCENDING
            return list(self._client.list_entries(filter_=terms, order_by=newest, max_results=count, page_size=count))

        with calling(f"the log of {self._service.name}"):
            return list(READING(listed)())

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


def _text(entry: Any) -> str:
    payload = entry.payload
    return str(payload.get("message", payload) if isinstance(payload, dict) else payload)
