"""Fake Cloud Logging: entries of requests and of standard error, with filters."""

from __future__ import annotations

import json
import random
import re
import threading
from datetime import UTC, datetime, timedelta
from typing import Any

from tests.fake_gcp.errors import ApiError

Entry = dict[str, Any]

REQUESTS = "run.googleapis.com%2Frequests"
STDERR = "run.googleapis.com%2Fstderr"
_SEVERITIES = ("DEFAULT", "DEBUG", "INFO", "NOTICE", "WARNING", "ERROR", "CRITICAL", "ALERT", "EMERGENCY")
_TERM = re.compile(r'([\w.]+)\s*(>=|=)\s*(?:"([^"]*)"|(\w+))')
# fields of a JSON line -> fields of the entry
_LIFTED = {"severity": "severity", "httpRequest": "httpRequest", "logging.googleapis.com/trace": "trace"}


class FakeLog:
    """All entries in order of arrival."""

    def __init__(self) -> None:
        # Seconds after which every entry can be read. Some can much sooner, so entries become readable out of order.
        self.late = 0.0
        # Each with its part of this delay.
        self._entries: list[tuple[Entry, float]] = []
        self._random = random.Random(0)  # noqa: S311 - a test repeats
        self._lock = threading.Lock()

    def request(self, project: str, resource: dict[str, str], http: dict[str, Any]) -> None:
        """Log a request like Cloud Run."""
        severity = "ERROR" if http["status"] >= 500 else "WARNING" if http["status"] >= 400 else "INFO"
        self._add(project, REQUESTS, resource, {"severity": severity, "httpRequest": http})

    def line(self, project: str, resource: dict[str, str], text: str) -> None:
        """Log a line of standard error: JSON as a payload with known fields moved to the entry, else as text."""
        try:
            payload = json.loads(text)
        except ValueError:
            payload = None
        if not isinstance(payload, dict):
            return self._add(project, STDERR, resource, {"textPayload": text})
        lifted = {target: payload.pop(name) for name, target in _LIFTED.items() if name in payload}
        payload.pop("time", None)
        return self._add(project, STDERR, resource, {**lifted, "jsonPayload": payload})

    def listed(self, request: dict[str, Any]) -> dict[str, Any]:
        """Return one page of entries:list."""
        if unknown := request.keys() - {"resourceNames", "filter", "orderBy", "pageSize", "pageToken"}:
            raise ApiError(400, f"unknown fields {sorted(unknown)}")
        projects = {name.removeprefix("projects/") for name in request["resourceNames"]}
        terms = _terms(request.get("filter", ""))
        now, late = datetime.now(UTC), timedelta(seconds=self.late)
        with self._lock:
            found = [
                entry
                for entry, part in self._entries
                if entry["logName"].split("/")[1] in projects
                and datetime.fromisoformat(entry["timestamp"]) + late * part <= now
                and all(_holds(entry, *term) for term in terms)
            ]
        if request.get("orderBy", "timestamp asc") == "timestamp desc":
            found.reverse()
        start = int(request.get("pageToken", 0))
        end = start + int(request.get("pageSize", 50))
        return {"entries": found[start:end], **({"nextPageToken": str(end)} if end < len(found) else {})}

    def _add(self, project: str, log: str, resource: dict[str, str], rest: Entry) -> None:
        entry = {
            "logName": f"projects/{project}/logs/{log}",
            "timestamp": datetime.now(UTC).isoformat().replace("+00:00", "Z"),
            "resource": {"type": "cloud_run_revision", "labels": resource},
            **rest,
        }
        with self._lock:
            # Cloud Logging takes 10 to 60 s, in proportion.
            part = self._random.uniform(1 / 6, 1)
            self._entries.append(({**entry, "insertId": str(len(self._entries))}, part))


def _terms(text: str) -> list[tuple[str, str, str]]:
    """Parse `a="b"` and `a>="b"`, joined by AND or line breaks. Refuse the rest of the filter language."""
    terms, rest = [], text.strip()
    while rest:
        match = _TERM.match(rest)
        if not match:
            raise ApiError(400, f"the filter is not understood at {rest!r}")
        terms.append((match[1], match[2], match[3] if match[3] is not None else match[4]))
        rest = re.sub(r"^(AND\b)?\s*", "", rest[match.end() :].strip())
    return terms


def _holds(entry: Entry, field: str, operator: str, wanted: str) -> bool:
    found: Any = entry
    for name in field.split("."):
        found = found.get(name) if isinstance(found, dict) else None
    if found is None:
        return False
    if operator == "=":
        return str(found) == wanted
    if field == "severity":
        return _SEVERITIES.index(found) >= _SEVERITIES.index(wanted)
    if field == "timestamp":
        return datetime.fromisoformat(found) >= datetime.fromisoformat(wanted)
    raise ApiError(400, f"{field} has no order here")
