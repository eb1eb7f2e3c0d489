"""Malformed and unusual HTTP requests."""

from __future__ import annotations

import pytest

from tests.raw_http import exchange
from tests.server import Server


def request(*lines: str, body: bytes = b"") -> bytes:
    return "\r\n".join((*lines, "Connection: close", "", "")).encode("latin-1") + body


GET, POST, HOST, JPEG = "GET /health HTTP/1.1", "POST /predict HTTP/1.1", "Host: here", "Content-Type: image/jpeg"


@pytest.mark.parametrize(
    ("sent", "status", "said"),
    [
        (request("GET /" + "a" * 9000 + " HTTP/1.1", HOST), 414, "8190 bytes"),
        (b"GET /" + b"a" * 20_000, 414, "8190 bytes"),
        (request(GET, HOST, "X: " + "a" * 9000), 431, "8190 bytes"),
        (request(GET, HOST, *(f"X{number}: a" for number in range(150))), 431, "100 fields"),
        (request(POST, HOST, "Content-Length: 1", "Content-Length: 2", body=b"ab"), 400, "contradict"),
        (request(POST, HOST, "Content-Length: 1", "Content-Length: 1", body=b"a"), 400, "contradict"),
        (request(POST, HOST, "Content-Length: 5", "Transfer-Encoding: chunked", body=b"0\r\n\r\n"), 400, "contradict"),
        (request(POST, HOST, "Content-Length: -1"), 400, "malformed"),
        (request(POST, HOST, "Transfer-Encoding: wombat", body=b"0\r\n\r\n"), 400, "chunked"),
        (request(POST, HOST, "Transfer-Encoding: gzip, chunked", body=b"0\r\n\r\n"), 400, "chunked"),
        (
            request(POST, HOST, "Content-Type: image/jpeg", "Transfer-Encoding: chunked", body=b"zz\r\n"),
            400,
            "malformed",
        ),
        (request(POST, HOST, JPEG, "Content-Encoding: gzip"), 415, "Content-Encoding"),
        (request(POST, HOST, "Expect: wombat"), 417, "100-continue"),
        (request(GET, HOST, "Host: there"), 400, "hosts"),
        (request(GET, HOST, "X: a", " folded"), 400, "malformed"),
        (request("get /health HTTP/1.1", HOST), 400, "malformed"),
        (request("GET /health HTTP/3.0", HOST), 400, "HTTP/1.1"),
        (request("GET /health", HOST), 400, "malformed"),
        (b"\x16\x03\x01\x02\x00\x01\x00\r\n\r\n", 400, "malformed"),
        (request("GET /%00%ff/../../etc/passwd HTTP/1.1", HOST), 404, "GET /docs"),
        (request("OPTIONS * HTTP/1.1", HOST), 404, "GET /docs"),
        (request("CONNECT elsewhere:443 HTTP/1.1", HOST), 404, "GET /docs"),
        (request("TRACE /health HTTP/1.1", HOST), 405, "accepts GET, HEAD, OPTIONS"),
        (request("WOMBAT /predict HTTP/1.1", HOST), 405, "accepts POST, OPTIONS"),
    ],
)
def test_malformed_requests_are_refused_with_problem_details(
    server: Server, sent: bytes, status: int, said: str
) -> None:
    response = exchange(server.url, sent)
    assert (response.status, response.json()["status"]) == (status, status)
    assert said in response.json()["detail"]
    assert response.headers["content-type"] == "application/problem+json"
    assert response.headers["x-content-type-options"] == "nosniff"
    assert "server" not in response.headers
    assert server.get("/health").is_success


def test_unusual_but_valid_requests_are_accepted(server: Server, face: bytes) -> None:
    wanted = server.post(face).json()["predictions"]
    image = (POST, HOST, JPEG)
    length = f"Content-Length: {len(face)}"
    chunks = (
        b"".join(f"{len(part):x};ext\r\n".encode() + part + b"\r\n" for part in (face[:7], face[7:])) + b"0\r\n\r\n"
    )
    for sent in (
        request(*image, length, "Expect: 100-continue", body=face),
        request(*image, length, "Content-Encoding: identity", body=face),
        request(*image, "Transfer-Encoding: chunked", body=chunks),
        request("POST //predict?a=b#c HTTP/1.1", *image[1:], length, body=face),
    ):
        assert exchange(server.url, sent).json()["predictions"] == wanted
    assert exchange(server.url, request("GET http://elsewhere/health HTTP/1.1", HOST)).status == 200
    assert exchange(server.url, b"GET /health HTTP/1.0\r\n\r\n").status == 200
    assert exchange(server.url, request(GET, HOST, "Content-Length: 3", body=b"abc")).status == 200
    head = exchange(server.url, request("HEAD /health HTTP/1.1", HOST))
    assert (head.status, head.body, int(head.headers["content-length"]) > 0) == (200, b"", True)
