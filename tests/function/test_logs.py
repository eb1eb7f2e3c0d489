"""The log: one line per request, without content of the caller."""

from __future__ import annotations

import base64
import json
import os
import pty
import re
import select
import shutil
import time
from io import BytesIO
from pathlib import Path
from typing import Any

import httpx
from PIL import Image
from PIL.ExifTags import Base

from serving import logs
from tests.conftest import FUNCTION
from tests.ports import free_port
from tests.server import Server, serve, start

TRACE = "0af7651916cd43dd8448eb211c80319c"
# The runtime's own word, written past Python when a thread's first interpreter is made; nothing turns it off.
RUNTIME = "INFO: Created TensorFlow Lite XNNPACK delegate for CPU."
Line = dict[str, Any]


def all_lines(server: Server) -> list[Line]:
    """Stop the function and return its log."""
    server.process.terminate()
    _, written = server.process.communicate(timeout=30)
    return [json.loads(line) for line in written.splitlines() if line != RUNTIME]


def lines(server: Server) -> list[Line]:
    """Stop the function and return the lines of its log, without the first one of an INFO log."""
    return [line for line in all_lines(server) if not line["message"].startswith("listening at ")]


def test_a_prediction_is_one_line_as_cloud_logging_reads_it(face: bytes) -> None:
    with serve(FUNCTION, LOG_LEVEL="INFO", GOOGLE_CLOUD_PROJECT="some-project") as server:
        headers = {
            "Content-Type": "image/jpeg",
            "X-Request-Id": "my.request-7",
            "X-Cloud-Trace-Context": f"{TRACE}/123;o=1",
        }
        response = httpx.post(f"{server.url}/predict?x=y", content=face, headers=headers, timeout=30)
        found = [line for line in lines(server) if line["httpRequest"]["requestUrl"] == "/predict"]
    (line,) = found
    assert response.headers["X-Request-Id"] == line["request_id"] == "my.request-7"
    assert line["severity"] == "INFO"
    assert re.fullmatch(r"POST /predict 200 in \d+\.\d ms", line["message"])
    latency = line["httpRequest"].pop("latency")
    assert re.fullmatch(r"0\.\d+s", latency)
    assert line["httpRequest"] == {
        "requestMethod": "POST",
        "requestUrl": "/predict",
        "status": 200,
        "responseSize": str(len(response.content)),
    }
    assert line["logging.googleapis.com/trace"] == f"projects/some-project/traces/{TRACE}"
    assert (line["images"], line["release"]) == (1, response.json()["model"]["version"])


def test_a_trace_is_read_from_either_header_and_nothing_else_passes_for_one() -> None:
    with serve(FUNCTION, LOG_LEVEL="INFO", GOOGLE_CLOUD_PROJECT="p") as server:
        for headers in (
            {"traceparent": f"00-{TRACE}-b7ad6b7169203331-01"},
            {"X-Cloud-Trace-Context": TRACE},
            {"traceparent": "nonsense"},
            {"X-Cloud-Trace-Context": f"{TRACE}0/1"},
        ):
            httpx.get(f"{server.url}/v2", headers=headers, timeout=30)
        found = [line for line in lines(server) if line["httpRequest"]["requestUrl"] == "/v2"]
    traced = f"projects/p/traces/{TRACE}"
    assert [line.get("logging.googleapis.com/trace") for line in found] == [traced, traced, None, None]


def with_description(face: bytes, description: str) -> bytes:
    """The face with what a camera may write into it."""
    exif, out = Image.Exif(), BytesIO()
    exif[Base.ImageDescription] = description
    Image.open(BytesIO(face)).save(out, "JPEG", exif=exif)
    return out.getvalue()


def test_nothing_of_a_request_is_in_the_log(face: bytes) -> None:
    name = "Jane-Doe-of-Town"
    described = with_description(face, name)
    with serve(FUNCTION, LOG_LEVEL="INFO", API_KEY=f"{name}-the-key") as server:
        key = {"X-API-Key": f"{name}-the-key", "User-Agent": name, "X-Forwarded-For": "203.0.113.7"}
        form = [("image", (f"{name}.jpg", image, "image/jpeg")) for image in (described, face[:900], b"\x00")]
        assert httpx.post(f"{server.url}/predict?name={name}", files=form, headers=key, timeout=30).is_success
        encoded = base64.b64encode(face).decode()
        for body in ({"instances": [{"b64": encoded}]}, {"instances": [{"b64": f"{encoded}%"}]}, {name: name}):
            httpx.post(f"{server.url}/predict", json=body, headers=key, timeout=30)
        httpx.request(name.replace("-", "").upper(), f"{server.url}/{name}", headers=key, timeout=30)
        httpx.get(f"{server.url}/{name}", headers={"X-Request-Id": f"{name} {name}", **key}, timeout=30)
        httpx.get(f"{server.url}/{name}", headers={"X": name * 1000, **key}, timeout=30)
        httpx.get(f"{server.url}/model", headers={"X-API-Key": name}, timeout=30)
        found = lines(server)
    written = json.dumps(found)
    assert [line["httpRequest"]["status"] for line in found][-8:] == [200, 200, 400, 400, 404, 404, 431, 401]
    for part in (name, name.replace("-", "").upper(), "127.0.0.1", "203.0.113.7", "JFIF", encoded[:16]):
        assert part not in written


