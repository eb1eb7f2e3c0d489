"""HTTP POST to one server: persistent connections, and retries where a retry can help."""

from __future__ import annotations

import http.client
import random
import time
from collections import deque
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from urllib.parse import SplitResult, urlsplit

# Statuses worth a retry. A prediction changes nothing on the server, so every request may be sent again.
RETRIED = (
    HTTPStatus.TOO_MANY_REQUESTS,
    HTTPStatus.BAD_GATEWAY,
    HTTPStatus.SERVICE_UNAVAILABLE,
    HTTPStatus.GATEWAY_TIMEOUT,
)
# Seconds. The wait doubles after each failure. MAX_WAIT also bounds what `Retry-After` asks for.
FIRST_WAIT, MAX_WAIT = 0.5, 60.0


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


class Transport:
    """POST requests to one URL. Threads share a pool of persistent connections."""

    def __init__(self, url: str, headers: dict[str, str], timeout: float, attempts: int) -> None:
        """Prepare, without connecting.

        Args:
            url: http:// or https://, a host, and a path that precedes the paths of the requests.
            headers: headers of every request.
            timeout: seconds for connecting, and for each read.
            attempts: tries of one request, at least 1.

        Raises:
            ServerError: the URL is invalid.
        """
        self._url, self._parts = url, _parts(url)
        self._headers, self._timeout, self._attempts = headers, timeout, attempts
        self._idle: deque[http.client.HTTPConnection] = deque()

    def post(self, path: str, body: bytes, content_type: str) -> Response:
        """Send a request. Retry it after a wait where the server is busy or the connection breaks.

        Raises:
            ServerError: there was no response.
        """
        for attempt in range(1, self._attempts + 1):
            last = attempt == self._attempts
            try:
                response = self._send(path, body, content_type)
            except (OSError, http.client.HTTPException) as error:
                if last:
                    raise ServerError(
                        f"no response from {self._url}: {_reason(error)}; check the URL, and that the server runs"
                    ) from error
                asked = ""
            else:
                if last or response.status not in RETRIED:
                    return response
                asked = response.retry_after
            time.sleep(wait(attempt, asked))
        raise AssertionError("there is always a last attempt")

    def close(self) -> None:
        """Close the idle connections."""
        while self._idle:
            self._idle.pop().close()

    def _send(self, path: str, body: bytes, content_type: str) -> Response:
        try:
            kept = self._idle.pop()
        except IndexError:
            return self._exchange(self._connect(), path, body, content_type)
        try:
            return self._exchange(kept, path, body, content_type)
        except ConnectionError:
            # The server closed the idle connection, which is no failure: open a new one at once.
            return self._exchange(self._connect(), path, body, content_type)

    def _exchange(self, connection: http.client.HTTPConnection, path: str, body: bytes, content_type: str) -> Response:
        try:
            connection.request("POST", self._parts.path.rstrip("/") + path, body, self._with(content_type))
            reply = connection.getresponse()
            response = Response(reply.status, reply.read(), reply.getheader("Retry-After", ""))
        except BaseException:
            connection.close()
            raise
        self._idle.append(connection)
        return response

    def _with(self, content_type: str) -> dict[str, str]:
        return {**self._headers, "Content-Type": content_type, "Accept": "application/json"}

    def _connect(self) -> http.client.HTTPConnection:
        kind = http.client.HTTPSConnection if self._parts.scheme == "https" else http.client.HTTPConnection
        return kind(self._parts.hostname or "", self._parts.port, timeout=self._timeout)


def _parts(url: str) -> SplitResult:
    try:
        parts = urlsplit(url)
        usable = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:
        usable = False
    if not usable:
        raise ServerError(f"invalid URL {url!r}; it needs http:// or https:// and a host, as in https://faces.example")
    return parts


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
    return min(max(asked, own), MAX_WAIT)


def _until(date: str) -> float:
    try:
        return parsedate_to_datetime(date).timestamp() - time.time()
    except ValueError:
        return 0.0


def _reason(error: Exception) -> str:
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
