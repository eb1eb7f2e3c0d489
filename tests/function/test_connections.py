"""Clients that hold a connection, send slowly, or send too much: they delay nobody but themselves."""

from __future__ import annotations

import http.client
import json
import random
import shutil
import socket
import subprocess
import time
from base64 import b64encode
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from io import BytesIO
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import requests
import urllib3
from gunicorn.http.errors import InvalidChunkSize
from PIL import Image

from serving.connections import _Body
from serving.settings import Settings
from tests.conftest import FUNCTION
from tests.function.test_logs import all_lines
from tests.server import Server, serve

KEY = "correct-horse-battery-staple"
THREADS = 4
# More than there are threads.
CLIENTS = 40
LIMIT = 2 * 2**20
# More than the limit, and more than the buffers of a loopback connection.
LARGE = b"\xff\xd8\xff" + bytes(9 * 2**20)


@pytest.fixture(scope="module")
def small() -> Iterator[Server]:
    """A server with few threads."""
    with serve(FUNCTION, THREADS=str(THREADS), API_KEY=KEY, MAX_REQUEST_BYTES=str(LIMIT)) as running:
        yield running


def connect(server: Server, data: bytes = b"") -> socket.socket:
    address = urlsplit(server.url)
    client = socket.socket()
    client.settimeout(10)
    # A small one, so a client that does not read soon blocks its sender.
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    client.connect((address.hostname, address.port))
    client.sendall(data)
    return client


def received(client: socket.socket) -> bytes:
    """Everything until the server closes."""
    return b"".join(iter(lambda: client.recv(2**16), b""))


@contextmanager
def held(server: Server, data: bytes, count: int = CLIENTS) -> Iterator[list[socket.socket]]:
    """Connections that send the same, and keep their side open."""
    with ExitStack() as stack:
        yield [stack.enter_context(connect(server, data)) for _ in range(count)]


HALF_BODY = (
    f"POST /predict HTTP/1.1\r\nHost: a\r\nX-API-Key: {KEY}\r\nContent-Type: image/jpeg\r\nContent-Length: 9000\r\n\r\n"
).encode() + bytes(4000)


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"", id="silent"),
        pytest.param(b"GET /health HTTP/1.1\r\nHost:", id="half a head"),
        pytest.param(HALF_BODY, id="half a body"),
        pytest.param(
            HALF_BODY[:-4000].replace(b"Content-Length: 9000", b"Transfer-Encoding: chunked") + b"ff\r\nabc",
            id="half a chunk",
        ),
        pytest.param(b"GET /health HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", id="open after close"),
        pytest.param(b"GET /health HTTP/1.0\r\n\r\n", id="open after HTTP/1.0"),
        pytest.param(b"GET /health HTTP/1.1\r\nHost: a\r\n\r\n", id="idle"),
        pytest.param(b"nonsense\r\n\r\n", id="open after a refusal"),
    ],
)
def test_more_clients_than_threads_delay_nobody(small: Server, data: bytes) -> None:
    with held(small, data):
        require_health_within_a_second(small)


def require_health_within_a_second(server: Server) -> None:
    for _ in range(5):
        began = time.monotonic()
        assert server.get("/health").is_success
        assert time.monotonic() - began < 1


def test_clients_that_do_not_read_delay_nobody(small: Server) -> None:
    # Few clients, so their responses soon fill the system's buffers.
    with held(small, b"GET /openapi.json HTTP/1.1\r\nHost: a\r\n\r\n" * 300, THREADS + 1):
        time.sleep(2)
        require_health_within_a_second(small)


def test_requests_at_work_do_not_delay_health(small: Server) -> None:
    out = BytesIO()
    Image.new("RGB", (2000, 2000), "gray").save(out, "PNG")
    batch = json.dumps({"instances": [{"b64": b64encode(out.getvalue()).decode()}] * 16}).encode()
    with ThreadPoolExecutor(THREADS + 1) as clients:
        at_work = [
            clients.submit(small.post, batch, "application/json", **{"X-API-Key": KEY}) for _ in range(THREADS + 1)
        ]
        time.sleep(0.2)
        require_health_within_a_second(small)
        assert not any(each.done() for each in at_work[THREADS:])
    assert {each.result().status_code for each in at_work} <= {200, 503}


