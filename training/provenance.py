"""Where a release comes from: the commit, the data, the configuration and the tools."""

from __future__ import annotations

import os
import platform
from dataclasses import asdict
from importlib.metadata import version
from typing import Any

import tensorflow as tf

from training.commits import commit
from training.run import Run
from training.shards import Fingerprint


def provenance(fingerprint: Fingerprint, run: Run, epochs: int) -> dict[str, Any]:
    """What the manifest states about the making of a model."""
    return {
        "commit": commit(),
        "pipeline": os.environ.get("CI_PIPELINE_URL", ""),
        "data": asdict(fingerprint),
        "preset": run.preset,
        "config": asdict(run.config),
        "epochs": epochs,
        "tools": {
            "python": platform.python_version(),
            **{name: version(name) for name in ("keras", "pillow", "numpy", "ai-edge-litert")},
            "tensorflow": tf.__version__,
        },
    }
