"""The release of a revision, and its predictions when run locally."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from serving.inference import InferenceService
from serving.predictor import Predictor
from serving.release import MANIFEST, ReleaseError
from serving.settings import Settings, SettingsError, from_environment
from training.errors import StepError
from training.registry import releases
from training.registry.registry import Registry
from training.registry.signing import Trust

KEPT = 10
"""Releases whose revisions keep their tags, and with them an address each."""

_NAME = re.compile(r"[^a-z0-9-]+")
# A version begins with its day, so tags of releases sort by age.
_RELEASE_TAG = re.compile(r"r\d{8}-.+")


@dataclass(frozen=True)
class ReleaseRef:
    """A verified release, and the digests that pin a revision to it."""

    version: str
    """Version of the release."""
    uri: str
    """Address of its folder."""
    sha256: str
    """SHA-256 of its model file in hex."""
    manifest_sha256: str = ""
    """SHA-256 of its manifest in hex."""
    signer: str = ""
    """Who signed it, "" if no signature was required."""
    name: str = ""
    """Name of the model."""

    def pinned(self) -> dict[str, str]:
        """Return the variables of a revision that serves the release."""
        return {"MODEL_URI": self.uri, "MODEL_SHA256": self.sha256, "MANIFEST_SHA256": self.manifest_sha256}


def find(registry: Registry, version: str = "", trust: Trust | None = None) -> ReleaseRef:
    """Read and verify a release of the registry, by default the one in production.

    Raises:
        StepError: there is no such release, none is in production yet, or it is not as it was published.
    """
    version = version or registry.in_production()
    found = registry.read(version, trust)
    manifest, uri = found.manifest, registry.address(version)
    digests = found.digest(manifest["model"]["file"]), found.digest(MANIFEST)
    return ReleaseRef(version, uri, *digests, found.signer, manifest["name"])


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


def recent(tags: Mapping[str, str], live: str) -> dict[str, str]:
    """Return the tags of the KEPT newest releases, of the revision `live`, and all that are of no release.

    `rollback` to another release adds a revision of it.
    """
    old = sorted(filter(_RELEASE_TAG.fullmatch, tags))[:-KEPT]
    return {tag: revision for tag, revision in tags.items() if tag not in old or revision == live}


def reference(variables: Mapping[str, str]) -> tuple[InferenceService, Settings]:
    """Run the function's inference locally with a container's variables.

    Raises:
        StepError: The settings or the release are invalid.
    """
    try:
        chosen = from_environment(variables)
        found = releases.read(chosen.model_uri).served(chosen.pins)
        return InferenceService(Predictor(found), chosen), chosen
    except (SettingsError, ReleaseError) as error:
        raise StepError(f"cannot load the revision's release: {error}") from error
