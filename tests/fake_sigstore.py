"""A sigstore on loopback: an authority for certificates, its log, and a log of signatures, all made by this process.

The client does not know the difference: every certificate, promise and proof is checked as the public instance's are.
"""

from __future__ import annotations

import base64
import hashlib
import json
import struct
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import jwt
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.ec import (
    ECDSA,
    SECP256R1,
    EllipticCurvePrivateKey,
    EllipticCurvePublicKey,
    generate_private_key,
)
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID, ObjectIdentifier

_SINCE = datetime(2024, 1, 1, tzinfo=UTC)
_ISSUER = ObjectIdentifier("1.3.6.1.4.1.57264.1.8")
_OLD_ISSUER = ObjectIdentifier("1.3.6.1.4.1.57264.1.1")
_PROMISES = ObjectIdentifier("1.3.6.1.4.1.11129.2.4.2")


def id_token(identity: str, issuer: str = "https://gitlab.com", audience: str = "sigstore") -> str:
    """What GitLab gives a job; the identity is the configuration file's address without https://."""
    now = int(time.time())
    claims = {"iss": issuer, "aud": audience, "sub": "project_path:group/project", "iat": now, "exp": now + 3600}
    return jwt.encode(claims | {"ci_config_ref_uri": identity}, "0" * 32)


@dataclass
class Notary:
    """The keys of all three, and where they answer."""

    url: str = ""
    authority: EllipticCurvePrivateKey = field(default_factory=lambda: generate_private_key(SECP256R1()))
    certificates: EllipticCurvePrivateKey = field(default_factory=lambda: generate_private_key(SECP256R1()))
    signatures: EllipticCurvePrivateKey = field(default_factory=lambda: generate_private_key(SECP256R1()))
    # bodies of the log's entries
    entries: list[bytes] = field(default_factory=list)

    def configuration(self, path: Path) -> str:
        """Write the client trust configuration and return its path."""
        service = {"url": self.url, "majorApiVersion": 1, "validFor": _valid(), "operator": "tests"}
        root = {
            "mediaType": "application/vnd.dev.sigstore.trustedroot+json;version=0.1",
            "tlogs": [self._log(self.signatures)],
            "ctlogs": [self._log(self.certificates)],
            "certificateAuthorities": [
                {
                    "subject": {"organization": "tests", "commonName": "tests"},
                    "uri": self.url,
                    "certChain": {"certificates": [{"rawBytes": _text(self.root().public_bytes(Encoding.DER))}]},
                    "validFor": _valid(),
                }
            ],
            "timestampAuthorities": [],
        }
        signing = {
            "mediaType": "application/vnd.dev.sigstore.signingconfig.v0.2+json",
            **{name: [service] for name in ("caUrls", "oidcUrls", "rekorTlogUrls")},
            "rekorTlogConfig": {"selector": "ANY"},
            "tsaUrls": [],
            "tsaConfig": {"selector": "ANY"},
        }
        kind = "application/vnd.dev.sigstore.clienttrustconfig.v0.1+json"
        path.write_text(json.dumps({"mediaType": kind, "trustedRoot": root, "signingConfig": signing}))
        return str(path)

    def root(self) -> x509.Certificate:
        """The authority's own certificate."""
        public = self.authority.public_key()
        builder = _certificate(public, _name("tests"), _SINCE, _SINCE + timedelta(days=9999), serial=1)
        usage = [name in ("key_cert_sign", "crl_sign") for name in _USAGES]
        return (
            builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(x509.KeyUsage(*usage), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
            .sign(self.authority, hashes.SHA256())
        )

    def certify(self, request: bytes, token: str) -> list[str]:
        """A certificate for ten minutes that names whom the token names, with the log's promise to show it."""
        claims = jwt.decode(token, options={"verify_signature": False})
        public = x509.load_pem_x509_csr(request).public_key()
        assert isinstance(public, EllipticCurvePublicKey)
        now = datetime.now(UTC).replace(microsecond=0)
        identity, issuer = f"https://{claims['ci_config_ref_uri']}", claims["iss"].encode()
        usage = [name == "digital_signature" for name in _USAGES]
        builder = (
            _certificate(public, x509.Name([]), now - timedelta(seconds=5), now + timedelta(minutes=10))
            .add_extension(x509.KeyUsage(*usage), critical=True)
            .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CODE_SIGNING]), critical=False)
            .add_extension(x509.SubjectAlternativeName([x509.UniformResourceIdentifier(identity)]), critical=True)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(self.authority.public_key()), critical=False
            )
            .add_extension(x509.UnrecognizedExtension(_OLD_ISSUER, issuer), critical=False)
            .add_extension(
                x509.UnrecognizedExtension(_ISSUER, bytes([12, len(issuer)]) + issuer),
                critical=False,
            )
        )
        promised = self._promise(builder.sign(self.authority, hashes.SHA256()).tbs_certificate_bytes, now)
        shown = builder.add_extension(x509.UnrecognizedExtension(_PROMISES, promised), critical=False)
        chain = [shown.sign(self.authority, hashes.SHA256()), self.root()]
        return [certificate.public_bytes(Encoding.PEM).decode() for certificate in chain]

    def enter(self, proposed: dict[str, Any]) -> dict[str, Any]:
        """An entry of the log of signatures: of a tree with this leaf alone."""
        content = proposed["spec"]["proposedContent"]
        envelope = json.loads(content["envelope"])
        payload = hashlib.sha256(base64.b64decode(envelope["payload"])).hexdigest()
        spec = {
            "envelopeHash": _hash(hashlib.sha256(content["envelope"].encode()).hexdigest()),
            "payloadHash": _hash(payload),
            "signatures": [{"signature": envelope["signatures"][0]["sig"], "verifier": content["verifiers"][0]}],
        }
        body = json.dumps({"apiVersion": "0.0.1", "kind": "dsse", "spec": spec}).encode()
        self.entries.append(body)
        root, log, now = hashlib.sha256(b"\0" + body).digest(), _key_id(self.signatures), int(time.time())
        stated = {"body": _text(body), "integratedTime": now, "logID": log.hex(), "logIndex": 0}
        note = f"tests - 1\n1\n{_text(root)}\n"
        checkpoint = f"{note}\n— tests {_text(log[:4] + _sign(self.signatures, note.encode()))}\n"
        proof = {"checkpoint": checkpoint, "hashes": [], "logIndex": 0, "rootHash": root.hex(), "treeSize": 1}
        canonical = json.dumps(stated, separators=(",", ":"), sort_keys=True).encode()
        timestamp = _text(_sign(self.signatures, canonical))
        return {"1": stated | {"verification": {"inclusionProof": proof, "signedEntryTimestamp": timestamp}}}

    def _promise(self, unpromised: bytes, now: datetime) -> bytes:
        """A signed certificate timestamp, RFC 6962, in the list and the DER strings that hold it."""
        issuer = _key_id(self.authority)
        when = struct.pack("!Q", int(now.timestamp() * 1000))
        entry = b"\0\0" + when + b"\0\1" + issuer + struct.pack("!I", len(unpromised))[1:] + unpromised + b"\0\0"
        signed = _sign(self.certificates, entry)
        stamp = b"\0" + _key_id(self.certificates) + when + b"\0\0" + b"\4\3" + struct.pack("!H", len(signed)) + signed
        stamps = struct.pack("!HH", len(stamp) + 2, len(stamp)) + stamp
        return bytes([4, len(stamps)]) + stamps

    def _log(self, key: EllipticCurvePrivateKey) -> dict[str, Any]:
        details = {"rawBytes": _text(_public(key)), "keyDetails": "PKIX_ECDSA_P256_SHA_256", "validFor": _valid()}
        identified = {"logId": {"keyId": _text(_key_id(key))}}
        return {"baseUrl": self.url, "hashAlgorithm": "SHA2_256", "publicKey": details} | identified


