"""Fake Cloud Run services: revisions, traffic splits and etags."""

from __future__ import annotations

import random
import re
import threading
import time
import uuid
from dataclasses import dataclass, field
from datetime import UTC, datetime

from google.cloud import run_v2
from google.longrunning import operations_pb2

from tests.fake_gcp.builds import FakeBuilds
from tests.fake_gcp.errors import ApiError
from tests.fake_gcp.logs import FakeLog
from tests.fake_gcp.revisions import PLACEHOLDER, FakeRevision, State

LATEST = run_v2.TrafficTargetAllocationType.TRAFFIC_TARGET_ALLOCATION_TYPE_LATEST
PINNED = run_v2.TrafficTargetAllocationType.TRAFFIC_TARGET_ALLOCATION_TYPE_REVISION
_WRITABLE = (
    "labels",
    "annotations",
    "template",
    "traffic",
    "ingress",
    "scaling",
    "description",
    "client",
    "build_config",
)
# template fields that a revision copies
_KEPT = (
    "labels",
    "annotations",
    "containers",
    "service_account",
    "max_instance_request_concurrency",
    "timeout",
    "scaling",
)
_LABEL = r"[a-z0-9_-]{0,63}"
_TAG = r"[a-z]([a-z0-9-]{0,44}[a-z0-9])?"


