"""One line of the function's log, however it was stored."""

from __future__ import annotations

import json
from typing import Any, NamedTuple

from serving import manifest_v3


class NotARequestError(Exception):
    """The line does not log a request to the function."""


class Entry(NamedTuple):
    """The parts of a line. Cloud Logging moves the last two into its own entry."""

    fields: dict[str, Any]
    """The function's fields, under today's names."""
    http: dict[str, Any]
    """`httpRequest`."""
    time: str
    """ISO 8601, "" without one."""


def parse(line: bytes) -> Entry:
    """Return the parts of a line of the function.

    Raises:
        NotARequestError: it is another line.
        ValueError, TypeError, RecursionError: it is damaged.
    """
    entry = as_object(json.loads(_json(line)))
    if isinstance(text := entry.get("log"), str) and "release" not in entry:
        # Docker's json-file driver and log collectors wrap each line.
        return parse(text.strip().encode())
    fields = as_object(entry.get("jsonPayload", entry))
    http = entry.get("httpRequest") or fields.get("httpRequest")
    if "release" not in fields or not http:
        raise NotARequestError
    return Entry(_renamed(fields), as_object(http), entry.get("timestamp") or fields.get("time", ""))


def as_object(value: Any) -> dict[str, Any]:
    """Return a JSON object.

    Raises:
        TypeError: the value is none.
    """
    if not isinstance(value, dict):
        raise TypeError(f"{value!r} is not an object")
    return value


def _json(line: bytes) -> bytes:
    """Return a line from its first brace on: kubectl, Docker Compose and others write a time or a name before it."""
    before, brace, rest = line.partition(b"{")
    if not brace or (before and b'"release"' not in rest):
        # A line of the runtime or the server.
        raise NotARequestError
    return brace + rest


def _renamed(fields: dict[str, Any]) -> dict[str, Any]:
    """Return a line of a function that served format 3 with today's names."""
    if fields.keys().isdisjoint(manifest_v3.LOG_FIELDS):
        return fields
    renamed = {manifest_v3.LOG_FIELDS.get(name, name): value for name, value in fields.items()}
    if isinstance(warnings := renamed.get("warnings"), dict):
        codes = manifest_v3.WARNING_CODES
        renamed["warnings"] = {codes.get(code, code): count for code, count in warnings.items()}
    return renamed
