"""A server with scripted responses, for clients of a function that behaves badly."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

# status, JSON or bytes of the body, headers
Scripted = tuple[int, object, dict[str, str]]

PREDICTION = {"age": {"years": 30, "low": 25, "high": 35}, "gender": {"label": "male", "probability": 0.9}}
ANSWERED: Scripted = (200, {"predictions": [PREDICTION]}, {})
FACE = {
    "box": {"left": 0.25, "top": 0.5, "width": 0.5, "height": 0.25},
    "landmarks": {"right_eye": [0.4, 0.55], "left_eye": [0.6, 0.55]},
    "score": 0.9,
    **PREDICTION,
}
DETECTION = {"width": 200, "height": 400, "faces": [FACE]}
DETECTED: Scripted = (200, {"predictions": [DETECTION]}, {})


@dataclass
class ScriptedServer:
    """The address of a running server, and the requests that it received."""

    url: str = ""
    requests: list[dict[str, str]] = field(default_factory=list)
    targets: list[str] = field(default_factory=list)
    connections: set[tuple[str, int]] = field(default_factory=set)


@contextmanager
def scripted(*responses: Scripted, hang_up: bool = False, unread: bool = False) -> Iterator[ScriptedServer]:
    """Send `responses` in order.

    `hang_up` closes each connection after its response, without a header. `unread` does so before the body is read.
    """
    running, left = ScriptedServer(), list(responses)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            self.rfile.read(0 if unread else int(self.headers.get("Content-Length", "0")))
            running.requests.append(dict(self.headers))
            running.targets.append(f"{self.command} {self.path}")
            running.connections.add(self.client_address)
            status, body, headers = left.pop(0)
            content = body if isinstance(body, bytes) else json.dumps(body).encode()
            self.send_response(status)
            for name, value in {**headers, "Content-Length": str(len(content))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(content)
            self.close_connection = hang_up or unread

        do_GET = do_CONNECT = do_POST  # noqa: N815 - the base class calls them by these names

        def log_message(self, *_: object) -> None:
            """Nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    running.url = f"http://127.0.0.1:{server.server_port}"
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    try:
        yield running
    finally:
        server.shutdown()
        server.server_close()
