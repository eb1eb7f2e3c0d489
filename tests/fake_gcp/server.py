"""HTTP routes of the fake: Google's REST paths, and the services below /run/."""

from __future__ import annotations

import re
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import flask
import proto
from google.cloud import run_v2
from google.cloud.devtools import cloudbuild_v1
from google.longrunning import operations_pb2
from google.protobuf import json_format
from werkzeug.serving import make_server

from tests.fake_gcp import discovery, iam, tokens
from tests.fake_gcp.access import OWNER, Access, planned
from tests.fake_gcp.builds import FakeBuilds
from tests.fake_gcp.errors import ApiError
from tests.fake_gcp.logs import FakeLog
from tests.fake_gcp.roles import CALLS
from tests.fake_gcp.services import FakeService, placeholder

_METHODS = ["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH"]
_SERVICE = "/v2/projects/<project>/locations/<location>/services/<service>"
HOSTS = ("run", "cloudbuild", "logging", "sts", "iamcredentials")
"""APIs of googleapis.com that the fake has."""
_USERS = "https://faces.a.run.app"
# Routes that are no API.
_OF_USERS = ("ready", "ask")


@dataclass
class FakeCloud:
    """A running fake."""

    url: str
    builds: FakeBuilds
    access: Access = field(default_factory=planned)
    log: FakeLog = field(default_factory=FakeLog)
    services: dict[str, FakeService] = field(default_factory=dict)
    operations: dict[str, operations_pb2.Operation] = field(default_factory=dict)
    written: list[dict[str, Any]] = field(default_factory=list)
    """Log entries that clients wrote."""

    def create_service(self, name: str, **environment: str) -> None:
        """Create a service with the placeholder image and these environment variables."""
        if not re.fullmatch(r"projects/[^/]+/locations/[^/]+/services/[a-z]([a-z0-9-]{0,47}[a-z0-9])?", name):
            raise ApiError(400, f"{name} names no service")
        uri = f"{_USERS}/run/{name.rpartition('/')[2]}"
        message = placeholder(name, uri, environment)
        service = self.services[name] = FakeService(run_v2.Service(message), self.builds, self.log)
        operation = service.update(message, [])
        while not operation.done:
            threading.Event().wait(0.01)

    def hosts(self) -> dict[str, str]:
        """Return the addresses that the fake has in the loopback internet."""
        return {f"{name}.googleapis.com": self.url for name in HOSTS} | {"*.run.app": self.url}

    def user(self, audience: str) -> dict[str, str]:
        """Return the headers of a user of a service, who owns the project."""
        return {"Authorization": f"Bearer {tokens.issue(audience, members=[OWNER])}"}

    def service(self, name: str) -> FakeService:
        if name not in self.services:
            raise ApiError(404, f"Resource '{name}' was not found")
        return self.services[name]

    def stop(self) -> None:
        """Stop all revisions."""
        for service in self.services.values():
            service.stop()


@contextmanager
def cloud(state: Path, sources: str = "", releases: str = "", port: int = 0) -> Iterator[FakeCloud]:
    """Run the fake on a port.

    Args:
        state: folder of the built sources.
        sources: address of the storage as builds may read it.
        releases: address of the storage as revisions may read it.
        port: 0 for any free port.
    """
    shutil.rmtree(state / "images", ignore_errors=True)
    app = flask.Flask("cloud")
    server = make_server("127.0.0.1", port, app, threaded=True)
    running = FakeCloud(f"http://127.0.0.1:{server.port}", FakeBuilds(state, sources, releases))
    app.register_error_handler(ApiError, lambda error: (error.body(), error.code))
    app.before_request(_require_described)
    app.before_request(lambda: _require_permission(running))
    app.after_request(_described)
    iam.routes(app, running.access)
    for routes in (_service_routes, _revision_routes, _other_routes, _user_routes):
        routes(app, running)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield running
    finally:
        server.shutdown()
        server.server_close()
        running.stop()


def _require_described() -> None:
    """Refuse a request of an API that Google's discovery document does not describe."""
    if flask.request.endpoint not in _OF_USERS:
        method = discovery.method(flask.request.method, flask.request.path)
        method.check_request(flask.request.args.to_dict(), _body())


def _described(response: flask.Response) -> flask.Response:
    """Assert that Google's discovery document describes an answer of an API."""
    if flask.request.endpoint not in _OF_USERS and response.status_code == 200:
        discovery.method(flask.request.method, flask.request.path).check_response(response.get_json())
    return response


def _body() -> object:
    """Return the JSON of a request, or None without a body. A token is asked for by a form, as OAuth has it."""
    if form := flask.request.form:
        return {_camel(name): value for name, value in form.items()}
    return flask.request.get_json() if flask.request.get_data() else None


def _require_permission(cloud: FakeCloud) -> None:
    """Refuse a call of an API without an access token, or without the permission."""
    call = flask.request.endpoint or ""
    if call not in CALLS:
        return
    members = iam.caller(flask.request.headers.get("Authorization"))
    cloud.access.require(
        members, CALLS[call], "service age-gender" if "/services/" in flask.request.path else "project"
    )
    if call == "update_service":
        # A revision runs as the runtime's account, with an image that the caller may read.
        cloud.access.require(members, "iam.serviceAccounts.actAs", "account runtime")
        cloud.access.require(members, "artifactregistry.repositories.downloadArtifacts", "repository")
    if call == "submit_build":
        cloud.access.require(members, "iam.serviceAccounts.actAs", "account builder")


