"""What real Cloud Storage refuses and the emulator does not: a layer before it.

Preconditions of deletions, patches and media uploads, the metageneration, temporary holds, and a resumable upload that
can be asked how far it came or be sent its last part twice. Requests and answers of the JSON API are checked against
Google's discovery document. A layer with grants refuses callers without an access token or a permission.
"""

from __future__ import annotations

import itertools
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, quote, unquote, urlsplit

import httpx

from tests.emulator import Emulator
from tests.fake_gcp import discovery, iam
from tests.fake_gcp.access import Access
from tests.fake_gcp.errors import ApiError

_PASSED_ON = ("Content-Type", "Content-Range", "ETag", "Last-Modified", "x-goog-generation", "x-goog-hash")
_OBJECT = re.compile(r"(?:/download)?/storage/v1/b/([^/]+)/o/(.+)")
_LISTING = re.compile(r"/storage/v1/b/([^/]+)/o")
_UPLOAD = re.compile(r"/upload/storage/v1/b/([^/]+)/o")
# An address of the XML API, which the function's library uses.
_XML_OBJECT = re.compile(r"/(?!storage/|upload/|download/)([^/]+)/(.+)")
_JSON = re.compile(r"/(?:upload/|download/)?storage/v1/")
# Google Cloud, "IAM permissions for JSON methods".
_OBJECT_PERMISSIONS = {"GET": ["get"], "PATCH": ["get", "update"], "DELETE": ["delete"]}


@dataclass
class _Metadata:
    """What the emulator does not keep of one generation of an object."""

    generation: str
    metageneration: int = 1
    held: bool = False


@dataclass
class _Session:
    """A resumable upload."""

    bucket: str
    name: str
    query: dict[str, str]
    received: bytearray = field(default_factory=bytearray)
    prediction: httpx.Response | None = None


class _RefusalError(Exception):
    """A status and no effect."""

    def __init__(self, status: int) -> None:
        self.status = status


@dataclass
class StrictStorage:
    """The emulator, with Cloud Storage's rules."""

    upstream: httpx.Client
    access: Access | None = None
    """Who may do what; None for everybody everything."""
    account: str = ""
    """The account of every caller, like that of a machine; "" for the account of the access token."""
    metadata: dict[tuple[str, str], _Metadata] = field(default_factory=dict)
    sessions: dict[str, _Session] = field(default_factory=dict)
    numbers: Iterator[int] = field(default_factory=itertools.count)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def authorize(self, authorization: str | None, method: str, path: str, query: dict[str, str], body: bytes) -> None:
        """Refuse a caller without an access token or a permission.

        An overwrite needs the permission to delete, and who may not list is not told that an object is absent.

        Raises:
            ApiError: 401 or 403.
        """
        # A session of an upload is authorized when it begins.
        if self.access is None or (method == "PUT" and _UPLOAD.fullmatch(path)):
            return
        members = [self.account] if self.account else iam.caller(authorization)
        for bucket, permission, name in self._needed(method, path, query, body):
            resource = f"projects/_/buckets/{bucket}/objects/{name}"
            self.access.require(members, f"storage.{permission}", f"bucket {bucket}", resource)

    def _needed(self, method: str, path: str, query: dict[str, str], body: bytes) -> Iterator[tuple[str, str, str]]:
        """Bucket, permission and name of the object, for each permission that a request needs."""
        path = unquote(path)
        if upload := _UPLOAD.fullmatch(path):
            name = _uploaded(query, body)
            yield upload[1], "objects.create", name
            if self.current(upload[1], name):
                yield upload[1], "objects.delete", name
        elif found := _OBJECT.fullmatch(path) or _XML_OBJECT.fullmatch(path):
            name = found[2]
            yield from ((found[1], f"objects.{permission}", name) for permission in _OBJECT_PERMISSIONS[method])
            if self.current(found[1], name) is None:
                yield found[1], "objects.list", name
        elif listing := _LISTING.fullmatch(path):
            yield listing[1], "objects.list", ""
        else:
            yield path.rpartition("/")[2], "buckets.get", ""

    def completed(self, item: dict[str, Any]) -> dict[str, Any]:
        """An object's resource with what the emulator leaves out."""
        found = self._metadata(item["bucket"], item["name"], item["generation"])
        return {**item, "metageneration": str(found.metageneration), "temporaryHold": found.held}

    def require(self, bucket: str, name: str, query: dict[str, str], removes: bool) -> _Metadata | None:
        """The object's metadata, if the preconditions are met and it may be removed."""
        found = self.current(bucket, name)
        generation = found.generation if found else "0"
        if query.get("ifGenerationMatch", generation) != generation:
            raise _RefusalError(412)
        if found and query.get("ifMetagenerationMatch", str(found.metageneration)) != str(found.metageneration):
            raise _RefusalError(412)
        if found and removes and found.held:
            raise _RefusalError(403)
        return found

    def current(self, bucket: str, name: str) -> _Metadata | None:
        """The metadata of the live object."""
        response = self.upstream.get(f"/storage/v1/b/{bucket}/o/{quote(name, safe='')}")
        return self._metadata(bucket, name, response.json()["generation"]) if response.is_success else None

    def _metadata(self, bucket: str, name: str, generation: str) -> _Metadata:
        known = self.metadata.get((bucket, name))
        if known is None or known.generation != generation:
            known = self.metadata[bucket, name] = _Metadata(generation)
        return known


