"""The HTTP server's connections: one loop reads whole requests, and threads only process them.

gunicorn's own threads read from clients, so a few slow clients block all others. Here no thread waits for a client, and
the loop waits for all clients at once.
"""

from __future__ import annotations

import errno
import io
import re
import socket
import sys
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import cache
from http import HTTPStatus
from selectors import EVENT_READ, EVENT_WRITE
from typing import Any

from gunicorn import util
from gunicorn.http.body import CHUNK_EXT_RE, LengthReader
from gunicorn.http.errors import (
    InvalidChunkSize,
    InvalidRequestLine,
    LimitRequestHeaders,
    NoMoreData,
    ParseException,
)
from gunicorn.http.parser import RequestParser
from gunicorn.workers.gthread import STOP_KEEPALIVE_LINGER, ThreadWorker

from serving.logs import log
from serving.settings import Settings
from serving.timeouts import Deadline

MAX_CONNECTIONS = 1000
MAX_HEAD_BYTES = 2**15
"""Limit of a request's first line and header fields together."""
BODY_BUFFERS = 4
"""Number of bodies of the largest size that the buffers of all connections hold."""
MAX_CHUNKS = 2**16
"""Limit of one body. Each chunk costs time."""

# Bytes of one read.
_HEAD_PIECE, _BODY_PIECE = 2**15, 2**18
# Many clients read a response only after they have sent the whole body. The server discards the rest of a refused body:
# so many bodies of the largest size, for so many seconds.
_DISCARDED_BODIES, _DISCARD_SECONDS = 5, 10.0
# Seconds that a client may keep its side open after a response that closes the connection.
_LINGER_SECONDS = 2.0
# Seconds between two checks of the deadlines.
_CHECK_SECONDS = 0.25
# Age in seconds from which an incomplete body gives way to others when the buffers are full.
_STALE_SECONDS = 1.0
# Health, page and descriptions are quick. They must not wait for images.
_QUICK_THREADS = 4
# The system cannot open another connection.
_EXHAUSTED = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)

_BLANK_LINE = re.compile(rb"\r?\n\r?\n")
# Compiled when the first chunk arrives: few clients send any.
_CHUNK_SIZE = rb"([0-9a-fA-F]{1,8})" + CHUNK_EXT_RE.pattern + rb"\r\n"
_MAX_CHUNK_LINE = 2**13
_MAX_FIRST_LINE = 2**13
# gunicorn's errors for a head without a first line.
_INCOMPLETE = (NoMoreData, StopIteration)


Step = Callable[["_Connection"], None]


def buffer_bytes(settings: Settings) -> int:
    """Return the most bytes of heads and bodies that all connections hold.

    A body that grows takes up to an eighth more, or a copy of itself. One more of the largest bodies allows for that.
    """
    return MAX_CONNECTIONS * MAX_HEAD_BYTES + (BODY_BUFFERS + 1) * settings.max_request_bytes


class UnreadBodyError(Exception):
    """The server did not read the request's body to its end."""

    def __init__(self, status: HTTPStatus) -> None:
        """Keep the reason: 400 for a body that ended early, 408, 413, or 503 for full buffers."""
        super().__init__(status.phrase)
        self.status = status


def deadline(environment: Mapping[str, Any], seconds: float) -> Deadline:
    """Return the deadline of a request: `seconds` after its first byte, or after now on another server."""
    found = getattr(environment.get("gunicorn.socket"), "deadline", None)
    return found if isinstance(found, Deadline) else Deadline.after(seconds)


@cache
def _chunk_size() -> re.Pattern[bytes]:
    return re.compile(_CHUNK_SIZE)


class _UnreadBody(io.RawIOBase):
    """The body that a handler finds if the server did not read it: it raises the reason."""

    def __init__(self, reason: Exception) -> None:
        self._reason = reason

    def readable(self) -> bool:
        return True

    def readinto(self, _: Any) -> int:
        raise self._reason


