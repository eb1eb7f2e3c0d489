"""The note on a merge request, against a server that refuses what GitLab refuses."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from urllib.parse import parse_qs, urlsplit

import pytest

from training.errors import StepError
from training.merge_request import note

PATH = "/api/v4/projects/7/merge_requests/3/notes"


class _GitLab(BaseHTTPRequestHandler):
    """Notes of one merge request, in pages, for one token."""

    notes: dict[int, str]

    def _answer(self, status: int, content: object) -> None:
        self.send_response(status)
        self.end_headers()
        self.wfile.write(json.dumps(content).encode())

    def _handle(self) -> None:
        address = urlsplit(self.path)
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if self.headers.get("PRIVATE-TOKEN") != "token":
            return self._answer(401, {"message": "401 Unauthorized"})
        if self.command == "GET" and address.path == PATH:
            query = {name: int(values[0]) for name, values in parse_qs(address.query).items()}
            # GitLab has at most 100 on a page, the newest first.
            size = min(query.get("per_page", 20), 100)
            begin = (query.get("page", 1) - 1) * size
            newest = sorted(self.notes, reverse=True)[begin : begin + size]
            return self._answer(200, [{"id": each, "body": self.notes[each]} for each in newest])
        if self.command == "POST" and address.path == PATH:
            number = max(self.notes, default=0) + 1
        elif self.command == "PUT" and (number := int(address.path.rpartition("/")[2])) in self.notes:
            pass
        else:
            return self._answer(404, {"message": "404 Not found"})
        text = json.loads(body)["body"]
        if not text.strip():
            return self._answer(400, {"message": "body can't be blank"})
        self.notes[number] = text
        return self._answer(200 if self.command == "PUT" else 201, {"id": number, "body": text})

    def do_GET(self) -> None:
        self._handle()

    def do_POST(self) -> None:
        self._handle()

    def do_PUT(self) -> None:
        self._handle()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def variables() -> Iterator[dict[str, str]]:
    _GitLab.notes = {number: f"review {number}" for number in range(1, 150)}
    server = HTTPServer(("127.0.0.1", 0), _GitLab)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    address = f"http://127.0.0.1:{server.server_port}"
    yield {
        "CI_API_V4_URL": f"{address}/api/v4",
        "CI_PROJECT_ID": "7",
        "CI_MERGE_REQUEST_IID": "3",
        "CI_MERGE_REQUEST_PROJECT_URL": "https://gitlab.example.com/group/faces",
        "NOTE_TOKEN": "token",
    }
    server.shutdown()
    server.server_close()


def test_the_note_is_rewritten_and_others_stay(variables: dict[str, str]) -> None:
    address = note("age 4.4 years", variables)
    assert address == "https://gitlab.example.com/group/faces/-/merge_requests/3#note_150"
    # Reviews that push the note to the second page.
    _GitLab.notes |= {number: f"review {number}" for number in range(151, 300)}
    assert note("age 4.3 years", variables) == address
    assert _GitLab.notes[150].endswith("age 4.3 years")
    assert len(_GitLab.notes) == 299
    assert sum("years" in text for text in _GitLab.notes.values()) == 1


def test_a_token_that_gitlab_refuses_is_explained(variables: dict[str, str]) -> None:
    with pytest.raises(StepError, match="answers 401; NOTE_TOKEN needs the scope `api`"):
        note("age 4.4 years", variables | {"NOTE_TOKEN": "expired"})


def test_a_deleted_merge_request_is_an_error(variables: dict[str, str]) -> None:
    with pytest.raises(StepError, match="answers 404"):
        note("age 4.4 years", variables | {"CI_MERGE_REQUEST_IID": "4"})


def test_outside_of_a_merge_request_the_missing_variable_is_named(variables: dict[str, str]) -> None:
    with pytest.raises(StepError, match="CI_MERGE_REQUEST_IID is not set; run this in a merge request pipeline"):
        note("age 4.4 years", variables | {"CI_MERGE_REQUEST_IID": ""})
