"""HTTP POST to one server: persistent connections, proxies, and retries where a retry can help.

`http.client` does the work. urllib3 would be the only dependency of the client, and would save little: it does not read
the proxies of the environment, and its retries neither stop at a refused connection nor report themselves.
"""

from __future__ import annotations

import base64
import http.client
import logging
import os
import random
import re
import socket
import ssl
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import NamedTuple
from urllib.parse import SplitResult, quote, unquote, urlsplit

# Statuses worth a retry. A prediction changes nothing on the server, so every request may be sent again.
RETRIED = (
    HTTPStatus.TOO_MANY_REQUESTS,
    HTTPStatus.BAD_GATEWAY,
    HTTPStatus.SERVICE_UNAVAILABLE,
    HTTPStatus.GATEWAY_TIMEOUT,
)
# Seconds. The wait doubles after each failure. MAX_WAIT also bounds what `Retry-After` asks for.
FIRST_WAIT, MAX_WAIT = 0.5, 60.0
# Failures that the next attempt would meet again: no server, no such host, no trusted certificate or no TLS at all.
_PERMANENT = (ConnectionRefusedError, socket.gaierror, ssl.SSLError)
# Bytes. The function's longest response is far below; an endless one must not fill the memory.
_MAX_BODY = 2**24
_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_HEADER_VALUE = re.compile(r"[\t\x20-\x7e]*")

log = logging.getLogger("age_gender")


class ServerError(Exception):
    """The server cannot be used. The message says whether it is unreachable, refuses, or is not this function."""


@dataclass(frozen=True)
class Response:
    """An HTTP response."""

    status: int
    """HTTP status."""
    body: bytes
    """The whole body."""
    retry_after: str = ""
    """Value of the header `Retry-After`, or empty."""
    location: str = ""
    """Value of the header `Location`, or empty."""


class Transport:
    """POST requests to one URL. Threads share a pool of persistent connections."""

    def __init__(
        self, url: str, headers: Callable[[], Mapping[str, str]], timeout: float = 60.0, attempts: int = 5
    ) -> None:
        """Prepare without connecting. HTTPS_PROXY, HTTP_PROXY, ALL_PROXY and NO_PROXY of the environment apply.

        Args:
            url: http:// or https://, a host, and a path that precedes the paths of the requests.
            headers: returns the headers of the next attempt.
            timeout: seconds for connecting, and for each read.
            attempts: attempts at one request, at least 1.

        Raises:
            ServerError: the URL or the proxy's is invalid.
        """
        self._url, self._parts = url, _parts(url)
        self._headers, self._timeout, self._attempts = headers, timeout, attempts
        self._proxy = _proxy(self._parts)
        self._idle: deque[http.client.HTTPConnection] = deque()

    def post(self, path: str, body: bytes, content_type: str) -> Response:
        """Send a request. Retry it after a wait where the server is busy or the connection breaks.

        Each retry is a warning of the logger `age_gender`.

        Raises:
            ServerError: there was no response.
        """
        for attempt in range(1, self._attempts + 1):
            last = attempt == self._attempts
            try:
                response = self._send(path, body, content_type)
            except (OSError, http.client.HTTPException) as error:
                failure, retry_after = _reason(error), ""
                permanent = isinstance(error, _PERMANENT) and not isinstance(error, ssl.SSLEOFError)
                if last or permanent:
                    raise ServerError(
                        f"no response from {self._route}: {failure}; check the URL, and that the server runs"
                    ) from error
            else:
                if last or response.status not in RETRIED:
                    return response
                failure, retry_after = f"it returned {response.status}", response.retry_after
            seconds = wait(attempt, retry_after)
            log.warning("%s: %s; retrying %d/%d in %.1f s", self._url, failure, attempt + 1, self._attempts, seconds)
            time.sleep(seconds)
        raise AssertionError("there is always a last attempt")

    def close(self) -> None:
        """Close the idle connections."""
        while self._idle:
            self._idle.pop().close()

    @property
    def _route(self) -> str:
        return f"{self._url} through the proxy {self._proxy}" if self._proxy else self._url

    def _send(self, path: str, body: bytes, content_type: str) -> Response:
        headers = {**self._headers(), "Content-Type": content_type, "Accept": "application/json"}
        if self._proxy and self._parts.scheme == "http":
            headers |= self._proxy.headers
        try:
            kept = self._idle.pop()
        except IndexError:
            return self._exchange(self._connect(), path, body, headers)
        try:
            return self._exchange(kept, path, body, headers)
        except ConnectionError:
            # The server closed the idle connection, which is no failure: open a new one at once.
            return self._exchange(self._connect(), path, body, headers)

    def _exchange(
        self, connection: http.client.HTTPConnection, path: str, body: bytes, headers: dict[str, str]
    ) -> Response:
        try:
            try:
                connection.request("POST", self._target(path), body, headers)
                complete = True
            except ConnectionError:
                # A server may refuse a request before it has read all of it. Its response is here already.
                complete = False
                if connection.sock is None:
                    raise
            reply = connection.getresponse()
            content = reply.read(_MAX_BODY + 1)
            if len(content) > _MAX_BODY:
                raise ServerError(f"{self._url} returned more than {_MAX_BODY >> 20} MiB; check the URL")
        except BaseException:
            connection.close()
            raise
        if complete and not reply.will_close:
            self._idle.append(connection)
        else:
            connection.close()
        retry_after, location = (reply.getheader(name, "") for name in ("Retry-After", "Location"))
        return Response(reply.status, content, retry_after, location)

    def _target(self, path: str) -> str:
        """Return the request's target: a proxy of a plain connection needs the whole URL (RFC 9112, 3.2.2)."""
        origin = f"http://{_host(self._parts)}" if self._proxy and self._parts.scheme == "http" else ""
        return origin + quote(self._parts.path.rstrip("/"), safe="/%!$&'()*+,;=:@~") + path

    def _connect(self) -> http.client.HTTPConnection:
        tls = self._parts.scheme == "https"
        kind = http.client.HTTPSConnection if tls else http.client.HTTPConnection
        if self._proxy is None:
            return kind(self._parts.hostname or "", self._parts.port, timeout=self._timeout)
        connection = kind(self._proxy.host, self._proxy.port, timeout=self._timeout)
        if tls:
            connection.set_tunnel(self._parts.hostname or "", self._parts.port, self._proxy.headers)
        return connection