def test_more_connections_than_the_server_keeps_close_the_silent_ones(small: Server) -> None:
    with ExitStack() as stack:
        silent = [stack.enter_context(connect(small)) for _ in range(500)]
        others = [stack.enter_context(connect(small, b"GET / HT")) for _ in range(550)]
        assert small.get("/health").is_success
        silent[0].settimeout(5)
        assert silent[0].recv(1) == b""
        others[-1].sendall(b"TP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        assert received(others[-1]).startswith(b"HTTP/1.1 200")


def test_full_buffers_refuse_the_oldest_incomplete_body(small: Server, face: bytes) -> None:
    part = HALF_BODY.replace(b"9000", str(LIMIT).encode()) + bytes(LIMIT - 5000)
    with held(small, part, 5) as clients:
        time.sleep(1.2)
        began = time.monotonic()
        for _ in range(3):
            assert small.post(face, **{"X-API-Key": KEY}).status_code == 200
        assert time.monotonic() - began < 3
        oldest = clients[0].recv(2**16)
        assert oldest.startswith(b"HTTP/1.1 503")
        assert b"Retry-After: 1" in oldest


def test_a_head_that_does_not_arrive_in_time_is_refused_and_the_connection_closed() -> None:
    with serve(FUNCTION, REQUEST_TIMEOUT="1") as server, connect(server, b"GET /health HTTP/1.1\r\nHo") as client:
        began = time.monotonic()
        response = received(client)
        assert response.startswith(b"HTTP/1.1 408")
        assert b"did not arrive in time" in response
        assert 0.9 < time.monotonic() - began < 4


@pytest.mark.slow
def test_keep_alive_outlives_the_idle_timeout_of_common_load_balancers() -> None:
    assert Settings().keepalive_timeout > 60
    get = b"GET /health HTTP/1.1\r\nHost: a\r\n\r\n"
    with serve(FUNCTION, KEEPALIVE_TIMEOUT="3") as server, connect(server, get) as client:
        assert client.recv(2**16).startswith(b"HTTP/1.1 200")
        # gunicorn's default would have closed by now.
        time.sleep(2.5)
        client.sendall(get)
        assert client.recv(2**16).startswith(b"HTTP/1.1 200")
        began = time.monotonic()
        assert client.recv(1) == b""
        assert 2.5 < time.monotonic() - began < 6


def test_pipelined_requests_get_their_responses_in_order(small: Server) -> None:
    paths = ["/health", "/nothing", "/v2/health/live", "/page.js", "/health"]
    requests_ = "".join(f"GET {path} HTTP/1.1\r\nHost: a\r\n\r\n" for path in paths).encode()
    with connect(small, requests_[:-2] + b"Connection: close\r\n\r\n") as client:
        responses = received(client)
    found = [responses.find(part) for part in (b'"status": "ok"', b"404", b'"live"', b"javascript")]
    assert found == sorted(found)
    assert -1 not in found
    assert responses.count(b"HTTP/1.1 ") == len(paths)


@pytest.mark.parametrize("home", ["/proc", ""])
def test_there_is_no_control_socket(home: str, tmp_path: Path) -> None:
    with serve(FUNCTION, HOME=home or str(tmp_path), XDG_RUNTIME_DIR="") as server:
        assert server.get("/health").is_success
        assert all_lines(server) == []
    assert list(tmp_path.iterdir()) == []


# Clients of every kind read the refusal of a body that they are still sending.


def by_http_client(url: str, headers: dict[str, str]) -> int:
    address = urlsplit(url)
    client = http.client.HTTPConnection(str(address.hostname), address.port, timeout=20)
    client.request("POST", address.path, LARGE, headers)
    return client.getresponse().status


def by_requests(url: str, headers: dict[str, str]) -> int:
    return requests.post(url, LARGE, headers=headers, timeout=20).status_code


def by_requests_in_chunks(url: str, headers: dict[str, str]) -> int:
    pieces = (LARGE[begin : begin + 2**16] for begin in range(0, len(LARGE), 2**16))
    return requests.post(url, pieces, headers=headers, timeout=20).status_code


def by_urllib3(url: str, headers: dict[str, str]) -> int:
    return urllib3.PoolManager(retries=False).request("POST", url, body=LARGE, headers=headers).status


def by_curl(url: str, headers: dict[str, str]) -> int:
    options = [option for name, value in headers.items() for option in ("-H", f"{name}: {value}")]
    command = ["curl", "-sS", "-o", "/dev/null", "-w", "%{http_code}", "--data-binary", "@-", *options, url]
    return int(subprocess.run(command, input=LARGE, capture_output=True, check=True).stdout)


def by_curl_without_expect(url: str, headers: dict[str, str]) -> int:
    return by_curl(url, headers | {"Expect": ""})


def by_node(url: str, headers: dict[str, str]) -> int:
    if not shutil.which("node"):
        pytest.skip("node is not installed; on Debian and Ubuntu: sudo apt-get install nodejs")
    script = (
        "const [url, headers, size] = JSON.parse(process.argv[1]);"
        "fetch(url, {method: 'POST', body: new Uint8Array(size), headers})"
        ".then(async response => { await response.text(); console.log(response.status); })"
    )
    command = ["node", "-e", script, json.dumps([url, headers, len(LARGE)])]
    return int(subprocess.run(command, capture_output=True, check=True, timeout=30).stdout)


CLIENTS_OF_EVERY_KIND = [
    by_http_client,
    by_requests,
    by_requests_in_chunks,
    by_urllib3,
    by_curl,
    by_curl_without_expect,
    by_node,
]


@pytest.mark.parametrize("send", CLIENTS_OF_EVERY_KIND)
def test_clients_read_the_refusal_of_a_large_body(small: Server, send: Callable[[str, dict[str, str]], int]) -> None:
    headers = {"Content-Type": "image/jpeg", "X-API-Key": KEY}
    for _ in range(3):
        assert send(f"{small.url}/predict", headers) == 413
    assert send(f"{small.url}/predict", {"Content-Type": "image/jpeg"}) == 401


@pytest.mark.parametrize("send", CLIENTS_OF_EVERY_KIND)
def test_clients_read_a_404_for_a_large_body(small: Server, send: Callable[[str, dict[str, str]], int]) -> None:
    assert send(f"{small.url}/nothing", {"Content-Type": "image/jpeg"}) == 404


# Bodies in chunks.


def chunked(data: bytes, dice: random.Random) -> bytes:
    body, position = b"", 0
    while position < len(data):
        size = dice.randint(1, 60)
        piece = data[position : position + size]
        position += size
        line = dice.choice([f"{len(piece):x}", f"{len(piece):X}", f"00{len(piece):x}", f"{len(piece):x};a=b"])
        body += f"{line}\r\n".encode() + piece + b"\r\n"
    return body + b"0\r\n" + dice.choice([b"", b"A: b\r\n", b"A: b\r\nC: d\r\n"]) + b"\r\n"


def test_chunks_in_any_pieces_give_the_body_and_leave_the_next_request() -> None:
    for seed in range(300):
        dice = random.Random(seed)  # noqa: S311
        data = dice.randbytes(dice.randint(0, 500))
        sent, buffer, body = chunked(data, dice) + b"GET /", bytearray(), _Body(None)
        complete = False
        while sent:
            count = dice.randint(1, 40)
            body.receive(memoryview(sent)[:count], buffer)
            sent = sent[count:]
            complete = complete or body.take(buffer)
        assert (complete, body.data.getvalue(), bytes(buffer)) == (True, data, b"GET /"), f"seed {seed}"


def test_a_body_of_known_length_in_any_pieces_leaves_the_next_request() -> None:
    for seed in range(100):
        dice = random.Random(seed)  # noqa: S311
        data = dice.randbytes(dice.randint(0, 500))
        # The first bytes came with the head.
        sent, early = data + b"GET /", dice.randint(0, 600)
        buffer, body = bytearray(sent[:early]), _Body(len(data))
        sent = sent[early:]
        complete = body.take(buffer)
        while sent:
            count = dice.randint(1, 40)
            body.receive(memoryview(sent)[:count], buffer)
            sent = sent[count:]
            complete = body.take(buffer)
        assert (complete, body.data.getvalue(), bytes(buffer)) == (True, data, b"GET /"), f"seed {seed}"


@pytest.mark.parametrize(
    "data",
    [b"zz\r\n", b"-1\r\n", b"1\nab", b"\r\n", b" 1\r\n", b"1\r\nab\r\n", b"1\r\na\n\r\n", b"0x1\r\na\r\n", b"1" * 9000],
)
def test_invalid_chunks_are_refused(data: bytes) -> None:
    with pytest.raises(InvalidChunkSize):
        _Body(None).take(bytearray(data))


def test_too_many_chunks_are_refused() -> None:
    buffer = bytearray(b"1\r\na\r\n" * 2**17)
    with pytest.raises(InvalidChunkSize):
        _Body(None).take(buffer)
