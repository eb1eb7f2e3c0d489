"""Bytes over a socket, for requests that no HTTP client would send."""

from __future__ import annotations

import json
import socket
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit


@dataclass(frozen=True)
class RawResponse:
    """What came back until the server closed the connection."""

    status: int
    # names in lower case
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        """The body as JSON."""
        return json.loads(self.body)


def exchange(url: str, data: bytes, *, seconds: float = 10) -> RawResponse:
    """Send `data` and read to the end; an interim 100 (Continue) is skipped.

    Raises:
        TimeoutError: the server neither answered nor closed within `seconds`.
    """
    address = urlsplit(url)
    assert address.hostname
    assert address.port
    with socket.create_connection((address.hostname, address.port), seconds) as connection:
        connection.sendall(data)
        received = b"".join(iter(lambda: connection.recv(2**16), b""))
    head, _, body = received.removeprefix(b"HTTP/1.1 100 Continue\r\n\r\n").partition(b"\r\n\r\n")
    first, *lines = head.decode("latin-1").split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    return RawResponse(int(first.split()[1]), headers, body)
