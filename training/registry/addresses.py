"""Open the storage at an address: a folder, or gs://bucket/prefix."""

from __future__ import annotations

from serving import addresses
from serving.addresses import Address, AddressError
from training.errors import StepError
from training.registry.storage import Storage


def parse(text: str) -> Address:
    """Return the address that `text` names.

    Raises:
        StepError: it is neither a folder nor gs://bucket/path.
    """
    try:
        return addresses.parse(text)
    except AddressError as error:
        raise StepError(f"{error}") from error


def open_storage(uri: str) -> Storage:
    """Return the storage at a folder or at gs://bucket/prefix.

    Raises:
        StepError: it is no address, or the bucket cannot be reached.
    """
    address = parse(uri)
    # Google's library takes longer to import than a small local registry to read.
    if address.bucket:
        from training.registry.gcs import CloudStorage

        return CloudStorage(address)
    from training.registry.local import LocalStorage

    return LocalStorage(address.path)
