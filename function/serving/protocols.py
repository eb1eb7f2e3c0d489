"""Responses of other model servers' protocols: KServe's Open Inference Protocol (V2), TensorFlow Serving."""

from __future__ import annotations

from typing import Any

from serving.heads import AGE, width
from serving.release import Release


def server_metadata(release: Release) -> dict[str, Any]:
    """Return the server metadata of the Open Inference Protocol. The one release is the server."""
    return {"name": release.name, "version": release.version, "extensions": []}


def model_metadata(release: Release, heads: tuple[str, ...]) -> dict[str, Any]:
    """Return the model metadata of the Open Inference Protocol: the network's tensors, -1 for any number of faces."""
    widths = {head: width(labels) for head, labels in release.labels.items()}
    widths[AGE] = release.manifest["heads"][AGE]["classes"]
    return {
        "name": release.name,
        "versions": [release.version],
        "platform": "tensorflow_tflite",
        "inputs": [_tensor("pixels", -1, release.size, release.size, 3)],
        "outputs": [_tensor(head, -1, widths[head]) for head in heads],
    }


def _tensor(name: str, *shape: int) -> dict[str, Any]:
    return {"name": name, "datatype": "FP32", "shape": list(shape)}


def model_ready(release: Release) -> dict[str, Any]:
    """Return the model readiness of the Open Inference Protocol: always true, or the function had not started."""
    return {"name": release.name, "ready": True}


def model_status(release: Release) -> dict[str, Any]:
    """Return the model status of TensorFlow Serving."""
    status = {"error_code": "OK", "error_message": ""}
    return {"model_version_status": [{"version": release.version, "state": "AVAILABLE", "status": status}]}