class _Output:
    """Takes the place of the socket that gunicorn writes a response to, and collects the bytes."""

    def __init__(self, deadline: Deadline) -> None:
        self.deadline = deadline
        self.data = bytearray()

    def sendall(self, data: bytes) -> None:
        self.data += data

    def send(self, data: bytes) -> int:
        # gunicorn's 100 Continue. The loop has sent it.
        return len(data)

    def gettimeout(self) -> float:
        return 0.0

    def shutdown(self, _: int) -> None:
        raise OSError

    def close(self) -> None:
        pass


class _Body:
    """Collects a request's body, from what a connection receives or has in its buffer."""

    def __init__(self, length: int | None) -> None:
        """Expect `length` bytes, or chunks for None."""
        self.data = io.BytesIO()
        self.size = 0
        """Bytes of `data`."""
        self.left = length or 0
        """Missing bytes: of the body, or of the present chunk."""
        self.chunked = length is None
        self._chunks = 0

    def take(self, buffer: bytearray) -> bool:
        """Take what belongs to the body, and return whether the body is complete.

        Raises:
            InvalidChunkSize: the body is not validly chunked.
        """
        self._move(buffer)
        while self.chunked and not self.left:
            if not self._begin_chunk(buffer):
                return False
            self._move(buffer)
        return not self.left

    def receive(self, data: memoryview, buffer: bytearray) -> None:
        """Add what belongs to the body, or to its present chunk, without the way through the buffer."""
        # What is in the buffer came first.
        taken = 0 if buffer else self._add(data)
        buffer += data[taken:]

    def _add(self, data: memoryview) -> int:
        count = self.data.write(data[: self.left]) if self.left else 0
        self.left -= count
        self.size += count
        return count

    def _move(self, buffer: bytearray) -> None:
        if self.left and buffer:
            with memoryview(buffer) as view:
                count = self._add(view)
            del buffer[:count]

    def _begin_chunk(self, buffer: bytearray) -> bool:
        """Take a chunk's size, or the trailer. Return False if it is incomplete."""
        # A line break ends the chunk before.
        begin = 2 if self._chunks else 0
        if buffer[:begin] != b"\r\n"[: min(begin, len(buffer))] or self._chunks == MAX_CHUNKS:
            raise InvalidChunkSize(bytes(buffer[:8]))
        line = _chunk_size().match(buffer, begin)
        if line is None:
            if buffer.find(b"\n", begin) >= 0 or len(buffer) > _MAX_CHUNK_LINE:
                raise InvalidChunkSize(bytes(buffer[:8]))
            return False
        end, size = line.end(), int(line[1], 16)
        if not size:
            # The trailer ends with an empty line.
            empty = end if buffer.startswith(b"\r\n", end) else buffer.find(b"\r\n\r\n", end) + 2
            if empty < end:
                if len(buffer) > MAX_HEAD_BYTES:
                    raise LimitRequestHeaders("trailer")
                return False
            self.chunked = False
            end = empty + 2
        del buffer[:end]
        self._chunks += 1
        self.left = size
        return True


class _Connection:
    """One client's connection, and the request that it sends."""

    def __init__(self, client: socket.socket, address: Any, server: Any) -> None:
        self.socket = client
        # Names that gunicorn expects.
        self.client, self.server = address, server
        self.sock = _Output(Deadline(0))
        self.buffer = bytearray()
        """Bytes that the loop has read and no request has taken."""
        self.until = 0.0
        """Time of the step `expired`, in seconds of the monotonic clock."""
        self.expired: Step = lambda _: None
        self.keep = False
        """Whether the connection stays open after the response."""
        self.rest = 0
        """Bytes of a refused body that are missing."""
        self.discarded = 0
        self.begin()

    def begin(self) -> None:
        """Expect a new request."""
        self.request: Any = None
        self.body = _Body(0)
        self.started = 0.0
        """Time of the request's first byte."""
        self._scanned = 0

    def head(self) -> bytes | None:
        """Take the head of a request from the buffer, or return None if it is incomplete.

        Raises:
            LimitRequestHeaders: the head is too large.
        """
        end = _BLANK_LINE.search(self.buffer, max(self._scanned - 3, 0))
        self._scanned = len(self.buffer)
        if end is None and b"\n" not in self.buffer and self._scanned > _MAX_FIRST_LINE:
            # gunicorn refuses the first line.
            return self._cut(self._scanned)
        if (end.end() if end else self._scanned) > MAX_HEAD_BYTES:
            raise LimitRequestHeaders("head")
        return self._cut(end.end()) if end else None

    def _cut(self, end: int) -> bytes:
        head = bytes(self.buffer[:end])
        del self.buffer[:end]
        return head

    def send(self) -> bool:
        """Send as much of the response as the client takes, and return whether it was all.

        Raises:
            OSError: the client has closed the connection.
        """
        data = self.sock.data
        while data:
            try:
                del data[: self.socket.send(data)]
            except BlockingIOError:
                return False
        return True


