"""Synthetic log lines of the function, as written and as entries of Cloud Logging."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from typing import Any

from serving.release import MANIFEST
from tests.conftest import FUNCTION

Line = dict[str, Any]

BUNDLED = FUNCTION / "model"
RELEASE: str = json.loads((BUNDLED / MANIFEST).read_text())["version"]


def line(age: str = "20-39", gender: str = "female", **others: Any) -> Line:
    """Return the line of a request with one image; `others` replaces fields."""
    return {
        "severity": "INFO",
        "time": "2026-11-25T10:00:00.000000+00:00",
        "message": "POST /predict 200 in 5.0 ms",
        "httpRequest": {
            "requestMethod": "POST",
            "requestUrl": "/predict",
            "status": 200,
            "responseSize": "300",
            "latency": "0.005000s",
        },
        "request_id": "0" * 32,
        "release": RELEASE,
        "images": 1,
        "failed": 0,
        "predictions": {"age": {age: 1}, "gender": {gender: 1}},
        "sides": {"128-255": 1},
        "formats": {"JPEG": 1},
    } | others


def with_http(status: int, method: str = "POST", path: str = "/predict", **others: Any) -> Line:
    """Return a line with any status, and without images unless `others` has them."""
    http = {"requestMethod": method, "requestUrl": path, "status": status, "responseSize": "9", "latency": "0.1s"}
    counted = {"images", "failed", "predictions", "sides", "formats"}
    return {name: value for name, value in line(httpRequest=http).items() if name not in counted} | others


def entry(written: Line, revision: str = "faces-00007-abc") -> Line:
    """Return the entry of Cloud Logging for a line of a Cloud Run service. Known fields move out of jsonPayload."""
    payload = {**written}
    moved = {"httpRequest": payload.pop("httpRequest", None), "timestamp": payload.pop("time")}
    return {
        "insertId": "5fbe2b1c000a3d8f5c1d2e3f",
        "jsonPayload": payload,
        **{name: value for name, value in moved.items() if value},
        "severity": payload.pop("severity"),
        "logName": "projects/some-project/logs/run.googleapis.com%2Fstderr",
        "receiveTimestamp": "2026-11-25T10:00:01.123456789Z",
        "resource": {
            "type": "cloud_run_revision",
            "labels": {"service_name": "faces", "revision_name": revision, "location": "europe-west1"},
        },
    }


def written(lines: list[Line]) -> bytes:
    """Return the content of a log file."""
    return b"".join(json.dumps(line).encode() + b"\n" for line in lines)


def _docker(lines: list[Line]) -> bytes:
    wrapped = [{"log": json.dumps(line) + "\n", "stream": "stderr", "time": line["time"]} for line in lines]
    return written(wrapped)


def _prefixed(prefix: str) -> Callable[[list[Line]], bytes]:
    return lambda lines: b"".join(prefix.encode() + one for one in written(lines).splitlines(keepends=True))


def _array(indent: int | None) -> Callable[[list[Line]], bytes]:
    return lambda lines: json.dumps([entry(line) for line in lines], indent=indent).encode()


# How other tools store the function's log.
STORED: dict[str, Callable[[list[Line]], bytes]] = {
    "docker json-file": _docker,
    "kubectl --timestamps": _prefixed("2026-11-25T10:00:00.123456789Z "),
    "kubectl --prefix": _prefixed("[pod/faces-5d4f/faces] "),
    "container runtime": _prefixed("2026-11-25T10:00:00.123456789Z stderr F "),
    "docker compose": _prefixed("faces-1  | "),
    "docker compose in colour": _prefixed("\x1b[36mfaces-1  | \x1b[0m"),
    "gcloud logging read": _array(2),
    "gcloud logging read, one line": _array(None),
    "gcloud logging read, indented objects": lambda lines: b"\n".join(
        json.dumps(entry(line), indent=4).encode() for line in lines
    ),
    "logrotate": lambda lines: gzip.compress(written(lines)),
    "logrotate of docker": lambda lines: gzip.compress(_docker(lines)),
}
