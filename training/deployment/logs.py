"""Requests and errors of a revision in Cloud Logging."""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from typing import Any

import numpy as np
from google.cloud import logging as cloud_logging

from age_gender.text import printable_lines
from training.deployment.clients import READING, calling, logging_client
from training.deployment.resources import ServiceName

# The newest requests of a revision that one read returns: one page. Cloud Logging allows 60 pages a minute.
MOST_REQUESTS = 1000
# Cloud Run's log of all requests, including those that never reached the function
_REQUESTS = "run.googleapis.com%2Frequests"
_OUTPUT = "run.googleapis.com%2Fstderr"
# last lines of the log that an error message quotes
_LINES = 5
# seconds to wait for the log
_BEHIND = 15


@dataclass(frozen=True)
class RequestLog:
    """Logged requests of one revision."""

    requests: int = 0
    errors: int = 0
    """Responses with a 5xx status other than 501."""
    p95: float = 0.0
    """95th percentile of the latency in seconds, 0 without requests."""

    @property
    def error_share(self) -> float:
        """Share of failed requests, 0 to 1."""
        return self.errors / self.requests if self.requests else 0.0

    def __str__(self) -> str:
        return f"{self.requests} requests, {self.errors} failed, 95 % within {self.p95:.3f} s"


class ServiceLog:
    """The log of one service."""

    def __init__(self, service: ServiceName) -> None:
        """Connect to Cloud Logging.

        Raises:
            StepError: There are no credentials.
        """
        self._service = service
        self._client = logging_client(service.project)

    def requests(self, revision: str, since: datetime) -> RequestLog:
        """Return a revision's requests since `since`, at most the newest `MOST_REQUESTS`.

        Raises:
            StepError: The log cannot be read.
        """
        entries = self._entries(self._filter(_REQUESTS, revision, since), MOST_REQUESTS)
        found = [entry.http_request for entry in entries if entry.http_request]
        latencies = [float(request["latency"].rstrip("s")) for request in found if "latency" in request]
        errors = sum(_failed(int(request.get("status", 0))) for request in found)
        return RequestLog(len(found), errors, float(np.percentile(latencies, 95)) if latencies else 0.0)

    def last_error(self, revision: str, since: datetime) -> str:
        """Return the last error that the function logged, or "". Prefer the cause to the record of a request."""
        found = self._entries(f"{self._filter(_OUTPUT, revision, since)} AND severity>=ERROR", 2 * _LINES)
        return _text(min(found, key=lambda entry: entry.http_request is not None)) if found else ""

    def last_lines(self, revision: str) -> str:
        """Return the last lines that the function logged. Wait up to `_BEHIND` seconds for the log."""
        since, deadline = datetime.now(UTC) - timedelta(hours=1), time.monotonic() + _BEHIND
        while not (found := self._entries(self._filter(_OUTPUT, revision, since), _LINES)):
            if time.monotonic() > deadline:
                break
            time.sleep(1)
        return "\n".join(_text(entry) for entry in reversed(found))

    def _entries(self, terms: str, count: int) -> list[Any]:
        """Return the newest matching entries, newest first."""

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


def _failed(status: int) -> bool:
    """Return whether the service failed. Any caller can provoke a 501, with a request that no revision knows."""
    return status >= HTTPStatus.INTERNAL_SERVER_ERROR and status != HTTPStatus.NOT_IMPLEMENTED


def _text(entry: Any) -> str:
    payload = entry.payload
    return printable_lines(str(payload.get("message", payload) if isinstance(payload, dict) else payload))
