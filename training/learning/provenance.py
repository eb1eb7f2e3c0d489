"""Provenance of a release: commit, data, configuration, tools and machines."""

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
from training.config import BUNDLED, ConvertConfig, TrainConfig
from training.data import shards
from training.data.shards import ORIGIN_FILE
from training.files import write_text
from training.git import commit
from training.learning import other_faces
from training.registry.addresses import parse
from training.registry.releases import release_at

# In a run's folder: the machines of the training, one more for each resume, and the releases it started from.
_MAKING = "making.json"
_TOOLS = ("keras", "pillow", "numpy", "ai-edge-litert")


def provenance(data: Path, trained: Path, config: ConvertConfig) -> dict[str, Any]:
    """Return the provenance section of the manifest.

    Args:
        data: output of `prepare`.
        trained: folder of the run.
        config: configuration of the running conversion.
    """
    found, here, made = runs.load(trained), environment(), _read(trained / _MAKING)
    releases = made.get("releases", {})
    names = {uri: _name(uri, release) for uri, release in releases.items()}
    if releases:
        made["releases"] = {names[uri]: release for uri, release in releases.items()}
    return {
        "commit": commit(),
        "pipeline": os.environ.get("CI_PIPELINE_URL", ""),
        "data": shards.fingerprint(data).stated(),
        "source": _read(data / ORIGIN_FILE),
        "preset": found.preset,
        "config": _renamed(asdict(found.config), names),
        "devices": found.devices,
        "epochs": len(runs.history(trained)),
        "convert": asdict(config),
        "tools": here["tools"],
        "trained": made,
        **other_faces.stated(trained),
        "converted": here,
    }


def remember(folder: Path, config: TrainConfig) -> None:
    """Record in a run's folder this machine, and version and digest of the releases that the run starts from."""
    uris = [uri for uri in (config.init_from, *config.teachers) if uri]
    releases = {uri: release_at(uri) for uri in uris}
    making = _read(folder / _MAKING)
    making = {
        "on": [*making.get("on", []), environment()],
        "releases": {uri: release for uri, release in releases.items() if release},
    }
    write_text(folder / _MAKING, json.dumps(making, indent=1) + "\n")


def _name(uri: str, release: dict[str, str]) -> str:
    """Return the name of a release in a manifest: a local folder says nothing elsewhere, so its version is named."""
    return uri if uri == BUNDLED or parse(uri).bucket else release["version"]


def _renamed(config: dict[str, Any], names: dict[str, str]) -> dict[str, Any]:
    """Return a configuration that calls the releases of the training by these names."""
    initial, teachers = config["init_from"], config["teachers"]
    return config | {
        "init_from": names.get(initial, initial),
        "teachers": [names.get(teacher, teacher) for teacher in teachers],
    }


def environment() -> dict[str, Any]:
    """Return GitLab's job and image, the machine, the versions of the tools, and their lock file."""
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
    """Return what floating-point sums depend on. Another machine gives the same training within noise only."""
    details = [tf.config.experimental.get_device_details(gpu) for gpu in tf.config.list_physical_devices("GPU")]
    return {
        "system": f"{platform.system()} {platform.machine()}",
        "processor": _processor(),
        # Cores that this process may use. TensorFlow splits its sums into as many parts.
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "gpus": [str(detail.get("device_name", "unknown")) for detail in details],
    }


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text(encoding="utf-8", errors="replace").splitlines() if cpuinfo.is_file() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()


def _lock() -> dict[str, str]:
    """Return name and digest of the lock file of the installed TensorFlow."""
    try:
        metadata.version("tensorflow-cpu")
        file = Path("training/requirements-cpu.txt")
    except metadata.PackageNotFoundError:
        file = Path("training/requirements-gpu.txt")
    path = Path(__file__).parents[1] / file.name
    digest = hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else ""
    return {"file": file.as_posix(), "sha256": digest}


def _read(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    return found