class _Proxy(NamedTuple):
    host: str
    port: int
    headers: dict[str, str]

    def __str__(self) -> str:
        return f"http://{self.host}:{self.port}"


def check_header(name: str, value: str) -> None:
    """Check a header before it is sent (RFC 9110, section 5).

    Raises:
        ValueError: the name is no token, or the value is no printable ASCII. The message does not repeat the value.
    """
    if not _HEADER_NAME.fullmatch(name):
        raise ValueError(f"invalid header name {name!r}")
    if not _HEADER_VALUE.fullmatch(value):
        raise ValueError(f"the value of the header {name} has a character that is not printable ASCII")


def _parts(url: str) -> SplitResult:
    try:
        parts = urlsplit(url)
        usable = parts.scheme in ("http", "https") and (parts.hostname or "").encode("idna") and parts.port != 0
    except ValueError:
        usable = False
    if not usable:
        raise ServerError(f"invalid URL {url!r}; it needs http:// or https:// and a host, as in https://faces.example")
    return parts


def _host(parts: SplitResult) -> str:
    """Return the host with its port, without a user's name and password."""
    return parts.netloc.rpartition("@")[2]


def _proxy(parts: SplitResult) -> _Proxy | None:
    """Return the proxy that the environment names for a URL, if any."""
    if not any(name.lower().endswith("_proxy") and value for name, value in os.environ.items()):
        return None
    # Its import takes longer than the rest of the client.
    from urllib.request import getproxies, proxy_bypass

    proxies = getproxies()
    address = proxies.get(parts.scheme) or proxies.get("all")
    if not address or proxy_bypass(_host(parts)):
        return None
    try:
        proxy = urlsplit(address if "://" in address else f"http://{address}")
        port = proxy.port or http.client.HTTP_PORT
    except ValueError:
        proxy, port = urlsplit(""), 0
    if proxy.scheme != "http" or not proxy.hostname:
        # The address itself may hold a password.
        raise ServerError(
            f"the proxy of the environment for {parts.scheme}:// is not of the form http://host:port; "
            "correct it, or list the server in NO_PROXY"
        )
    headers = {}
    if proxy.username is not None:
        user = f"{unquote(proxy.username)}:{unquote(proxy.password or '')}"
        headers["Proxy-Authorization"] = f"Basic {base64.b64encode(user.encode()).decode()}"
    return _Proxy(proxy.hostname, port, headers)


def wait(attempt: int, retry_after: str) -> float:
    """Return the seconds to wait after so many failed attempts.

    The wait doubles each time. A longer `Retry-After` (RFC 9110, section 10.2.3) goes before, up to MAX_WAIT.
    """
    try:
        asked = float(retry_after)
    except ValueError:
        asked = _until(retry_after)
    # Half of the wait is random, to spread the retries of many clients.
    own = FIRST_WAIT * 2.0 ** (attempt - 1) * random.uniform(0.5, 1.0)  # noqa: S311 - not for cryptography
    # A server may ask for NaN, which is no longer than anything.
    return min(asked if asked > own else own, MAX_WAIT)


def _until(date: str) -> float:
    try:
        return parsedate_to_datetime(date).timestamp() - time.time()
    except ValueError:
        return 0.0


def _reason(error: Exception) -> str:
    if isinstance(error, ConnectionRefusedError):
        return "connection refused"
    if isinstance(error, socket.gaierror):
        return f"unknown host ({error.strerror})"
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