@contextmanager
def notary() -> Iterator[Notary]:
    """Start one and stop it afterwards."""
    running = Notary()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._answer(dict.fromkeys(("authorization_endpoint", "token_endpoint"), running.url))

        def do_POST(self) -> None:
            asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            if self.path == "/api/v1/log/entries":
                self._answer(running.enter(asked))
                return
            request = base64.b64decode(asked["certificateSigningRequest"])
            chain = running.certify(request, self.headers["Authorization"].removeprefix("Bearer "))
            self._answer({"signedCertificateEmbeddedSct": {"chain": {"certificates": chain}}})

        def _answer(self, content: dict[str, Any]) -> None:
            data = json.dumps(content).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        running.url = f"http://127.0.0.1:{server.server_port}"
        Thread(target=server.serve_forever, daemon=True).start()
        yield running
        server.shutdown()


_USAGES = (
    "digital_signature",
    "content_commitment",
    "key_encipherment",
    "data_encipherment",
    "key_agreement",
    "key_cert_sign",
    "crl_sign",
    "encipher_only",
    "decipher_only",
)


def _certificate(
    public: EllipticCurvePublicKey, subject: x509.Name, start: datetime, end: datetime, serial: int = 0
) -> x509.CertificateBuilder:
    return x509.CertificateBuilder(
        issuer_name=_name("tests"),
        subject_name=subject,
        public_key=public,
        serial_number=serial or x509.random_serial_number(),
        not_valid_before=start,
        not_valid_after=end,
    )


def _name(common: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common)])


def _public(key: EllipticCurvePrivateKey) -> bytes:
    return key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def _key_id(key: EllipticCurvePrivateKey) -> bytes:
    return hashlib.sha256(_public(key)).digest()


def _sign(key: EllipticCurvePrivateKey, data: bytes) -> bytes:
    return key.sign(data, ECDSA(hashes.SHA256()))


def _hash(digest: str) -> dict[str, str]:
    return {"algorithm": "sha256", "value": digest}


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _valid() -> dict[str, str]:
    return {"start": f"{_SINCE:%Y-%m-%dT%H:%M:%SZ}"}