@dataclass
class FakeService:
    """One service with its revisions, oldest first."""

    message: run_v2.Service
    builds: FakeBuilds
    log: FakeLog
    revisions: dict[str, FakeRevision] = field(default_factory=dict)
    # revision -> requests still due to it, in percent, for an even split
    _due: dict[str, float] = field(default_factory=dict)
    lag: float = 0.0
    """Seconds for which a tag that was moved still answers for its former revision. A new tag is unknown meanwhile."""
    full: float = 0.0
    """Share of the requests for which no instance is free. All revisions share the maximum of the service."""
    _random: random.Random = field(default_factory=lambda: random.Random(0))  # noqa: S311 - a test repeats
    # tag -> when it was moved, and its former revision
    _moved: dict[str, tuple[float, str]] = field(default_factory=dict)
    _lock: threading.RLock = field(default_factory=threading.RLock)

    def update(self, wanted: run_v2.Service, mask: list[str]) -> operations_pb2.Operation:
        """Start a change of the fields in `mask`, or of all fields if it is empty."""
        with self._lock:
            if wanted.etag and wanted.etag != self.message.etag:
                raise ApiError(
                    409, f"the etag {wanted.etag} is not that of the service, {self.message.etag}: it was modified"
                )
            changed = run_v2.Service(self.message)
            for name in mask or _WRITABLE:
                if name not in _WRITABLE:
                    raise ApiError(400, f"update_mask: {name} cannot be updated")
                setattr(changed, name, getattr(wanted, name))
            self._check(changed)
            new = changed.template != self.message.template or not self.revisions
            self.message = changed
            self.message.generation += 1
            self._touch()
            self.message.reconciling = True
            revision = self._new_revision() if new else None
            operation = operations_pb2.Operation(name=f"{self._location()}/operations/{uuid.uuid4()}")
            threading.Thread(target=self._reconcile, args=(revision, operation), daemon=True).start()
            return operation

    def chosen(self, tag: str) -> FakeRevision | None:
        """Return the revision for the next request to the service or to a tag."""
        with self._lock:
            routed = [(each, each.revision or self._latest()) for each in self.message.traffic_statuses]
            if tag:
                since, former = self._moved.get(tag, (0.0, ""))
                now = next((name for each, name in routed if each.tag == tag), "")
                name = former if now and time.monotonic() < since + self.lag else now
                return self.revisions[name] if name else None
            shares = {name: each.percent for each, name in routed if each.percent}
            for name, percent in shares.items():
                self._due[name] = self._due.get(name, 0) + percent
            if not shares:
                return None
            name = max(shares, key=lambda name: self._due[name])
            self._due[name] -= 100
            return self.revisions[name]

    def respond(
        self, revision: FakeRevision, method: str, path: str, headers: dict[str, str], body: bytes
    ) -> tuple[int, bytes, dict[str, str]]:
        """Return the response of a revision, or 429 if no instance is free."""
        with self._lock:
            full = self._random.random() < self.full
        return revision.refuse(method, path) if full else revision.respond(method, path, headers, body)

    def stop(self) -> None:
        """Stop all revisions."""
        for revision in self.revisions.values():
            revision.stop()

    def _check(self, wanted: run_v2.Service) -> None:
        template = wanted.template
        if len(template.containers) != 1 or not template.containers[0].image:
            raise ApiError(400, "template.containers: exactly one with an image is expected")
        if template.revision in self.revisions and template != self.message.template:
            raise ApiError(409, f"Revision named '{template.revision}' with different configuration already exists.")
        for labels in (wanted.labels, template.labels):
            for key, value in labels.items():
                if not re.fullmatch(_LABEL, value) or not re.fullmatch(r"[a-z][a-z0-9_-]{0,62}", key):
                    raise ApiError(400, f"label {key}={value!r} is not allowed")
        names = [each.name for each in template.containers[0].env]
        if len(set(names)) != len(names) or {"PORT", "K_SERVICE", "K_REVISION"} & set(names):
            raise ApiError(400, f"env: reserved or given twice among {names}")
        self._check_traffic(wanted)

    def _check_traffic(self, wanted: run_v2.Service) -> None:
        tags = [each.tag for each in wanted.traffic if each.tag]
        if len(set(tags)) != len(tags) or not all(re.fullmatch(_TAG, tag) for tag in tags):
            raise ApiError(400, f"traffic: the tags {tags} are malformed or given twice")
        if wanted.traffic and sum(each.percent for each in wanted.traffic) != 100:
            raise ApiError(400, "traffic: the percentages do not sum to 100")
        for each in wanted.traffic:
            if each.type_ == PINNED and each.revision not in {*self.revisions, wanted.template.revision} - {""}:
                raise ApiError(400, f"traffic: revision {each.revision!r} does not exist")
            if (each.type_ == LATEST and each.revision) or not each.type_:
                raise ApiError(400, "traffic: the type and the revision contradict each other")

    def _new_revision(self) -> FakeRevision:
        short = self.message.template.revision or f"{self._name()}-{len(self.revisions) + 1:05}-{uuid.uuid4().hex[:3]}"
        message = run_v2.Revision(
            name=f"{self.message.name}/revisions/{short}",
            uid=str(uuid.uuid4()),
            service=self.message.name,
            create_time=datetime.now(UTC),
            reconciling=True,
            log_uri=f"https://console.cloud.google.com/logs/viewer?resource=cloud_run_revision/revision_name/{short}",
            **{name: getattr(self.message.template, name) for name in _KEPT},
        )
        image = self.builds.images.get(self.message.template.containers[0].image)
        self.revisions[short] = FakeRevision(message, image, self.log)
        self.message.latest_created_revision = message.name
        return self.revisions[short]

    def _reconcile(self, revision: FakeRevision | None, operation: operations_pb2.Operation) -> None:
        if revision:
            revision.reconcile()
        with self._lock:
            for name, each in self.revisions.items():
                if each.ready:
                    self.message.latest_ready_revision = f"{self.message.name}/revisions/{name}"
            routed = self._route()
            latest = self.revisions[self.message.latest_created_revision.rpartition("/")[2]]
            failed = next(iter(latest.message.conditions), None) if not latest.ready else None
            problem = failed.message if failed else routed
            self.message.terminal_condition = run_v2.Condition(
                type_="Ready", state=State.CONDITION_FAILED if problem else State.CONDITION_SUCCEEDED, message=problem
            )
            self.message.reconciling = False
            self.message.observed_generation = self.message.generation
            self._touch()
            if problem:
                operation.error.code, operation.error.message = 9, problem
            else:
                operation.response.Pack(run_v2.Service.pb(self.message))
            operation.done = True
            used = {status.revision or self._latest() for status in self.message.traffic_statuses}
            idle = [each for name, each in self.revisions.items() if name not in used and each is not latest]
        for each in idle:
            each.stop()

    def _route(self) -> str:
        """Apply the requested traffic atomically. Return an error message, or ""."""
        wanted = list(self.message.traffic) or [run_v2.TrafficTarget(type_=LATEST, percent=100)]
        names = [each.revision or self._latest() for each in wanted]
        for name in names:
            if name not in self.revisions or not self.revisions[name].ready:
                return f"Revision '{name}' is not ready and cannot serve traffic."
        former = {each.tag: each.revision for each in self.message.traffic_statuses if each.tag}
        for each, name in zip(wanted, names, strict=True):
            if each.tag and former.get(each.tag) != name:
                self._moved[each.tag] = (time.monotonic(), former.get(each.tag, ""))
        self.message.traffic_statuses = [
            run_v2.TrafficTargetStatus(
                type_=each.type_,
                revision=each.revision,
                percent=each.percent,
                tag=each.tag,
                uri=f"{self.message.uri}@{each.tag}" if each.tag else "",
            )
            for each in wanted
        ]
        return ""

    def _latest(self) -> str:
        return str(self.message.latest_ready_revision.rpartition("/")[2])

    def _touch(self) -> None:
        self.message.etag = f'"{uuid.uuid4().hex}"'
        self.message.update_time = datetime.now(UTC)

    def _name(self) -> str:
        return str(self.message.name.rpartition("/")[2])

    def _location(self) -> str:
        return str(self.message.name.partition("/services/")[0])


def placeholder(name: str, uri: str, environment: dict[str, str]) -> run_v2.Service:
    """Return a service as Terraform creates it: the placeholder image, all traffic to the latest revision."""
    container = run_v2.Container(
        image=PLACEHOLDER, env=[run_v2.EnvVar(name=key, value=value) for key, value in environment.items()]
    )
    template = run_v2.RevisionTemplate(
        containers=[container],
        service_account=f"runtime@{name.split('/')[1]}.iam.gserviceaccount.com",
        max_instance_request_concurrency=8,
    )
    traffic = [run_v2.TrafficTarget(type_=LATEST, percent=100)]
    return run_v2.Service(name=name, uri=uri, template=template, traffic=traffic)
