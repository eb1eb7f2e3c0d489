"""Where a release comes from: the commit, the data, the configuration and the tools."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

import tensorflow as tf

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


def commit() -> str:
    """GitLab's commit, or the working copy's with "+" where it was changed since; "" where there is neither."""
    if "CI_COMMIT_SHA" in os.environ:
        return os.environ["CI_COMMIT_SHA"]
    git = shutil.which("git")
    if git is None:
        return ""
    command = [git, "describe", "--always", "--abbrev=40", "--dirty=+", "--exclude=*"]
    folder = Path(__file__).parent
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False).stdout.strip()  # noqa: S603
