"""The signature file of a release: a sigstore bundle around an in-toto statement with the SHA-256 of each file."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from dataclasses import dataclass

from training.errors import StepError

SIGNATURE = "model.sig"
# the name of a file beside the signature, which leads nowhere else
_PLAIN = re.compile(r"\.?[\w-][\w.-]*")
# Fulcio's extension that names the issuer of the identity, as a DER string of less than 128 bytes
_ISSUER = "1.3.6.1.4.1.57264.1.8"


@dataclass(frozen=True)
class Signature:
    """What a signature file states, before any of it is proven."""

    # SHA-256 in hex by the name of the file
    digests: dict[str, str]
    # SHA-256 in hex of the public key's PEM file, or ""
    key: str = ""
    # or who the certificate says signed, and who vouched for that
    identity: str = ""
    issuer: str = ""

    def __str__(self) -> str:
        return f"{self.identity} of {self.issuer}" if self.identity else f"the key {self.key or 'of no name'}"


def read(data: bytes) -> Signature:
    """What a signature file states.

    Raises:
        StepError: it is none.
    """
    try:
        bundle = json.loads(data)
        statement = json.loads(base64.b64decode(bundle["dsseEnvelope"]["payload"]))
        resources = statement["predicate"]["resources"]
        digests = {str(entry["name"]): str(entry["digest"]) for entry in resources if entry["algorithm"] == "sha256"}
        if odd := [name for name in digests if not _PLAIN.fullmatch(name)]:
            raise ValueError(f"the file name {odd[0]!r}")
        material = bundle["verificationMaterial"]
        if "certificate" in material:
            return Signature(digests, "", *_identity(base64.b64decode(material["certificate"]["rawBytes"])))
        return Signature(digests, str(material["publicKey"]["hint"]))
    except (ValueError, KeyError, TypeError) as error:
        raise StepError(f"{SIGNATURE} is no signature of a release ({error!r}); publish another release") from error


def covers(signature: bytes, files: dict[str, bytes]) -> bool:
    """Whether a signature, whoever's, states exactly these files.

    Raises:
        StepError: it is none.
    """
    return not differences(read(signature), files)


def differences(signature: Signature, files: dict[str, bytes]) -> str:
    """What `files` have that was not signed and the other way round, in words; "" for nothing."""
    found = {name: hashlib.sha256(data).hexdigest() for name, data in files.items() if name != SIGNATURE}
    signed = signature.digests
    kinds = {
        "altered": sorted(name for name in found.keys() & signed.keys() if found[name] != signed[name]),
        "added": sorted(found.keys() - signed.keys()),
        "missing": sorted(signed.keys() - found.keys()),
    }
    return ", ".join(f"{kind} {' and '.join(names)}" for kind, names in kinds.items() if names)


def _identity(certificate: bytes) -> tuple[str, str]:
    """Whom a certificate of Fulcio's names, and who vouched for that; ValueError for another kind of certificate."""
    from cryptography import x509

    extensions = x509.load_der_x509_certificate(certificate).extensions
    try:
        names = extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound as error:
        raise ValueError("a certificate that names nobody") from error
    issuers = [extension.value for extension in extensions if extension.oid.dotted_string == _ISSUER]
    (name,) = [*names.get_values_for_type(x509.UniformResourceIdentifier), *names.get_values_for_type(x509.RFC822Name)]
    (issuer,) = [value.value[2:].decode() for value in issuers if isinstance(value, x509.UnrecognizedExtension)]
    return name, issuer
