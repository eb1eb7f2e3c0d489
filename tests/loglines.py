"""Synthetic log lines of the function, as written and as entries of Cloud Logging."""

from __future__ import annotations

import json
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
