"""Bills of materials of images and releases: CycloneDX 1.6 (https://cyclonedx.org/specification/overview)."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from training.errors import StepError

SBOM_FILE = "sbom.json"
LOCK = "requirements.txt"
"""Name of the lock file in the function's folder."""

_MODEL = "machine-learning-model"
# One requirement of a lock file, with its continuation lines joined.
_PIN = re.compile(
    r"(?P<name>[\w.-]+)==(?P<version>[^\s;]+)(?P<marker> ; .+?)?(?: --hash=sha256:[0-9a-f]{64})+", re.ASCII
)
_HASH = re.compile(r"--hash=sha256:(\w+)")
# A tag or a digest at the end of an image's address.
_IMAGE = re.compile(r"(?P<name>.+?)(?::(?P<tag>[\w.-]+))?(?:@sha256:(?P<digest>[0-9a-f]{64}))?", re.ASCII)


@dataclass(frozen=True)
class Model:
    """The model of a release."""

    name: str
    """Name of its release."""
    version: str
    """Version of its release."""
    sha256: str
    """SHA-256 of the model file in hex."""


def of_image(name: str, digest: str, created: str, function: Path, base: str, model: Model) -> str:
    """Return the document for an image of the function as JSON.

    Args:
        name: Name of the image.
        digest: Its digest.
        created: Time of the document, as in ISO 8601.
        function: Folder that it was built from, with its lock file.
        base: Address of the base image, "" if it is unknown.
        model: The model that its first revision serves.

    Raises:
        StepError: The lock file cannot be read.
    """
    components = [
        *_packages(function / LOCK),
        *([_image(base)] if base else []),
        _model("model", model),
        *_detectors(function),
    ]
    return _document(
        {"type": "application", "bom-ref": "function", "name": name, "version": digest}, created, components
    )


def of_release(model: Model, created: str, faces: str, learnt_from: Sequence[Model]) -> str:
    """Return the document for a release as JSON. What serves it is in the document of the image.

    Args:
        model: Its model.
        created: Time of the release, as in ISO 8601.
        faces: SHA-256 of the prepared faces in hex, "" if it is unknown.
        learnt_from: Its initial release and its teachers.
    """
    data = [{"type": "data", "bom-ref": "faces", "name": "faces", "hashes": [_hash(faces)]}] if faces else []
    releases = [_model(f"release {each.version}", each) for each in learnt_from]
    return _document(_model("model", model), created, [*data, *releases])


def _document(subject: dict[str, Any], created: str, components: list[dict[str, Any]]) -> str:
    document = {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {"timestamp": created, "component": subject},
        "components": components,
    }
    return json.dumps(document, indent=1) + "\n"


def _model(reference: str, model: Model) -> dict[str, Any]:
    named = {"name": model.name, "version": model.version}
    return {"type": _MODEL, "bom-ref": reference, **named, "hashes": [_hash(model.sha256)]}


def _packages(lock: Path) -> list[dict[str, Any]]:
    """Return a component for each package of a lock file."""
    try:
        text = lock.read_text(encoding="utf-8")
    except OSError as error:
        raise StepError(f"{lock} cannot be read: {error.strerror}") from error
    lines = [line for line in text.splitlines() if not line.lstrip().startswith("#")]
    joined = re.sub(r"\s*\\\n\s*", " ", "\n".join(lines))
    return [_package(lock, line) for line in joined.splitlines() if line.strip()]


def _package(lock: Path, line: str) -> dict[str, Any]:
    found = _PIN.fullmatch(line.strip())
    if found is None:
        raise StepError(f"{lock} has {line[:60]!r}, which is no pinned version with hashes; run `make lock`")
    name = re.sub(r"[-_.]+", "-", found["name"]).lower()
    # https://github.com/package-url/purl-spec, type pypi.
    purl = f"pkg:pypi/{name}@{quote(found['version'])}"
    return {
        "type": "library",
        "bom-ref": purl,
        "name": name,
        "version": found["version"],
        # The condition of the others is the platform's, for example Windows.
        "scope": "optional" if found["marker"] else "required",
        "hashes": [_hash(digest) for digest in _HASH.findall(line)],
        "purl": purl,
    }


def _detectors(function: Path) -> list[dict[str, Any]]:
    """Return a component for each model that is part of the code."""
    files = sorted((function / "serving").rglob("*.tflite"))
    digests = {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in files}
    return [
        {"type": _MODEL, "bom-ref": name, "name": name, "hashes": [_hash(digest)]} for name, digest in digests.items()
    ]


def _image(address: str) -> dict[str, Any]:
    found = _IMAGE.fullmatch(address)
    if found is None:
        raise StepError(f"{address!r} is no address of an image")
    return {
        "type": "container",
        "bom-ref": "base",
        "name": found["name"],
        **({"version": found["tag"]} if found["tag"] else {}),
        **({"hashes": [_hash(found["digest"])]} if found["digest"] else {}),
    }


def _hash(digest: str) -> dict[str, str]:
    return {"alg": "SHA-256", "content": digest}
