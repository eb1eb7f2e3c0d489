"""A loopback internet: the addresses of Google, with certificates of an authority of the tests.

Clients reach it through HTTPS_PROXY and trust it through REQUESTS_CA_BUNDLE. So the code under test uses Google's
addresses, credentials and TLS. Every other address is refused: nothing leaves the machine.
"""

from __future__ import annotations

import datetime
import ipaddress
import select
import socket
import socketserver
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from fnmatch import fnmatch
from pathlib import Path
from urllib.parse import urlsplit

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

_NAMES = ("*.googleapis.com", "*.a.run.app")
_BLOCK = 2**16


class _Tunnel(socketserver.StreamRequestHandler):
    """One connection: CONNECT, TLS, and then the bytes of both sides."""

    hosts: dict[str, str]
    tls: ssl.SSLContext

    def handle(self) -> None:
        asked = self.rfile.readline().decode().split()
        if not asked:
            # Go's client opens connections that it may not need.
            return
        method, target, _ = asked
        while self.rfile.readline().strip():
            pass
        host = target.rpartition(":")[0]
        found = next((url for pattern, url in self.hosts.items() if fnmatch(host, pattern)), None)
        if method != "CONNECT" or found is None:
            self.wfile.write(b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n")
            return
        self.wfile.write(b"HTTP/1.1 200 OK\r\n\r\n")
        address = urlsplit(found)
        try:
            with (
                self.tls.wrap_socket(self.connection, server_side=True) as client,
                socket.create_connection((address.hostname or "", address.port or 80)) as server,
            ):
                _relay(client, server)
        except OSError:
            # The client or the server was killed.
            return


def _relay(client: ssl.SSLSocket, server: socket.socket) -> None:
    while True:
        # Bytes that are decrypted already make no socket readable.
        readable = [client] if client.pending() else select.select([client, server], [], [])[0]
        for source, target in ((client, server), (server, client)):
            if source in readable:
                data = source.recv(_BLOCK)
                if not data:
                    return
                target.sendall(data)


@contextmanager
def internet(folder: Path, hosts: dict[str, str]) -> Iterator[dict[str, str]]:
    """Serve the hosts, by pattern, from http:// addresses. Yield the environment variables of clients."""
    authority, certificate = _certificates(folder)
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(certificate)
    handler = type("BoundTunnel", (_Tunnel,), {"hosts": hosts, "tls": tls})
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), handler) as server:
        server.daemon_threads = True
        server.block_on_close = False
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        proxy = f"http://127.0.0.1:{server.server_address[1]}"
        yield {"HTTPS_PROXY": proxy, "REQUESTS_CA_BUNDLE": str(authority), "SSL_CERT_FILE": str(authority)}
        server.shutdown()


def _certificates(folder: Path) -> tuple[Path, Path]:
    """Write an authority's certificate, and a server's with its key. Return both paths."""
    own = ec.generate_private_key(ec.SECP256R1())
    authority = _certificate("authority of the tests", own, None)
    key = ec.generate_private_key(ec.SECP256R1())
    server = _certificate("server", key, (authority, own))
    paths = folder / "authority.pem", folder / "server.pem"
    paths[0].write_bytes(authority.public_bytes(Encoding.PEM))
    secret = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    paths[1].write_bytes(secret + server.public_bytes(Encoding.PEM))
    return paths


def _certificate(
    name: str,
    key: ec.EllipticCurvePrivateKey,
    signer: tuple[x509.Certificate, ec.EllipticCurvePrivateKey] | None,
) -> x509.Certificate:
    """Return a certificate by `signer`, or one of an authority that signs itself."""
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.datetime.now(datetime.UTC)
    issuer_key = signer[1] if signer else key
    names = [*map(x509.DNSName, _NAMES), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(signer[0].subject if signer else subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(minutes=5))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=signer is None, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key()), critical=False)
        .sign(issuer_key, hashes.SHA256())
    )
