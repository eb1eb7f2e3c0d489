"""Access control: the API key, pages of other origins, and the headers of every response."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest

from serving.middleware import HEADERS
from tests.conftest import FUNCTION
from tests.server import Server, serve

KEY = "correct-horse-battery-staple"
ORIGIN = "https://app.example"
JPEG = {"Content-Type": "image/jpeg"}


@pytest.fixture(scope="module")
def guarded() -> Iterator[Server]:
    with serve(FUNCTION, API_KEY=KEY, CORS_ORIGINS=f"{ORIGIN}, http://localhost:3000") as running:
        yield running


@pytest.mark.parametrize(
    "sent", [{"X-API-Key": KEY}, {"Authorization": f"Bearer {KEY}"}, {"Authorization": f"bearer  {KEY}"}]
)
def test_the_key_is_accepted_in_either_header(guarded: Server, face: bytes, sent: dict[str, str]) -> None:
    assert httpx.post(f"{guarded.url}/predict", content=face, headers=JPEG | sent, timeout=30).status_code == 200
    assert httpx.get(f"{guarded.url}/model", headers=sent, timeout=30).status_code == 200


@pytest.mark.parametrize(
    "sent",
    [
        {},
        {"X-API-Key": ""},
        {"X-API-Key": KEY[:-1]},
        {"X-API-Key": KEY + "x"},
        {"X-API-Key": f"{KEY}, {KEY}"},
        {"Authorization": f"Basic {KEY}"},
        {"Authorization": "Bearer"},
        # X-API-Key takes precedence.
        {"X-API-Key": "another", "Authorization": f"Bearer {KEY}"},
    ],
)
def test_requests_without_the_key_are_refused(guarded: Server, face: bytes, sent: dict[str, str]) -> None:
    for method, path in (("POST", "/predict"), ("POST", "/"), ("GET", "/model"), ("HEAD", "/model")):
        response = httpx.request(method, guarded.url + path, content=face, headers=JPEG | sent, timeout=30)
        assert response.status_code == 401
        assert response.headers["WWW-Authenticate"].startswith("Bearer")
        assert method == "HEAD" or "API key is missing or wrong" in response.json()["detail"]


def test_health_page_and_description_need_no_key(guarded: Server) -> None:
    for path in ("/health", "/", "/page.css", "/page.js", "/docs", "/openapi.json", "/v2/health/ready"):
        assert guarded.get(path).status_code == 200


def test_a_named_origin_may_send_an_image_and_read_the_answer(guarded: Server, face: bytes) -> None:
    asked = {"Origin": ORIGIN, "Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "x-api-key"}
    preflight = httpx.options(f"{guarded.url}/predict", headers=asked, timeout=30)
    assert preflight.status_code == 204
    assert preflight.headers["Access-Control-Allow-Origin"] == ORIGIN
    assert "POST" in preflight.headers["Access-Control-Allow-Methods"]
    assert {"content-type", "x-api-key"} <= set(
        preflight.headers["Access-Control-Allow-Headers"].lower().replace(",", "").split()
    )
    headers = JPEG | {"Origin": ORIGIN, "X-API-Key": KEY}
    response = httpx.post(f"{guarded.url}/predict", content=face, headers=headers, timeout=30)
    assert response.headers["Access-Control-Allow-Origin"] == ORIGIN
    assert response.headers["Access-Control-Expose-Headers"] == "X-Request-Id"
    assert response.headers["Vary"] == "Origin"
    assert "Access-Control-Allow-Credentials" not in response.headers


def test_another_origin_gets_no_cors_headers(guarded: Server, server: Server) -> None:
    for running, origin in ((guarded, "https://other.example"), (guarded, f"{ORIGIN}.evil"), (server, ORIGIN)):
        for response in (
            httpx.get(f"{running.url}/health", headers={"Origin": origin}, timeout=30),
            httpx.options(f"{running.url}/predict", headers={"Origin": origin}, timeout=30),
        ):
            assert not [name for name in response.headers if name.startswith("access-control")]
            assert response.headers.get("Vary") == ("Origin" if running is guarded else None)


@pytest.mark.parametrize("path", ["/", "/docs", "/page.js", "/health", "/nothing", "/favicon.ico", "/static/x"])
def test_every_response_has_the_security_headers_and_none_names_the_server(server: Server, path: str) -> None:
    for method in ("GET", "HEAD", "OPTIONS", "POST", "DELETE"):
        response = httpx.request(method, server.url + path, timeout=30)
        assert {name: response.headers.get(name) for name in HEADERS} == HEADERS
        assert "Server" not in response.headers
        assert response.headers["X-Request-Id"]
        if response.is_error and method != "HEAD":
            assert response.json()["request_id"] == response.headers["X-Request-Id"]


def test_predictions_are_never_cached_and_the_page_is_revalidated(server: Server, face: bytes) -> None:
    for response in (server.post(face), server.post(b""), server.get("/health"), server.get("/model")):
        assert response.headers["Cache-Control"] == "no-store"
    for path in ("/", "/page.css", "/page.js", "/docs", "/openapi.json"):
        first = server.get(path)
        again = httpx.get(server.url + path, headers={"If-None-Match": first.headers["ETag"]}, timeout=30)
        assert (first.headers["Cache-Control"], again.status_code, again.content) == ("no-cache", 304, b"")
        stale = httpx.get(server.url + path, headers={"If-None-Match": '"another"'}, timeout=30)
        assert (stale.status_code, stale.content) == (200, first.content)
