"""Small releases that the function's own reader takes: every field of the manifest, and a model of random bytes."""

from __future__ import annotations

import hashlib
import json
import random

from serving.release import FORMAT, MANIFEST
from training.registry.registry import Registry

MODEL = "model.tflite"


def release(version: str, size: int = 2000, created: str = "2026-11-01T00:00:00+00:00") -> dict[str, bytes]:
    """The files of one release, the same ones whenever it is asked for.

    Args:
        version: its name, which its contents depend on.
        size: bytes of the model.
        created: the time in its manifest.
    """
    model = random.Random(version).randbytes(size)  # noqa: S311
    manifest = {
        "format": FORMAT,
        "name": "age-gender",
        "version": version,
        "created": created,
        "model": {"file": MODEL, "sha256": hashlib.sha256(model).hexdigest()},
        "input": {"size": 160, "resize": "bilinear"},
        "heads": {"gender": {"labels": ["male", "female"]}, "ethnicity": {"labels": ["a", "b"]}},
        "calibration": {
            "age_decision": {"near_years": 5, "miss_cost": 2.0},
            "age": {"at": [0.0, 100.0], "low": [0.1, 0.1], "high": [0.9, 0.9]},
            "gender": {"temperature": 1.0},
            "ethnicity": {"temperature": 1.0},
        },
        "metrics": {"age_mae": {"value": 5.0}, "gender_accuracy": {"value": 0.9}},
        "provenance": {"preset": "smoke"},
    }
    # The manifest neither first nor last by name: its place is not the alphabet's doing.
    return {MANIFEST: json.dumps(manifest).encode(), "card.md": b"a card", "report.html": b"<p>" * 100, MODEL: model}


def publish(registry: Registry, *versions: str) -> None:
    """Releases of these versions."""
    for version in versions:
        registry.publish(version, release(version))


def versions(registry: Registry) -> list[str]:
    """Of the complete releases."""
    return [manifest["version"] for manifest in registry.releases()]


def half(registry: Registry, version: str) -> None:
    """What a publisher leaves that was killed."""
    registry.begin(version, release(version))
    registry.storage.create(f"{version}/{MODEL}", release(version)[MODEL])
