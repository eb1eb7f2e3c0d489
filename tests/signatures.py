"""Keys for tests, and what who has none can do to a signature."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    KeySerializationEncryption,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)


def write_key(folder: Path, name: str, key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey, password: str = "") -> Path:
    """PEM files NAME.pem and NAME.pub.pem."""
    locked: KeySerializationEncryption = NoEncryption()
    if password:
        locked = BestAvailableEncryption(password.encode())
    public = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    (folder / f"{name}.pub.pem").write_bytes(public)
    (folder / f"{name}.pem").write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, locked))
    return folder / f"{name}.pem"


def public(key: Path) -> str:
    return str(key.with_suffix(".pub.pem"))


def digest(key: Path) -> str:
    return hashlib.sha256(Path(public(key)).read_bytes()).hexdigest()


def bundle(release: Path, change: Callable[[dict[str, Any]], None]) -> None:
    """Change the signature file."""
    path = release / "model.sig"
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


def restate(content: dict[str, Any], name: str, data: bytes) -> None:
    """Make a signature state another digest, consistently, as who has no key would."""
    envelope = content["dsseEnvelope"]
    statement = json.loads(base64.b64decode(envelope["payload"]))
    resources = statement["predicate"]["resources"]
    for entry in resources:
        if entry["name"] == name:
            entry["digest"] = hashlib.sha256(data).hexdigest()
    together = hashlib.sha256(b"".join(bytes.fromhex(entry["digest"]) for entry in resources))
    statement["subject"][0]["digest"]["sha256"] = together.hexdigest()
    envelope["payload"] = base64.b64encode(json.dumps(statement).encode()).decode()