class Worker(ThreadWorker):  # type: ignore[misc]
    """gunicorn's threaded worker, with this module's connections.

    A connection belongs either to the loop, which waits for its client, or to a thread, which processes its request.
    """

    settings = Settings()
    """The time limits and the largest body. Set before the server starts."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        # Connections that the loop waits for. Those that were silent longest come first.
        self._watched: dict[_Connection, None] = {}
        # Connections that wait for room in the buffers.
        self._paused: dict[_Connection, None] = {}
        self._buffered = 0
        # Each read goes here, and from here to its place. New memory for each would cost more time than that copy.
        self._piece = memoryview(bytearray(_BODY_PIECE))
        self._checked = 0.0

    def get_thread_pool(self) -> ThreadPoolExecutor:
        """Return the threads for requests with a body, and make those for requests without: they never wait."""
        self._quick = ThreadPoolExecutor(_QUICK_THREADS, thread_name_prefix="quick")
        return ThreadPoolExecutor(self.cfg.threads, thread_name_prefix="requests")

    def accept(self, listener: socket.socket) -> None:
        """Accept clients. If there are too many, close the connections that were silent longest."""
        for _ in range(MAX_CONNECTIONS):
            try:
                client, address = listener.accept()
            except OSError as error:
                if error.errno in _EXHAUSTED and not self._close_silent():
                    # Every connection is at work. Another attempt must wait.
                    time.sleep(_CHECK_SECONDS)
                return
            client.setblocking(False)
            self.nr_conns += 1
            self._run(self._read, _Connection(client, address, listener.getsockname()))
            if self.nr_conns >= MAX_CONNECTIONS and not self._close_silent():
                return

    def murder_keepalived(self, force: bool = False) -> None:
        """End the connections that have reached their time limit, or all. gunicorn calls this after its events."""
        now = time.monotonic()
        if now < self._checked + _CHECK_SECONDS and not force:
            return
        self._checked = now
        for connection in (*self._watched, *self._paused):
            if force:
                self._close(connection)
            elif connection.until <= now:
                self._run(connection.expired, connection)
        self._resume()

    def _cap_keepalive(self, deadline: float) -> None:
        """Let connections without a request end soon. gunicorn calls this when it stops."""
        for connection in self._watched:
            if connection.request is None:
                connection.until = min(connection.until, deadline)

    def _run(self, step: Step, connection: _Connection) -> None:
        """Run a step. A failure must not end the loop."""
        try:
            step(connection)
        except Exception as error:
            log.error("unexpected failure", exc_info=error)
            self._close(connection)

    def _wait(self, connection: _Connection, event: int, step: Step) -> None:
        """Run `step` at the next event."""

        def ready(_: object) -> None:
            self._run(step, connection)

        if connection in self._watched:
            self.poller.modify(connection.socket, event, ready)
            del self._watched[connection]
        else:
            self.poller.register(connection.socket, event, ready)
        self._watched[connection] = None

    def _release(self, connection: _Connection) -> None:
        """Stop waiting for a client."""
        self._paused.pop(connection, None)
        if connection in self._watched:
            del self._watched[connection]
            self.poller.unregister(connection.socket)

    def _close(self, connection: _Connection) -> None:
        self._release(connection)
        self._drop(connection)
        connection.socket.close()
        self.nr_conns -= 1

    def _close_silent(self) -> bool:
        for connection in self._watched:
            self._close(connection)
            return True
        return False

    # A client sends a request.

    def _read(self, connection: _Connection) -> None:
        if connection.request is not None and not self._room(connection):
            self._pause(connection)
            return
        try:
            size = _HEAD_PIECE if connection.request is None else _BODY_PIECE
            count = connection.socket.recv_into(self._piece, size)
        except BlockingIOError:
            self._advance(connection)
            return
        except OSError:
            count = 0
        if count:
            before = connection.body.size
            connection.body.receive(self._piece[:count], connection.buffer)
            self._buffered += connection.body.size - before
            self._advance(connection)
        elif connection.request is None:
            self._close(connection)
        else:
            connection.body.left = 0
            self._submit(connection, UnreadBodyError(HTTPStatus.BAD_REQUEST))

    def _advance(self, connection: _Connection) -> None:
        """Take what the buffer contains of a request. Then submit the request, or wait for more."""
        try:
            if connection.request is None:
                self._take_head(connection)
            if connection.request is not None and self._take_body(connection):
                self._submit(connection)
                return
        except UnreadBodyError as reason:
            self._submit(connection, reason)
            return
        except (ParseException, StopIteration) as error:
            if connection.request is None:
                self._refuse(connection, InvalidRequestLine("") if isinstance(error, _INCOMPLETE) else error)
            else:
                self._submit(connection, error)
            return
        limit = connection.started + self.settings.request_timeout
        if connection.request is not None:
            connection.until, connection.expired = limit, self._submit_late
        elif connection.started:
            connection.until, connection.expired = limit, self._refuse_late
        else:
            # A response may end after `_cap_keepalive`.
            seconds = self.settings.keepalive_timeout if self.alive else STOP_KEEPALIVE_LINGER
            connection.until, connection.expired = time.monotonic() + seconds, self._close
        self._wait(connection, EVENT_READ, self._read)

    def _take_head(self, connection: _Connection) -> None:
        # RFC 9112, section 2.2: a server ignores empty lines before a request.
        while connection.buffer.startswith(b"\r\n"):
            del connection.buffer[:2]
        if connection.buffer and not connection.started:
            connection.started = time.monotonic()
            connection.sock = _Output(Deadline(connection.started + self.settings.request_timeout))
        head = connection.head()
        if head is None:
            return
        request = next(RequestParser(self.cfg, [head], connection.client))
        reader = request.body.reader
        length = reader.length if isinstance(reader, LengthReader) else None
        connection.request, connection.body = request, _Body(length)
        if (length or 0) > self.settings.max_request_bytes:
            raise UnreadBodyError(HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
        if request._expected_100_continue:
            with suppress(OSError):
                connection.socket.send(b"HTTP/1.1 100 Continue\r\n\r\n")

    def _take_body(self, connection: _Connection) -> bool:
        body = connection.body
        before = body.size
        try:
            complete = body.take(connection.buffer)
        finally:
            self._buffered += body.size - before
        if body.size + body.left > self.settings.max_request_bytes:
            raise UnreadBodyError(HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
        return complete

    def _submit_late(self, connection: _Connection) -> None:
        self._submit(connection, UnreadBodyError(HTTPStatus.REQUEST_TIMEOUT))

    def _submit_busy(self, connection: _Connection) -> None:
        self._submit(connection, UnreadBodyError(HTTPStatus.SERVICE_UNAVAILABLE))

    def _refuse_late(self, connection: _Connection) -> None:
        util.write_error(connection.sock, HTTPStatus.REQUEST_TIMEOUT, "", "")
        self._send(connection)

    def _refuse(self, connection: _Connection, error: Exception) -> None:
        self.handle_error(None, connection.sock, connection.client, error)
        self._send(connection)

    # The buffers are full.

    def _room(self, connection: _Connection) -> bool:
        """Return whether a body may grow. The oldest incomplete body gives way."""
        size = BODY_BUFFERS * self.settings.max_request_bytes
        if self._buffered < size:
            return True
        stale = time.monotonic() - _STALE_SECONDS
        bodies = [each for each in (*self._watched, *self._paused) if each.body.size and each.started < stale]
        oldest = min(bodies, key=lambda each: each.started, default=connection)
        if oldest is not connection:
            self._submit_busy(oldest)
        return self._buffered < size

    def _pause(self, connection: _Connection) -> None:
        self._release(connection)
        self._paused[connection] = None
        connection.expired = self._submit_busy

    def _resume(self) -> None:
        for connection in tuple(self._paused):
            # One that gave way to another is no longer here.
            if self._paused.pop(connection, connection) is None:
                self._run(self._read, connection)

    # A thread processes the request.

    def _submit(self, connection: _Connection, reason: Exception | None = None) -> None:
        """Let a thread process the request. With a `reason`, its handler finds that instead of the body."""
        self._release(connection)
        request, body = connection.request, connection.body
        if reason is None:
            # Both share the body's bytes, and so does the handler that reads all of them at once.
            request.body = io.BytesIO(body.data.getvalue())
            body.data.close()
        else:
            request.body = _UnreadBody(reason)
            request.force_close()
            # The end of a chunked body is unknown.
            connection.rest = sys.maxsize if body.chunked else body.left
            self._buffered -= body.size
            connection.body = _Body(0)
        threads = self.tpool if body.size or reason else self._quick
        future = threads.submit(self._respond, connection)
        future.add_done_callback(lambda _: self.method_queue.defer(self._run, self._responded, connection))

    def _respond(self, connection: _Connection) -> None:
        try:
            connection.keep = self.handle_request(connection.request, connection)
        except StopIteration:
            # gunicorn has logged a failure in the middle of a response.
            connection.keep = False
        except (Exception, SystemExit) as error:
            self.handle_error(connection.request, connection.sock, connection.client, error)
            connection.keep = False
        with suppress(OSError):
            connection.send()

    def _responded(self, connection: _Connection) -> None:
        self._drop(connection)
        self._send(connection)
        self._resume()

    def _drop(self, connection: _Connection) -> None:
        """Forget the request and its body."""
        self._buffered -= connection.body.size
        connection.request, connection.body = None, _Body(0)

    # The client reads the response.

    def _send(self, connection: _Connection) -> None:
        try:
            complete = connection.send()
        except OSError:
            self._close(connection)
            return
        if not complete:
            # Twice the time of a request: as long for the response as for the request.
            connection.until = connection.started + 2 * self.settings.request_timeout
            connection.expired = self._close
            self._wait(connection, EVENT_WRITE, self._send)
        elif connection.keep:
            connection.begin()
            self._advance(connection)
        else:
            self._linger(connection)

    def _linger(self, connection: _Connection) -> None:
        """End the server's side, and discard what the client still sends until it closes.

        A socket that is closed with unread bytes resets the connection, and the client may lose the response.
        """
        try:
            connection.socket.shutdown(socket.SHUT_WR)
        except OSError:
            self._close(connection)
            return
        seconds = _DISCARD_SECONDS if connection.rest > len(connection.buffer) else _LINGER_SECONDS
        connection.buffer.clear()
        connection.until, connection.expired = time.monotonic() + seconds, self._close
        self._wait(connection, EVENT_READ, self._discard)

    def _discard(self, connection: _Connection) -> None:
        try:
            count = connection.socket.recv_into(self._piece)
        except BlockingIOError:
            return
        except OSError:
            count = 0
        connection.discarded += count
        if not count or connection.discarded > _DISCARDED_BODIES * self.settings.max_request_bytes:
            self._close(connection)
