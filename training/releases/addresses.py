"""The address of a registry -> its storage."""

from __future__ import annotations

from serving.storage import CLOUD
from training.releases.storage import Storage


def open_storage(uri: str) -> Storage:
    """The storage at a folder's path or at gs://bucket/prefix.

    Raises:
        StepError: the bucket cannot be reached.
    """
    # Google's library takes longer to import than a small local registry to read.
    if uri.startswith(CLOUD):
        from training.releases.bucket import CloudStorage

        return CloudStorage(uri)
    from training.releases.folder import LocalStorage

    return LocalStorage(uri)
