"""Notices to a webhook that refuses what Slack's refuses."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from training import notices


class _Webhook(BaseHTTPRequestHandler):
    """Take {"text": …} as JSON, and answer anything else as Slack does."""

    received: list[str] = []  # noqa: RUF012 - the fixture empties it

    def do_POST(self) -> None:
        try:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            fits = self.headers["Content-Type"] == "application/json" and set(body) == {"text"} and body["text"]
        except ValueError:
            fits = False
        if fits and self.path == "/hook":
            self.received.append(body["text"])
        self.send_response(200 if fits and self.path == "/hook" else 404 if fits else 400)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def webhook(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    _Webhook.received.clear()
    server = HTTPServer(("127.0.0.1", 0), _Webhook)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    address = f"http://127.0.0.1:{server.server_port}"
    monkeypatch.setenv(notices.WEBHOOK, f"{address}/hook")
    for name in ("CI_PROJECT_PATH", "CI_JOB_URL"):
        monkeypatch.delenv(name, raising=False)
    yield address
    server.shutdown()
    server.server_close()


def test_a_notice_names_project_and_job(webhook: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CI_PROJECT_PATH", "group/faces")
    monkeypatch.setenv("CI_JOB_URL", "https://gitlab.example.com/1")
    notices.send("release 1 is live")
    assert _Webhook.received == ["group/faces: release 1 is live\nhttps://gitlab.example.com/1"]


def test_without_a_webhook_nothing_is_sent(webhook: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(notices.WEBHOOK)
    notices.send("release 1 is live")
    assert _Webhook.received == []


@pytest.mark.parametrize(
    ("address", "problem"),
    [("{}/revoked", "it answers 404"), ("http://127.0.0.1:9/secret", "ConnectionError"), ("secret", "MissingSchema")],
)
def test_a_webhook_that_fails_is_a_warning_without_its_address(
    webhook: str, address: str, problem: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(notices.WEBHOOK, address.format(webhook))
    notices.send("release 1 is live")
    told = capsys.readouterr().err
    assert problem in told
    assert "secret" not in told
    assert "revoked" not in told
