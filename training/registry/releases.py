"""Read a release once and verify those bytes: digests, signature, name and version."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from serving import release
from serving.release import MANIFEST, Pins, Release, identifier, parse_manifest
from serving.settings import BUNDLED_RELEASE
from training.config import BUNDLED
from training.errors import StepError
from training.registry import signatures
from training.registry.addresses import open_storage
from training.registry.keys import public_digest
from training.registry.signatures import SIGNATURE
from training.registry.signing import Trust, verify
from training.registry.storage import Storage, every_file

# Public key of the signature of the bundled release.
BUNDLED_KEY = str(Path(__file__).with_name("bundled.pub.pem"))


@dataclass(frozen=True)
class StoredRelease:
    """A release as it was read, verified."""

    uri: str
    """Address of its folder."""
    version: str
    """Its version."""
    manifest: dict[str, Any]
    """Its manifest, as format 4."""
    files: dict[str, bytes]
    """Every file by name."""
    generations: dict[str, str]
    """Generation of every file by name."""
    signer: str
    """Who signed it, "" if no signature was required."""

    def digest(self, name: str) -> str:
        """Return the SHA-256 of one of its files in hex."""
        return hashlib.sha256(self.files[name]).hexdigest()

    def served(self, pins: Pins | None = None) -> Release:
        """Return the release as the function uses it.

        Raises:
            ReleaseError: today's code cannot use it, or it does not have the pinned digests.
        """
        return release.assemble(self.files.__getitem__, self.uri, pins)


def read(uri: str, trust: Trust | None = None) -> StoredRelease:
    """Read every file of the release at `uri` once and verify it.

    Args:
        uri: its folder, gs://bucket/path, or BUNDLED.
        trust: whose signature is required, None for nobody's.

    Raises:
        StepError: there is no release, a digest or the signature does not match, or it has files that no release has.
    """
    return read_from(storage(uri), uri.rstrip("/") or "/", "", trust)


def read_from(storage: Storage, uri: str, folder: str, trust: Trust | None = None) -> StoredRelease:
    """Do the same with the release in a folder of an open storage; `uri` is its address."""
    prefix = f"{folder}/" if folder else ""
    # Before everything else in a place that may be none of a release.
    if storage.read(f"{prefix}{MANIFEST}") is None:
        raise StepError(f"{uri} is no release: it has no {MANIFEST}")
    stored = every_file(storage, uri, folder)
    files = {name: each.data for name, each in stored.items()}
    if MANIFEST not in files:
        raise StepError(f"{uri} was removed meanwhile")
    manifest = verify_digests(uri, files)
    signer = verify(files, _trust(uri, files, trust)) if trust else ""
    generations = {name: each.generation for name, each in stored.items()}
    return StoredRelease(uri, manifest["version"], manifest, files, generations, signer)


def _trust(uri: str, files: dict[str, bytes], trust: Trust) -> Trust:
    """Return whose signature the release at `uri` needs: this project's for the bundled one, if it has that."""
    if uri == BUNDLED and SIGNATURE in files and signatures.read(files[SIGNATURE]).key == public_digest(BUNDLED_KEY):
        return Trust(BUNDLED_KEY)
    return trust


def verify_digests(uri: str, files: dict[str, bytes]) -> dict[str, Any]:
    """Return the manifest in `files`, whose model and weights must have the digests that it states.

    Raises:
        StepError: the manifest is invalid, a file is missing, or a digest does not match.
    """
    manifest = _manifest(uri, files[MANIFEST])
    for name, stated in stated_files(manifest).items():
        # The bundled release leaves out the weights that its manifest names.
        if name not in files and name != manifest["model"]["file"]:
            continue
        if name not in files:
            raise StepError(f"{uri} has no {name}; publish the release again")
        found = hashlib.sha256(files[name]).hexdigest()
        if found != stated:
            raise StepError(
                f"{name} of {uri} has SHA-256 {found}, {MANIFEST} states {stated}: it is damaged or was exchanged; "
                "publish the release again"
            )
    return manifest


def stated_files(manifest: dict[str, Any]) -> dict[str, str]:
    """Return the files that a manifest names, the model first, with their SHA-256.

    Raises:
        KeyError, TypeError: the manifest lacks or garbles them.
    """
    entries = [manifest["model"], *([manifest["weights"]] if manifest.get("weights") else [])]
    return {entry["file"]: entry["sha256"] for entry in entries}


def release_at(uri: str) -> dict[str, str] | None:
    """Return version and model digest of the release at `uri`, or None if there is none.

    Raises:
        StepError: its manifest is invalid, or the storage cannot be read.
    """
    stored = storage(uri).read(MANIFEST)
    if stored is None:
        return None
    manifest = _manifest(uri, stored.data)
    return {"version": manifest["version"], "sha256": manifest["model"]["sha256"]}


def storage(uri: str) -> Storage:
    """Return the storage of the release at `uri`, which can be BUNDLED.

    Raises:
        StepError: the address cannot be read.
    """
    return open_storage(str(BUNDLED_RELEASE) if uri == BUNDLED else uri)


def bundled() -> str:
    """Return the folder of the release that this code bundles."""
    return str(BUNDLED_RELEASE.resolve())


def _manifest(uri: str, data: bytes) -> dict[str, Any]:
    """Return the manifest, in which name, version and the files' entries are valid."""
    try:
        manifest = parse_manifest(data)
        for member in ("name", "version"):
            identifier(manifest, member)
        if odd := [text for entry in stated_files(manifest).items() for text in entry if not isinstance(text, str)]:
            raise ValueError(f"the file or digest {odd[0]!r}")
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise StepError(f"{MANIFEST} of {uri} lacks or garbles {error}; publish the release again") from error
    return dict(manifest)
