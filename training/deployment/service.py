"""A Cloud Run service: its revisions and its traffic split.

Every change carries the etag of the state that it is based on.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from google.api_core.exceptions import GoogleAPICallError
from google.api_core.future.polling import DEFAULT_POLLING
from google.cloud import run_v2
from google.protobuf.field_mask_pb2 import FieldMask

from training.deployment.clients import READING, calling, client
from training.deployment.config import DeployConfig
from training.deployment.resources import ServiceName
from training.errors import StepError

CANDIDATE = "candidate"
PRODUCTION = "production"
# The revision that users were taken off: by a rollout that failed, or by a rollback. `plan` does not deploy it again.
REFUSED = "refused"

_REVISION = run_v2.TrafficTargetAllocationType.TRAFFIC_TARGET_ALLOCATION_TYPE_REVISION


@dataclass(frozen=True)
class TrafficSplit:
    """Distribution of the service's requests."""

    split: dict[str, int]
    """Percent of each revision with traffic."""
    tags: dict[str, str]
    """Revision of each tag. A tag gives a revision its own address."""

    @property
    def production(self) -> str:
        """Revision with the most traffic."""
        return max(self.split, key=lambda revision: self.split[revision])


class CloudRunService:
    """Client of one service."""

    def __init__(self, name: ServiceName, config: DeployConfig) -> None:
        """Connect to Cloud Run.

        Raises:
            StepError: There are no credentials.
        """
        self.name, self._config = name, config
        self._services = client(run_v2.ServicesClient)
        self._revisions = client(run_v2.RevisionsClient)

    def read(self) -> run_v2.Service:
        """Return the current state of the service.

        Raises:
            StepError: The service does not exist, or you have no permission to read it.
        """
        with calling(f"service {self.name}"):
            return self._services.get_service(name=str(self.name), retry=READING)

    def traffic(self) -> TrafficSplit:
        """Return the current traffic.

        Raises:
            StepError: No revision has traffic.
        """
        traffic = _traffic(self.read())
        if not traffic.split:
            raise StepError(f"{self.name} has no traffic; create the service with Terraform (infra/) first")
        return traffic

    def require_candidate(self, revision: str) -> None:
        """Check that `revision` is the candidate.

        Raises:
            StepError: Another revision is the candidate, or none is.
        """
        candidate = self.traffic().tags.get(CANDIDATE, "no revision")
        if candidate != revision:
            raise StepError(f"{revision} is not the candidate of {self.name}, {candidate} is; deploy again")

    def address(self, tag: str = "") -> str:
        """Return the URL of the service or of a tag."""
        found = self.read()
        if not tag:
            return str(found.uri)
        return next(str(each.uri) for each in found.traffic_statuses if each.tag == tag)

    def revision(self, name: str) -> run_v2.Revision:
        """Return a revision.

        Raises:
            StepError: The revision does not exist.
        """
        with calling(f"revision {name} of {self.name}"):
            return self._revisions.get_revision(name=f"{self.name}/revisions/{name}", retry=READING)

    def revisions(self) -> list[run_v2.Revision]:
        """Return all revisions, newest first."""
        with calling(f"revisions of {self.name}"):
            found = list(self._revisions.list_revisions(parent=str(self.name), retry=READING))
        return sorted(found, key=lambda revision: revision.create_time, reverse=True)

    def add(self, deployment: str, change: Callable[[run_v2.RevisionTemplate], None]) -> run_v2.Revision:
        """Add a revision without traffic from a changed copy of the service's template.

        Args:
            deployment: Unique value of the label `deployment`, which identifies the new revision.
            change: Function that changes the copy of the template.

        Returns:
            The revision, which may not be `ready`.

        Raises:
            StepError: Cloud Run added no revision.
            ConflictError: Another process changed the service concurrently.
        """
        service = self.read()
        traffic = _traffic(service)
        change(service.template)
        # Cloud Run chooses the name. A name in the template would block every later change with Terraform.
        service.template.revision = ""
        service.template.labels["deployment"] = deployment
        # Pin the traffic: Terraform creates the service with all traffic on the latest revision.
        service.traffic = _targets(traffic)
        refusal = self._change(service, "template", "traffic")
        made = [revision for revision in self.revisions() if revision.labels.get("deployment") == deployment]
        if not made:
            raise StepError(f"{self.name}: Cloud Run added no revision; {refusal or 'it gives no reason'}")
        return made[0]

    def route(self, split: dict[str, int], tags: dict[str, str]) -> None:
        """Set traffic split and tags atomically.

        Raises:
            StepError: Cloud Run did not apply the change.
            ConflictError: Another process changed the service concurrently.
        """
        service, wanted = self.read(), TrafficSplit(split, tags)
        if _traffic(service) == wanted:
            return
        service.traffic = _targets(wanted)
        refusal = self._change(service, "traffic")
        # The operation also reports errors of revisions without traffic, so check the result itself.
        if _traffic(self.read()) != wanted:
            raise StepError(f"{self.name}: the traffic is not {split}; {refusal or 'another process changed it'}")

    def _change(self, service: run_v2.Service, *fields: str) -> str:
        """Apply a change and wait for it. Return Cloud Run's error message, or ""."""
        sent = run_v2.Service(name=service.name, etag=service.etag)
        for field in fields:
            setattr(sent, field, getattr(service, field))
        request = run_v2.UpdateServiceRequest(service=sent, update_mask=FieldMask(paths=fields))
        pause = self._config.poll_seconds
        polling = DEFAULT_POLLING.with_delay(initial=pause, maximum=10 * pause)
        with calling(f"service {self.name}"):
            operation = self._services.update_service(request=request)
            try:
                operation.result(polling=polling.with_timeout(self._config.change_seconds))
            except TimeoutError:
                return f"Cloud Run did not finish within {self._config.change_seconds:.0f} s"
            except GoogleAPICallError as error:
                if not operation.done():
                    raise
                return str(error.message)
        return ""


def ready(revision: run_v2.Revision) -> bool:
    """Return whether the revision can receive traffic."""
    succeeded = run_v2.Condition.State.CONDITION_SUCCEEDED
    return any(each.type_ == "Ready" and each.state == succeeded for each in revision.conditions)


def failure(revision: run_v2.Revision) -> str:
    """Return Cloud Run's reasons why the revision is not ready."""
    failed = run_v2.Condition.State.CONDITION_FAILED
    return "; ".join(each.message for each in revision.conditions if each.state == failed)


def environment(revision: run_v2.Revision) -> dict[str, str]:
    """Return the container's environment variables, without secrets."""
    return {each.name: each.value for each in revision.containers[0].env if not each.value_source}


def short(revision: run_v2.Revision) -> str:
    """Return the revision's name within the service."""
    return str(revision.name.rpartition("/")[2])


def _traffic(service: run_v2.Service) -> TrafficSplit:
    split: dict[str, int] = {}
    tags: dict[str, str] = {}
    for each in service.traffic_statuses:
        # Traffic to the latest revision has no revision name.
        revision = each.revision or str(service.latest_ready_revision.rpartition("/")[2])
        if each.percent:
            split[revision] = split.get(revision, 0) + each.percent
        if each.tag:
            tags[each.tag] = revision
    return TrafficSplit(split, tags)


def _targets(traffic: TrafficSplit) -> list[run_v2.TrafficTarget]:
    shares = [
        run_v2.TrafficTarget(type_=_REVISION, revision=revision, percent=percent)
        for revision, percent in traffic.split.items()
    ]
    return shares + [
        run_v2.TrafficTarget(type_=_REVISION, revision=revision, tag=tag) for tag, revision in traffic.tags.items()
    ]
