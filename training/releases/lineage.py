"""Releases that others come from, by their address."""

from __future__ import annotations

import json

from serving.release import MANIFEST
from training.releases.addresses import open_storage


def release_at(uri: str) -> dict[str, str] | None:
    """Version and model digest of the release in the folder or at the gs:// address `uri`, or None."""
    stored = open_storage(uri).read(MANIFEST)
    if stored is None:
        return None
    manifest = json.loads(stored.data)
    return {"version": manifest["version"], "sha256": manifest["model"]["sha256"]}
