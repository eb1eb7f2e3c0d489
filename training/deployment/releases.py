"""The release of a revision, and its predictions when run locally."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from serving import release
from serving.inference import InferenceService
from serving.predictor import Predictor
from serving.settings import Settings, SettingsError, from_environment
from training.errors import StepError
from training.registry.addresses import open_storage
from training.registry.registry import Registry

_NAME = re.compile(r"[^a-z0-9-]+")


@dataclass(frozen=True)
class ReleaseRef:
    """A release that a revision pins."""

    version: str
    uri: str
    """Address of the release folder."""
    sha256: str
    """Hex digest of the model file."""


def find(registry: Registry, version: str = "") -> ReleaseRef:
    """Return a release of the registry, by default the one in production.

    Raises:
        StepError: The release does not exist, or no release is in production yet.
    """
    version = version or registry.in_production()
    manifest = registry.manifest(version)
    return ReleaseRef(version, registry.address(version), manifest["model"]["sha256"])


def served(variables: Mapping[str, str], registry: Registry) -> str:
    """Return the version that a container with these variables serves.

    Raises:
        StepError: The release is not in this registry.
    """
    folder, _, version = variables.get("MODEL_URI", "").rpartition("/")
    if folder != registry.uri:
        found = variables.get("MODEL_URI") or "no release"
        raise StepError(f"the revision serves {found}, which is not in {registry.uri}")
    return version


def plain(text: str) -> str:
    """Convert a version or commit to a valid label or tag: a-z, 0-9 and -, at most 40 characters."""
    return _NAME.sub("-", text.lower())[:40].strip("-")


def tag_of(version: str) -> str:
    """Return the tag of the revision that served a release with all traffic. `rollback` uses it."""
    return f"r{plain(version)}"


def reference(variables: Mapping[str, str]) -> tuple[InferenceService, Settings]:
    """Run the function's inference locally with a container's variables.

    Raises:
        StepError: The settings or the release are invalid.
    """
    try:
        chosen = from_environment(variables)
        with TemporaryDirectory() as folder:
            # Google's library reads it, since the function's storage client does not support GitLab's identity.
            uri = _fetch(chosen.model_uri, Path(folder)) if "MODEL_URI" in variables else chosen.model_uri
            found = release.load(uri, chosen.model_sha256)
        return InferenceService(Predictor(found), chosen), chosen
    except (SettingsError, release.ReleaseError) as error:
        raise StepError(f"cannot load the revision's release: {error}") from error


def _fetch(uri: str, folder: Path) -> str:
    storage = open_storage(uri)
    manifest = storage.read(release.MANIFEST)
    if manifest is None:
        raise StepError(f"{uri} contains no release")
    name = Path(release.parse_manifest(manifest.data)["model"]["file"]).name
    model = storage.read(name)
    if model is None:
        raise StepError(f"{uri} contains no {name}")
    (folder / release.MANIFEST).write_bytes(manifest.data)
    (folder / name).write_bytes(model.data)
    return str(folder)
