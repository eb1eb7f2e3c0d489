"""Signature file of a release: a sigstore bundle around an in-toto statement with the SHA-256 of each file."""

from __future__ import annotations

import base64
import hashlib
import re
from dataclasses import dataclass

from serving.release import parse_json
from training.errors import StepError

SIGNATURE = "model.sig"
# Name of a file in the signature's own folder.
PLAIN = re.compile(r"\.?[\w-][\w.-]*", re.ASCII)
# Fulcio's extension with the issuer of the identity, a DER string of less than 128 bytes.
_ISSUER = "1.3.6.1.4.1.57264.1.8"


@dataclass(frozen=True)
class Signature:
    """Claims of a signature file, before verification."""

    digests: dict[str, str]
    """SHA-256 in hex by file name."""
    key: str = ""
    """SHA-256 in hex of the public key's PEM file, "" if an identity signed."""
    identity: str = ""
    """Signer according to the certificate, "" if a key signed."""
    issuer: str = ""
    """OpenID Connect issuer that vouches for the identity."""

    def __str__(self) -> str:
        return f"{self.identity} of {self.issuer}" if self.identity else f"the key {self.key or 'without a name'}"


def read(data: bytes) -> Signature:
    """Return the claims of a signature file.

    Raises:
        StepError: it is no signature of a release.
    """
    try:
        bundle = parse_json(data)
        statement = parse_json(base64.b64decode(bundle["dsseEnvelope"]["payload"]))
        resources = [entry for entry in statement["predicate"]["resources"] if entry["algorithm"] == "sha256"]
        digests = {str(entry["name"]): str(entry["digest"]) for entry in resources}
        if odd := [name for name in digests if not PLAIN.fullmatch(name)]:
            raise ValueError(f"the file name {odd[0]!r}")
        if len(digests) < len(resources):
            raise ValueError("a file that is named twice")
        material = bundle["verificationMaterial"]
        if "certificate" in material:
            return Signature(digests, "", *_identity(base64.b64decode(material["certificate"]["rawBytes"])))
        return Signature(digests, str(material["publicKey"]["hint"]))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise StepError(f"{SIGNATURE} is no signature of a release ({error!r}); publish another release") from error


def covers(signature: bytes, files: dict[str, bytes]) -> bool:
    """Return whether a signature names exactly these files, whoever signed.

    Raises:
        StepError: it is no signature of a release.
    """
    return not differences(read(signature), files)


def differences(signature: Signature, files: dict[str, bytes]) -> str:
    """Return the differences between `files` and the signed ones in words, "" for none."""
    found = {name: hashlib.sha256(data).hexdigest() for name, data in files.items() if name != SIGNATURE}
    signed = signature.digests
    kinds = {
        "altered": sorted(name for name in found.keys() & signed.keys() if found[name] != signed[name]),
        "added": sorted(found.keys() - signed.keys()),
        "missing": sorted(signed.keys() - found.keys()),
    }
    return ", ".join(f"{kind} {' and '.join(names)}" for kind, names in kinds.items() if names)


def _identity(certificate: bytes) -> tuple[str, str]:
    """Return identity and issuer in a certificate of Fulcio, or raise ValueError."""
    from cryptography import x509

    try:
        extensions = x509.load_der_x509_certificate(certificate).extensions
        names = extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (x509.ExtensionNotFound, x509.DuplicateExtension, x509.UnsupportedGeneralNameType) as error:
        raise ValueError("a certificate without one name of its owner") from error
    issuers = [extension.value for extension in extensions if extension.oid.dotted_string == _ISSUER]
    (name,) = [*names.get_values_for_type(x509.UniformResourceIdentifier), *names.get_values_for_type(x509.RFC822Name)]
    (issuer,) = [value.value[2:].decode() for value in issuers if isinstance(value, x509.UnrecognizedExtension)]
    return name, issuer
