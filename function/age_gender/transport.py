"""HTTP to one server over connections that are kept, with retries where a retry can help."""

from __future__ import annotations

import http.client
import random
import time
from collections import deque
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from urllib.parse import SplitResult, urlsplit

# Answers that another try may turn into a better one; a prediction changes nothing, so that all may be sent again.
RETRIED = (
    HTTPStatus.TOO_MANY_REQUESTS,
    HTTPStatus.BAD_GATEWAY,
    HTTPStatus.SERVICE_UNAVAILABLE,
    HTTPStatus.GATEWAY_TIMEOUT,
)
# seconds: the wait after the first failure, doubled after each; and the longest that is waited, whatever is asked for
FIRST_WAIT, LONGEST_WAIT = 0.5, 60.0


class ServerError(Exception):
    """The server cannot be used: not reached, not allowed, or not this function; the message says which."""


@dataclass(frozen=True)
class Reply:
    """One HTTP answer."""

    status: int
    body: bytes
    retry_after: str = ""


class Transport:
    """POST to one URL, from any number of threads; connections are kept for the next request of any of them."""

    def __init__(self, url: str, headers: dict[str, str], timeout: float, attempts: int) -> None:
        """Prepare, without connecting.

        Args:
            url: http:// or https:// and a host; a path in it precedes those that are asked for.
            headers: sent with every request.
            timeout: seconds that connecting and each read may take.
            attempts: tries of one request, at least 1.

        Raises:
            ServerError: it is no such URL.
        """
        self._url, self._parts = url, _parts(url)
        self._headers, self._timeout, self._attempts = headers, timeout, attempts
        self._idle: deque[http.client.HTTPConnection] = deque()

    def post(self, path: str, body: bytes, content_type: str) -> Reply:
        """Send one request, again after a wait where the server is busy or the connection breaks.

        Raises:
            ServerError: no answer came.
        """
        for attempt in range(1, self._attempts + 1):
            last = attempt == self._attempts
            try:
                reply = self._send(path, body, content_type)
            except (OSError, http.client.HTTPException) as error:
                if last:
                    raise ServerError(
                        f"{self._url} does not answer: {_reason(error)}; is the address right, and does the server run?"
                    ) from error
                asked = ""
            else:
                if last or reply.status not in RETRIED:
                    return reply
                asked = reply.retry_after
            time.sleep(wait(attempt, asked))
        raise AssertionError("there is always a last attempt")

    def close(self) -> None:
        """Close the connections that are kept."""
        while self._idle:
            self._idle.pop().close()

    def _send(self, path: str, body: bytes, content_type: str) -> Reply:
        try:
            kept = self._idle.pop()
        except IndexError:
            return self._exchange(self._connect(), path, body, content_type)
        try:
            return self._exchange(kept, path, body, content_type)
        except ConnectionError:
            # The server closed it while nothing was asked: that is no failure, and a new one is made at once.
            return self._exchange(self._connect(), path, body, content_type)

    def _exchange(self, connection: http.client.HTTPConnection, path: str, body: bytes, content_type: str) -> Reply:
        try:
            connection.request("POST", self._parts.path.rstrip("/") + path, body, self._with(content_type))
            response = connection.getresponse()
            reply = Reply(response.status, response.read(), response.getheader("Retry-After", ""))
        except BaseException:
            connection.close()
            raise
        self._idle.append(connection)
        return reply

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
        raise ServerError(f"{url!r} is no address of a server; give one like https://faces.example")
    return parts


def wait(attempt: int, retry_after: str) -> float:
    """Seconds to wait after a number of failed attempts: what is asked for (RFC 9110, 10.2.3), or ever longer."""
    try:
        asked = float(retry_after)
    except ValueError:
        asked = _until(retry_after)
    # Half of the wait is random, so that many clients do not come back at the same moment.
    own = FIRST_WAIT * 2.0 ** (attempt - 1) * random.uniform(0.5, 1.0)  # noqa: S311 - nothing secret
    return min(max(asked, own), LONGEST_WAIT)


def _until(date: str) -> float:
    try:
        return parsedate_to_datetime(date).timestamp() - time.time()
    except ValueError:
        return 0.0


def _reason(error: Exception) -> str:
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
