"""Which release a revision serves, and that release as it answers here."""

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
    """What pins a revision to a release."""

    version: str
    # address of its folder
    uri: str
    # hex digest of its model file
    sha256: str


def find(registry: Registry, version: str = "") -> ReleaseRef:
    """A release of the registry, the one in production by default.

    Raises:
        StepError: there is no such release, or none is in production yet.
    """
    version = version or registry.in_production()
    manifest = registry.manifest(version)
    return ReleaseRef(version, registry.address(version), manifest["model"]["sha256"])


def served(variables: Mapping[str, str], registry: Registry) -> str:
    """The version that a container with these variables serves.

    Raises:
        StepError: none of this registry.
    """
    folder, _, version = variables.get("MODEL_URI", "").rpartition("/")
    if folder != registry.uri:
        raise StepError(f"the revision serves {variables.get('MODEL_URI') or 'no release'}, nothing of {registry.uri}")
    return version


def plain(text: str) -> str:
    """A version or a commit as labels and tags may be: lower case, digits, hyphens, 40 characters at most."""
    return _NAME.sub("-", text.lower())[:40].strip("-")


def tag_of(version: str) -> str:
    """The tag of the revision that served a release to everybody: where a rollback to it leads."""
    return f"r{plain(version)}"


def reference(variables: Mapping[str, str]) -> tuple[InferenceService, Settings]:
    """The function as a container with these variables runs it, here.

    Raises:
        StepError: its settings or its release cannot be used.
    """
    try:
        chosen = from_environment(variables)
        with TemporaryDirectory() as folder:
            # Read by Google's own library: the function's knows nothing of GitLab's identity.
            uri = _fetch(chosen.model_uri, Path(folder)) if "MODEL_URI" in variables else chosen.model_uri
            found = release.load(uri, chosen.model_sha256)
        return InferenceService(Predictor(found), chosen), chosen
    except (SettingsError, release.ReleaseError) as error:
        raise StepError(f"the revision's release does not run here: {error}") from error


def _fetch(uri: str, folder: Path) -> str:
    storage = open_storage(uri)
    manifest = storage.read(release.MANIFEST)
    if manifest is None:
        raise StepError(f"{uri} holds no release")
    name = Path(release.parse_manifest(manifest.data)["model"]["file"]).name
    model = storage.read(name)
    if model is None:
        raise StepError(f"{uri} holds no {name}")
    (folder / release.MANIFEST).write_bytes(manifest.data)
    (folder / name).write_bytes(model.data)
    return str(folder)