def _require_invoker(cloud: FakeCloud, service: FakeService) -> None:
    """Refuse a request of a user without an identity token for the service, or without the permission to invoke it."""
    token = tokens.bearer(flask.request.headers.get("Authorization"))
    members = tokens.claims(token, service.message.uri)["members"]
    cloud.access.require(members, "run.routes.invoke", "service age-gender")


def _service_routes(app: flask.Flask, cloud: FakeCloud) -> None:
    @app.get(_SERVICE)
    def get_service(**_: str) -> flask.Response:
        return _json(cloud.service(_name()).message)

    @app.patch(_SERVICE)
    def update_service(**_: str) -> flask.Response:
        mask = [_snake(path) for path in flask.request.args.get("updateMask", "").split(",") if path]
        wanted = _parsed(run_v2.Service)
        if wanted.name not in ("", _name()):
            raise ApiError(400, "the name of the service is not that of the address")
        operation = cloud.service(_name()).update(wanted, mask)
        cloud.operations[operation.name] = operation
        return _json(operation)


def _revision_routes(app: flask.Flask, cloud: FakeCloud) -> None:
    @app.get(f"{_SERVICE}/revisions")
    def list_revisions(**_: str) -> flask.Response:
        service = cloud.service(_name().removesuffix("/revisions"))
        found = [revision.message for revision in reversed(service.revisions.values())]
        return _json(run_v2.ListRevisionsResponse(revisions=found))

    @app.get(f"{_SERVICE}/revisions/<revision>")
    def get_revision(**_: str) -> flask.Response:
        service, short = _name().split("/revisions/")
        if short not in cloud.service(service).revisions:
            raise ApiError(404, f"Resource '{_name()}' was not found")
        return _json(cloud.service(service).revisions[short].message)


def _other_routes(app: flask.Flask, cloud: FakeCloud) -> None:
    @app.get("/v2/projects/<project>/locations/<location>/operations/<operation>")
    def get_operation(**_: str) -> flask.Response:
        if _name() not in cloud.operations:
            raise ApiError(404, f"operation {_name()} not found")
        return _json(cloud.operations[_name()])

    @app.post("/v2/projects/<project>/locations/<location>/builds:submit")
    def submit_build(**_: str) -> flask.Response:
        request = _parsed(run_v2.SubmitBuildRequest)
        request.parent = _name().removesuffix("/builds:submit")
        return _json(cloud.builds.submit(request))

    @app.get("/v1/projects/<project>/locations/<location>/builds/<build>")
    def get_build(**_: str) -> flask.Response:
        return _json(cloud.builds.get(_name()))

    @app.post("/v2/entries:list")
    def list_entries() -> dict[str, Any]:
        return cloud.log.listed(flask.request.get_json())

    @app.post("/v2/entries:write")
    def write_entries() -> dict[str, Any]:
        cloud.written.extend(flask.request.get_json()["entries"])
        return {}


def _user_routes(app: flask.Flask, cloud: FakeCloud) -> None:
    @app.get("/")
    def ready() -> str:
        return "ready"

    @app.route("/run/<service>", defaults={"path": ""}, methods=_METHODS)
    @app.route("/run/<service>/", defaults={"path": ""}, methods=_METHODS)
    @app.route("/run/<service>/<path:path>", methods=_METHODS)
    def ask(service: str, path: str) -> flask.Response:
        name, _, tag = service.partition("@")
        found = [each for each in cloud.services.values() if each.message.name.endswith(f"/services/{name}")]
        if found:
            _require_invoker(cloud, found[0])
        revision = found[0].chosen(tag) if found else None
        if revision is None:
            return flask.Response("404 Page not found", 404)
        request = flask.request
        sent = request.method, f"/{path}", dict(request.headers), request.get_data()
        status, body, headers = found[0].respond(revision, *sent)
        return flask.Response(body, status, headers)


def _name() -> str:
    """Return the resource name in the request path, without the API version."""
    return flask.request.path.split("/", 2)[2]


def _snake(path: str) -> str:
    return re.sub(r"[A-Z]", lambda letter: f"_{letter[0].lower()}", path)


def _camel(name: str) -> str:
    return re.sub(r"_([a-z])", lambda letter: letter[1].upper(), name)


def _parsed(kind: type[proto.Message]) -> Any:
    message = kind()
    try:
        json_format.Parse(flask.request.get_data(), kind.pb(message), ignore_unknown_fields=False)
    except json_format.ParseError as error:
        raise ApiError(400, f"Invalid JSON payload received. {error}") from error
    return message


def _json(message: Any) -> flask.Response:
    plain = type(message).pb(message) if isinstance(message, proto.Message) else message
    return flask.Response(json_format.MessageToJson(plain), mimetype="application/json")


# Registers the descriptors of operation metadata.
_ = cloudbuild_v1.BuildOperationMetadata
