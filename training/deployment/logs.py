"""Requests and errors of a revision in Cloud Logging."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from typing import Any

import numpy as np
from google.cloud import logging as cloud_logging

from serving.text import printable_lines
from training.deployment.clients import READING, calling, logging_client
from training.deployment.resources import ServiceName
from training.stability import Counts

# The newest requests of a revision that one read returns, in pages of PAGE. Cloud Logging allows 60 pages a minute.
MOST_REQUESTS = 2000
PAGE = 1000
# Begins the request ids of the rollout's own requests. Their answers are no users' answers.
PROBE = "rollout-"
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
    """Without those that found no free instance."""
    errors: int = 0
    """Responses with a 5xx status other than 501."""
    latencies: tuple[float, ...] = ()
    """In seconds."""
    refused: int = 0
    """Responses with a 4xx status."""
    limited: int = 0
    """Further requests: Cloud Run answered 429 before they reached the revision."""
    answers: dict[str, Counts] = field(default_factory=dict)
    """Predictions for users by measure (a head, `warnings`) and bin."""
    answered: int = 0
    """Requests of users with predictions."""
    window: float = 0.0
    """Seconds in which these requests came, up to the time of the read."""

    @property
    def p95(self) -> float:
        """Return the 95th percentile of the latency in seconds, 0 without requests."""
        return float(np.percentile(self.latencies, 95)) if self.latencies else 0.0

    def slower(self, seconds: float) -> int:
        """Return the number of requests that took longer."""
        return sum(latency > seconds for latency in self.latencies)

    def __str__(self) -> str:
        counts = f"{self.requests} requests, {self.errors} failed, {self.refused} refused"
        full = f", {self.limited} found no free instance (429)" if self.limited else ""
        return f"{counts}{full}, 95 % within {self.p95:.3f} s"


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
        reached = [request for request in found if int(request.get("status", 0)) != HTTPStatus.TOO_MANY_REQUESTS]
        statuses = [int(request.get("status", 0)) for request in reached]
        answers, answered = self._answers(revision, since)
        begin = entries[-1].timestamp if len(entries) >= MOST_REQUESTS else since
        return RequestLog(
            requests=len(reached),
            errors=sum(map(_failed, statuses)),
            latencies=tuple(float(request["latency"].rstrip("s")) for request in reached if "latency" in request),
            refused=sum(map(_refused, statuses)),
            limited=len(found) - len(reached),
            answers=answers,
            answered=answered,
            window=(datetime.now(UTC) - begin).total_seconds(),
        )

    def _answers(self, revision: str, since: datetime) -> tuple[dict[str, Counts], int]:
        """Return what the function's own lines count for users: predictions and warnings, and the requests with any."""
        answers: dict[str, Counter[str]] = {}
        answered = 0
        for entry in self._entries(self._filter(_OUTPUT, revision, since), MOST_REQUESTS):
            line = entry.payload if isinstance(entry.payload, dict) else {}
            predictions = line.get("predictions")
            if not isinstance(predictions, dict) or str(line.get("request_id", "")).startswith(PROBE):
                continue
            counted = [sum(bins.values()) for bins in predictions.values()]
            images = int(max(counted, default=0))
            warned = line.get("warnings", {})
            rest = {"none": max(0, images - int(sum(warned.values())))}
            for measure, bins in {**predictions, "warnings": {**warned, **rest}}.items():
                answers.setdefault(measure, Counter()).update({name: int(count) for name, count in bins.items()})
            answered += bool(images)
        return {measure: dict(bins) for measure, bins in answers.items()}, answered

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
            return list(
                self._client.list_entries(filter_=terms, order_by=newest, max_results=count, page_size=min(count, PAGE))
            )

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


def _refused(status: int) -> bool:
    return HTTPStatus.BAD_REQUEST <= status < HTTPStatus.INTERNAL_SERVER_ERROR


def _text(entry: Any) -> str:
    payload = entry.payload
    return printable_lines(str(payload.get("message", payload) if isinstance(payload, dict) else payload))