def test_a_failure_is_one_line_with_its_place_and_without_its_data(tmp_path: Path, face: bytes) -> None:
    broken = tmp_path / "function"
    shutil.copytree(FUNCTION, broken, ignore=shutil.ignore_patterns("__pycache__"))
    with (broken / "serving" / "inference.py").open("a") as source:
        source.write("\n\ndef _fail(_, images, *__, **___):\n    raise RuntimeError(f'cannot use {images[0]!r}')\n")
        source.write("\nInferenceService.predict = _fail\n")
    with serve(broken) as server:
        response = server.post(face)
        failure, request = lines(server)
    assert response.status_code == 500
    assert response.json()["request_id"] == failure["request_id"] == request["request_id"]
    assert "Runtime" not in response.text
    assert failure["severity"] == request["severity"] == "ERROR"
    assert re.search(r"inference\.py\", line \d+, in _fail\n.*\nRuntimeError$", failure["stack_trace"])
    assert "JFIF" not in json.dumps(failure)


def test_log_level_chooses_what_is_written(face: bytes) -> None:
    with serve(FUNCTION, LOG_LEVEL="WARNING") as server:
        server.post(face)
        server.get("/nothing")
        assert [line["httpRequest"]["status"] for line in lines(server)] == [404]


def test_the_log_states_the_address_first() -> None:
    with serve(FUNCTION, LOG_LEVEL="INFO") as server:
        first = all_lines(server)[0]
    port = server.url.rpartition(":")[2]
    assert (first["severity"], first["message"]) == ("INFO", f"listening at http://127.0.0.1:{port}")


def test_a_visit_of_the_page_is_one_line() -> None:
    with serve(FUNCTION, LOG_LEVEL="INFO") as server:
        for path in ("/", "/page.css", "/page.js", "/predictions.js", "/docs.css"):
            assert server.get(path).is_success
        visit = [line["httpRequest"]["requestUrl"] for line in lines(server)]
    assert [path for path in visit if path != "/health"] == ["/"]
    with serve(FUNCTION, LOG_LEVEL="DEBUG") as server:
        server.get("/page.js")
        assert lines(server)[-1]["severity"] == "DEBUG"


def test_a_request_id_that_is_not_one_is_replaced(server: Server) -> None:
    for sent in ("", "x" * 65, "a b", "<script>", "a/b"):
        response = httpx.get(f"{server.url}/v2", headers={"X-Request-Id": sent}, timeout=30)
        assert re.fullmatch(r"[0-9a-f]{32}", response.headers["X-Request-Id"])


def test_a_terminal_shows_readable_lines_and_the_path_of_a_404_without_control_characters() -> None:
    ours, theirs = pty.openpty()
    port = free_port()
    process = start(FUNCTION, port, {"LOG_LEVEL": "INFO"}, stderr=theirs)
    os.close(theirs)
    server = Server(f"http://127.0.0.1:{port}", process)
    try:
        text, deadline = "", time.monotonic() + 60
        while "GET /v2 200" not in text and time.monotonic() < deadline:
            try:
                server.get("/no%1b]0;such%0apath")
                server.get("/v2")
            except httpx.TransportError:
                time.sleep(0.05)
            while select.select([ours], [], [], 0)[0]:
                text += os.read(ours, 4096).decode()
    finally:
        process.terminate()
        process.wait(30)
        os.close(ours)
    assert re.search(r"^\d\d:\d\d:\d\d INFO    GET /v2 200 in \d+\.\d ms\r$", text, re.MULTILINE)
    assert re.search(rf"^\d\d:\d\d:\d\d INFO    listening at http://127.0.0.1:{port}\r$", text, re.MULTILINE)
    assert re.search(r"^\d\d:\d\d:\d\d WARNING GET /no\\x1b\]0;such\\npath 404 in \d+\.\d ms\r$", text, re.MULTILINE)
    assert "\x1b" not in text


def test_a_chain_of_failures_is_logged_in_order_without_messages() -> None:
    words = ["what was", "sent"]
    try:
        try:
            raise KeyError(words[0])
        except KeyError as error:
            raise ValueError(words[1]) from error
    except ValueError as error:
        told = logs.stack(error)
    assert not [word for word in words if word in told]
    assert told.index("KeyError\n") < told.index("ValueError")
