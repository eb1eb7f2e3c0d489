"""Keys that sign releases: PEM files of elliptic curve keys."""

from __future__ import annotations

import hashlib
from pathlib import Path

from training.errors import StepError

RECIPE = "`openssl ecparam -name prime256v1 -genkey -noout -out signing-key.pem`"
PUBLIC_RECIPE = "`openssl ec -in signing-key.pem -pubout -out signing-key.pub.pem`"


def require_private(file: str) -> None:
    """Raise StepError unless the PEM file is a private key that can sign releases."""
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    try:
        key = load_pem_private_key(Path(file).read_bytes(), None)
    except (OSError, TypeError, ValueError, UnsupportedAlgorithm) as error:
        raise StepError(f"the key {file} cannot be read: {error}; {RECIPE} makes one") from error
    if not isinstance(key, EllipticCurvePrivateKey):
        raise StepError(f"the key {file} is not an elliptic curve key; {RECIPE} makes one")


def public_digest(file: str) -> str:
    """Return the SHA-256 in hex of the public key's PEM file as openssl writes it: a signature names the key by it.

    Raises:
        StepError: it is no public key that verifies releases.
    """
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_public_key

    try:
        key = load_pem_public_key(Path(file).read_bytes())
    except (OSError, ValueError, UnsupportedAlgorithm) as error:
        remedy = f"{PUBLIC_RECIPE} makes it from the private key"
        raise StepError(f"the public key {file} cannot be read: {error}; {remedy}") from error
    if not isinstance(key, EllipticCurvePublicKey):
        raise StepError(f"the public key {file} is not an elliptic curve key; {RECIPE} makes one that signs")
    pem = key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    return hashlib.sha256(pem).hexdigest()