class _Wire(BaseHTTPRequestHandler):
    """One request."""

    protocol_version = "HTTP/1.1"
    # An answer in one piece: the second of two would wait for the first to be acknowledged.
    disable_nagle_algorithm = True
    wbufsize = -1
    storage: StrictStorage

    def _answer(self) -> None:
        length = int(self.headers.get("Content-Length", 0))
        body = self.rfile.read(length)
        if len(body) < length:
            # The client is gone; what it sent of an upload is nothing.
            self.close_connection = True
            return
        parts = urlsplit(self.path)
        query = {name: values[-1] for name, values in parse_qs(parts.query).items()}
        try:
            with self.storage.lock:
                _require_described(self.command, parts.path, query, body)
                self.storage.authorize(self.headers.get("Authorization"), self.command, parts.path, query, body)
                self._route(parts.path, query, body)
        except ApiError as error:
            self._send(httpx.Response(error.code, json=error.body()))
        except _RefusalError as refusal:
            self._send(httpx.Response(refusal.status, json={"error": {"code": refusal.status, "message": "strict"}}))

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _answer  # noqa: N815

    def _route(self, path: str, query: dict[str, str], body: bytes) -> None:
        if upload := _UPLOAD.fullmatch(path):
            return self._upload(upload[1], query, body)
        if found := _OBJECT.fullmatch(path):
            return self._object(found[1], unquote(found[2]), query, body)
        response = self._forward(body)
        if _LISTING.fullmatch(path) and response.is_success:
            listing = response.json()
            listing["items"] = [self.storage.completed(item) for item in listing.get("items", [])]
            response = httpx.Response(200, json=listing)
        return self._send(response)

    def _object(self, bucket: str, name: str, query: dict[str, str], body: bytes) -> None:
        if self.command == "GET":
            response, found = self._forward(b""), self.storage.current(bucket, name)
            if response.is_success and query.get("alt") != "media":
                response = httpx.Response(200, json=self.storage.completed(response.json()))
            elif found:
                response.headers["x-goog-metageneration"] = str(found.metageneration)
            return self._send(response)
        if self.storage.current(bucket, name) is None:
            raise _RefusalError(404)
        found = self.storage.require(bucket, name, query, removes=self.command == "DELETE")
        assert found is not None
        if self.command == "DELETE":
            return self._send(self._forward(b""))
        found.held = json.loads(body).get("temporaryHold", found.held)
        found.metageneration += 1
        resource = self.storage.upstream.get(f"/storage/v1/b/{bucket}/o/{quote(name, safe='')}").json()
        return self._send(httpx.Response(200, json=self.storage.completed(resource)))

    def _upload(self, bucket: str, query: dict[str, str], body: bytes) -> None:
        if self.command == "PUT":
            return self._continue(self.storage.sessions[query["upload_id"]], body)
        name = _uploaded(query, body)
        self.storage.require(bucket, name, query, removes=True)
        if query["uploadType"] != "resumable":
            return self._send(self._forward(body))
        session = str(next(self.storage.numbers))
        self.storage.sessions[session] = _Session(bucket, name, query)
        # As the client knows this storage, behind whatever other layer.
        host = self.headers.get("X-Forwarded-Host", self.headers["Host"])
        scheme = "https" if host.endswith(".googleapis.com") else "http"
        location = f"{scheme}://{host}/upload/storage/v1/b/{bucket}/o?uploadType=resumable&upload_id={session}"
        return self._send(httpx.Response(200, headers={"Location": location}))

    def _continue(self, session: _Session, body: bytes) -> None:
        wanted = re.fullmatch(r"bytes (?:(\d+)-\d+|\*)/(\d+|\*)", self.headers["Content-Range"])
        assert wanted is not None
        if wanted[1] is not None:
            # Bytes that are there already are passed over.
            session.received += body[max(0, len(session.received) - int(wanted[1])) :]
        if session.prediction is None and str(len(session.received)) == wanted[2]:
            self.storage.require(session.bucket, session.name, session.query, removes=True)
            address = f"/upload/storage/v1/b/{session.bucket}/o?uploadType=media&name={quote(session.name, safe='')}"
            session.prediction = self.storage.upstream.post(address, content=bytes(session.received))
        if session.prediction is not None:
            return self._send(session.prediction)
        so_far = {"Range": f"bytes=0-{len(session.received) - 1}"} if session.received else {}
        return self._send(httpx.Response(308, headers=so_far))

    def _forward(self, body: bytes) -> httpx.Response:
        headers = {name: self.headers[name] for name in ("Content-Type", "Range") if name in self.headers}
        return self.storage.upstream.request(self.command, self.path, content=body, headers=headers)

    def _send(self, response: httpx.Response) -> None:
        path, resource = urlsplit(self.path).path, "alt=media" not in self.path and "upload_id=" not in self.path
        if _JSON.match(path) and resource and response.status_code == 200 and response.content:
            discovery.method(self.command, path).check_response(response.json())
        self.send_response(response.status_code)
        for name in (*_PASSED_ON, "x-goog-metageneration", "Location", "Range"):
            if name in response.headers:
                self.send_header(name, response.headers[name])
        self.send_header("Content-Length", str(len(response.content)))
        self.end_headers()
        self.wfile.write(response.content)

    def handle(self) -> None:
        try:
            super().handle()
        except OSError:
            # The client was killed.
            self.close_connection = True

    def finish(self) -> None:
        try:
            super().finish()
        except OSError:
            self.close_connection = True

    def log_message(self, *_: object) -> None:
        """Be quiet."""


