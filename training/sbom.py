"""Software bill of materials of the function: a document of CycloneDX 1.6 (https://cyclonedx.org/specification/overview)."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from training.errors import StepError

SBOM_FILE = "sbom.json"
LOCK = "requirements.txt"
"""Name of the lock file in the function's folder."""

_MODEL = "machine-learning-model"
_DOCKERFILE = Path(__file__).parents[1] / "Dockerfile"
_BASE = re.compile(r"^FROM (\S+) AS function$", re.MULTILINE)
# One requirement of a lock file, with its continuation lines joined.
_PIN = re.compile(
    r"(?P<name>[\w.-]+)==(?P<version>[^\s;]+)(?P<marker> ; .+?)?(?: --hash=sha256:[0-9a-f]{64})+", re.ASCII
)
_HASH = re.compile(r"--hash=sha256:(\w+)")
# A tag or a digest at the end of an image's address.
_IMAGE = re.compile(r"(?P<name>.+?)(?::(?P<tag>[\w.-]+))?(?:@sha256:(?P<digest>[0-9a-f]{64}))?", re.ASCII)


@dataclass(frozen=True)
class Model:
    """The model that a function serves."""

    name: str
    """Name of its release."""
    version: str
    """Version of its release."""
    sha256: str
    """SHA-256 of the model file in hex."""


def bill(name: str, version: str, created: str, function: Path, base: str, model: Model) -> str:
    """Return the document as JSON.

    Args:
        name: Name of what has these components.
        version: Its version.
        created: Time of the document, as in ISO 8601.
        function: Folder of the function, with its lock file.
        base: Address of the base image, "" if it is unknown.
        model: The model that is served.

    Raises:
        StepError: The lock file cannot be read.
    """
    served = {"name": model.name, "version": model.version, "hashes": [_hash(model.sha256)]}
    components = [
        *_packages(function / LOCK),
        *([_image(base)] if base else []),
        {"type": _MODEL, "bom-ref": "model", **served},
        *_detectors(function),
    ]
    subject = {"type": "application", "bom-ref": "function", "name": name, "version": version}
    document = {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {"timestamp": created, "component": subject},
        "components": components,
    }
    return json.dumps(document, indent=1) + "\n"


def dockerfile_base() -> str:
    """Return the function's base image in the Dockerfile, "" where there is none, as in the image itself."""
    if not _DOCKERFILE.is_file():
        return ""
    found = _BASE.search(_DOCKERFILE.read_text(encoding="utf-8"))
    if found is None:
        raise StepError(f"{_DOCKERFILE} has no line `FROM … AS function`; restore it")
    return found[1]


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
