"""The address of a registry or a release -> its storage, and which release lies there."""

from __future__ import annotations

from serving.release import MANIFEST, parse_manifest
from serving.storage import CLOUD
from training.registry.storage import Storage


def open_storage(uri: str) -> Storage:
    """The storage at a folder's path or at gs://bucket/prefix.

    Raises:
        StepError: the bucket cannot be reached.
    """
    # Google's library takes longer to import than a small local registry to read.
    if uri.startswith(CLOUD):
        from training.registry.gcs import CloudStorage

        return CloudStorage(uri)
    from training.registry.local import LocalStorage

    return LocalStorage(uri)


def release_at(uri: str) -> dict[str, str] | None:
    """Version and model digest of the release in the folder or at the gs:// address `uri`, or None."""
    stored = open_storage(uri).read(MANIFEST)
    if stored is None:
        return None
    manifest = parse_manifest(stored.data)
    return {"version": manifest["version"], "sha256": manifest["model"]["sha256"]}