def _require_described(verb: str, path: str, query: dict[str, str], body: bytes) -> None:
    """Refuse a request that the discovery document does not describe.

    The XML API and the further requests of a resumable upload are not in it.

    Raises:
        ApiError: 400 or 404.
    """
    upload = _UPLOAD.fullmatch(path)
    if not _JSON.match(path) or (upload and verb == "PUT"):
        return
    described = _described(query, body) if upload else body
    discovery.method(verb, path).check_request(query, json.loads(described) if described else None)


def _described(query: dict[str, str], body: bytes) -> bytes:
    """The resource in an upload: the whole body, its first part, or nothing."""
    if query["uploadType"] == "multipart":
        return body.split(b"\r\n\r\n")[1].split(b"\r\n--")[0]
    return body if query["uploadType"] == "resumable" else b""


def _uploaded(query: dict[str, str], body: bytes) -> str:
    """The name of the object that a request uploads."""
    return str(query.get("name") or json.loads(_described(query, body))["name"])


@contextmanager
def strict(emulator: Emulator, access: Access | None = None, account: str = "") -> Iterator[Emulator]:
    """The same storage under an address that keeps Cloud Storage's rules, and asks for `access` of `account`."""
    with httpx.Client(base_url=emulator.url, timeout=30) as upstream:
        wire = type("BoundWire", (_Wire,), {"storage": StrictStorage(upstream, access, account)})
        with ThreadingHTTPServer(("127.0.0.1", 0), wire) as server:
            server.daemon_threads = True
            server.block_on_close = False
            threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
            yield Emulator(f"http://127.0.0.1:{server.server_port}", emulator.bucket)
            server.shutdown()
