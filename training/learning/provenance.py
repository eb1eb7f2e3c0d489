"""Where a release comes from: the commit, the data, the configuration, the tools and the machines."""

from __future__ import annotations

import hashlib
import json
import os
import platform
from dataclasses import asdict
from importlib import metadata
from pathlib import Path
from typing import Any

import tensorflow as tf

from training import runs
from training.config import ConvertConfig, TrainConfig
from training.data import shards
from training.data.readers import ORIGIN_FILE
from training.files import write_text
from training.git import commit
from training.registry.releases import release_at

# Beside a run: on which machines it was trained, one more for each time it was continued, and from which releases.
_MAKING = "making.json"
_TOOLS = ("keras", "pillow", "numpy", "ai-edge-litert")


def provenance(data: Path, trained: Path, config: ConvertConfig) -> dict[str, Any]:
    """What the manifest states about the making of a model.

    Args:
        data: what `prepare` wrote.
        trained: the run.
        config: of the conversion, which is under way.
    """
    found, here = runs.load(trained), environment()
    return {
        "commit": commit(),
        "pipeline": os.environ.get("CI_PIPELINE_URL", ""),
        "data": asdict(shards.fingerprint(data)),
        "source": _read(data / ORIGIN_FILE),
        "preset": found.preset,
        "config": asdict(found.config),
        "devices": found.devices,
        "epochs": len(runs.history(trained)),
        "convert": asdict(config),
        "tools": here["tools"],
        "trained": _read(trained / _MAKING),
        "converted": here,
    }


def remember(folder: Path, config: TrainConfig) -> None:
    """Note beside a run that it is trained here, and which releases it starts and learns from, by their digest."""
    uris = [uri for uri in (config.init_from, *config.teachers) if uri]
    releases = {uri: release_at(uri) for uri in uris}
    making = _read(folder / _MAKING)
    making = {
        "on": [*making.get("on", []), environment()],
        "releases": {uri: release for uri, release in releases.items() if release},
    }
    write_text(folder / _MAKING, json.dumps(making, indent=1) + "\n")


def environment() -> dict[str, Any]:
    """Where a step runs: GitLab's job and image, if it is one's, the machine, the tools and the lock they come from."""
    return {
        "job": os.environ.get("CI_JOB_URL", ""),
        "image": os.environ.get("CI_JOB_IMAGE", ""),
        "machine": _machine(),
        "tools": {
            "python": platform.python_version(),
            **{name: metadata.version(name) for name in _TOOLS},
            "tensorflow": tf.__version__,
        },
        "lock": _lock(),
    }


def _machine() -> dict[str, Any]:
    """What floating-point sums depend on: the same training on another machine is the same within noise only."""
    details = [tf.config.experimental.get_device_details(gpu) for gpu in tf.config.list_physical_devices("GPU")]
    return {
        "system": f"{platform.system()} {platform.machine()}",
        "processor": _processor(),
        # those that this process may use: as many parts TensorFlow splits its sums into
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "gpus": [str(detail.get("device_name", "unknown")) for detail in details],
    }


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.is_file() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()


def _lock() -> dict[str, str]:
    """The requirements that this environment is set up from: those of the TensorFlow that is installed."""
    try:
        metadata.version("tensorflow-cpu")
        file = Path("training/requirements-cpu.txt")
    except metadata.PackageNotFoundError:
        file = Path("training/requirements-gpu.txt")
    path = Path(__file__).parents[1] / file.name
    digest = hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else ""
    return {"file": file.as_posix(), "sha256": digest}


def _read(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(path.read_text()) if path.is_file() else {}
    return found
