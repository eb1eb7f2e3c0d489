"""Load: many clients, slow clients, the stop of the process, and 20,000 requests."""

from __future__ import annotations

import json
import signal
import socket
import threading
import time
from base64 import b64encode
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from io import BytesIO
from itertools import cycle, islice
from urllib.parse import urlsplit

import psutil
import pytest
from PIL import Image

from tests.conftest import FUNCTION
from tests.server import Server, serve
from training.faces import draw

QUICK, SLOW = 64, 12


def instances(*images: bytes) -> bytes:
    return json.dumps({"instances": [{"b64": b64encode(image).decode()} for image in images]}).encode()


def large() -> bytes:
    """Return an image of few bytes that takes a tenth of a second to decode."""
    out = BytesIO()
    Image.new("RGB", (4000, 4000), "gray").save(out, "PNG")
    return out.getvalue()


def connect(server: Server, body: bytes, sent: int) -> socket.socket:
    """Send a request's header and the first `sent` bytes of its body."""
    address = urlsplit(server.url)
    client = socket.create_connection((address.hostname, address.port), timeout=30)
    head = f"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Type: image/jpeg\r\nContent-Length: {len(body)}\r\n\r\n"
    client.sendall(head.encode() + body[:sent])
    return client


@contextmanager
def trickling(server: Server, face: bytes) -> Iterator[list[socket.socket]]:
    """Run clients that send a byte every 0.1 seconds."""
    clients = [connect(server, face, 1) for _ in range(SLOW)]
    stop = threading.Event()

    def trickle() -> None:
        for position in range(1, len(face)):
            if stop.wait(0.1):
                return
            for client in clients:
                # The server may have closed the connection.
                with suppress(OSError):
                    client.send(face[position : position + 1])

    sender = threading.Thread(target=trickle)
    sender.start()
    try:
        yield clients
    finally:
        stop.set()
        sender.join()
        for client in clients:
            client.close()


def seconds_for_all(server: Server, face: bytes) -> float:
    began = time.monotonic()
    with ThreadPoolExecutor(QUICK) as clients:
        responses = list(clients.map(lambda _: server.post(face), range(4 * QUICK)))
    assert {response.status_code for response in responses} == {200}
    return time.monotonic() - began


def test_many_clients_get_what_one_gets_alone_bit_for_bit(server: Server) -> None:
    faces = [draw(age, age % 2, age % 5, seed=age) for age in range(0, 80, 5)]
    alone = [server.post(face).content for face in faces]
    with ThreadPoolExecutor(QUICK) as clients:
        assert list(clients.map(lambda face: server.post(face).content, faces * 8)) == alone * 8


@pytest.mark.serial
def test_quick_clients_do_not_wait_for_slow_ones(server: Server, face: bytes) -> None:
    alone = min(seconds_for_all(server, face) for _ in range(2))
    with trickling(server, face):
        assert min(seconds_for_all(server, face) for _ in range(3)) < 2 * alone


def test_a_body_that_is_not_whole_in_time_gets_408(face: bytes) -> None:
    with serve(FUNCTION, REQUEST_TIMEOUT="1") as server, trickling(server, face) as clients:
        began = time.monotonic()
        for client in clients:
            prediction = client.recv(2000)
            assert prediction.startswith(b"HTTP/1.1 408")
            assert b"did not arrive within 1 seconds" in prediction + client.recv(2000)
        assert time.monotonic() - began < 4


def test_a_request_whose_time_passes_while_it_waits_gets_503() -> None:
    image = large()
    with serve(FUNCTION, REQUEST_TIMEOUT="1") as server, ThreadPoolExecutor(60) as clients:
        began = time.monotonic()
        responses = list(clients.map(lambda _: server.post(image), range(60)))
        assert time.monotonic() - began < 10
    refused = [response for response in responses if response.status_code == 503]
    assert 0 < len(refused) < len(responses)
    assert refused[0].headers["Retry-After"] == "1"
    assert "the server is busy" in refused[0].json()["detail"]


def test_clients_that_keep_their_connections_do_not_delay_a_stop(face: bytes) -> None:
    """Some responses end while the server stops: their connections must not stay open for the whole keep-alive."""
    with serve(FUNCTION) as server:
        address = urlsplit(server.url)
        clients = [socket.create_connection((address.hostname, address.port)) for _ in range(40)]
        head = f"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Type: image/jpeg\r\nContent-Length: {len(face)}\r\n\r\n"
        for client in clients:
            client.sendall(head.encode() + face)
        assert clients[0].recv(1)
        server.process.send_signal(signal.SIGTERM)
        server.process.wait(timeout=15)
        for client in clients:
            client.close()


def test_a_stop_finishes_what_is_in_flight() -> None:
    image = large()
    with serve(FUNCTION) as server, ThreadPoolExecutor(1) as client:
        waiting = client.submit(server.post, instances(*[image] * 10), "application/json")
        time.sleep(0.3)
        assert not waiting.done()
        server.process.send_signal(signal.SIGTERM)
        assert len(waiting.result().json()["predictions"]) == 10
        assert server.process.wait(timeout=30) == 0


@pytest.mark.slow
def test_memory_after_twenty_thousand_mixed_requests_is_flat(face: bytes) -> None:
    png = BytesIO()
    Image.open(BytesIO(face)).save(png, "PNG")
    mixed = [
        (face, "image/jpeg"),
        (png.getvalue(), "image/png"),
        (face[:-300], "image/jpeg"),
        (b"no image", "image/jpeg"),
        (instances(face, b"no image", face), "application/json"),
        (b"{", "application/json"),
        (b"x" * 100_000, "text/plain"),
        (b"", "image/jpeg"),
    ]
    with serve(FUNCTION) as server:

        def ask(count: int) -> float:
            with ThreadPoolExecutor(8) as clients:
                requests = islice(cycle(mixed), count)
                responses = clients.map(lambda one: server.post(*one), requests)
                assert max(response.status_code for response in responses) < 500
            processes = psutil.Process(server.process.pid).children(recursive=True)
            return float(sum(process.memory_full_info().uss for process in processes)) / 1e6

        warm = ask(4_000)
        assert ask(16_000) - warm < 3
