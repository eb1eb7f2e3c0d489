"""One Cloud Run service: its revisions, and how its traffic is split between them.

Every change is guarded by the etag of the reading that it was made from.
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

_REVISION = run_v2.TrafficTargetAllocationType.TRAFFIC_TARGET_ALLOCATION_TYPE_REVISION


@dataclass(frozen=True)
class TrafficSplit:
    """Who gets the service's requests."""

    # revision -> percent; no revision without any
    split: dict[str, int]
    # tag -> revision that has an address of its own
    tags: dict[str, str]

    @property
    def production(self) -> str:
        """The revision that has most of it."""
        return max(self.split, key=lambda revision: self.split[revision])


class CloudRunService:
    """The service of that name."""

    def __init__(self, name: ServiceName, config: DeployConfig) -> None:
        """Raises StepError where there are no credentials."""
        self.name, self._config = name, config
        self._services = client(run_v2.ServicesClient, "RUN")
        self._revisions = client(run_v2.RevisionsClient, "RUN")

    def read(self) -> run_v2.Service:
        """The service as it is.

        Raises:
            StepError: there is none, or it may not be read.
        """
        with calling(f"service {self.name}"):
            return self._services.get_service(name=str(self.name), retry=READING)

    def traffic(self) -> TrafficSplit:
        """Where requests go now.

        Raises:
            StepError: to no revision.
        """
        traffic = _traffic(self.read())
        if not traffic.split:
            raise StepError(f"{self.name} serves nothing yet; create it by Terraform (infra/) first")
        return traffic

    def require_candidate(self, revision: str) -> None:
        """Raises StepError where another deployment has taken over."""
        candidate = self.traffic().tags.get(CANDIDATE, "nothing")
        if candidate != revision:
            raise StepError(f"{revision} is not the candidate of {self.name}, {candidate} is; deploy again")

    def address(self, tag: str = "") -> str:
        """The service's URL, or a tag's."""
        found = self.read()
        if not tag:
            return str(found.uri)
        return next(str(each.uri) for each in found.traffic_statuses if each.tag == tag)

    def revision(self, name: str) -> run_v2.Revision:
        """One revision.

        Raises:
            StepError: there is no such one.
        """
        with calling(f"revision {name} of {self.name}"):
            return self._revisions.get_revision(name=f"{self.name}/revisions/{name}", retry=READING)

    def revisions(self) -> list[run_v2.Revision]:
        """All of them, the newest first."""
        with calling(f"revisions of {self.name}"):
            found = list(self._revisions.list_revisions(parent=str(self.name), retry=READING))
        return sorted(found, key=lambda revision: revision.create_time, reverse=True)

    def add(self, deployment: str, change: Callable[[run_v2.RevisionTemplate], None]) -> run_v2.Revision:
        """Add a revision without traffic: the service's template as it is, but for what `change` changes.

        Args:
            deployment: its label of that name, by which it is known again; unlike any other's.
            change: of a copy of the template.

        Returns:
            the revision, which may have failed to become `ready`.

        Raises:
            StepError: none was made.
            ConflictError: the service was changed meanwhile.
        """
        service = self.read()
        traffic = _traffic(service)
        change(service.template)
        # Cloud Run names it: a name that stays in the template would forbid Terraform every later change of it.
        service.template.revision = ""
        service.template.labels["deployment"] = deployment
        # Pinned: a service that Terraform made sends all traffic to whatever is the latest.
        service.traffic = _targets(traffic)
        refusal = self._change(service, "template", "traffic")
        made = [revision for revision in self.revisions() if revision.labels.get("deployment") == deployment]
        if not made:
            raise StepError(f"{self.name}: no revision was made; {refusal or 'Cloud TrainingRun gives no reason'}")
        return made[0]

    def route(self, split: dict[str, int], tags: dict[str, str]) -> None:
        """Split the traffic, whole or not at all, and set the tags.

        Raises:
            StepError: Cloud Run did not do it.
            ConflictError: the service was changed meanwhile.
        """
        service, wanted = self.read(), TrafficSplit(split, tags)
        if _traffic(service) == wanted:
            return
        service.traffic = _targets(wanted)
        refusal = self._change(service, "traffic")
        # The change also reports what is wrong with a revision that never became ready and has no traffic.
        if _traffic(self.read()) != wanted:
            raise StepError(
                f"{self.name}: the traffic was not moved to {split}; {refusal or 'something else moved it'}"
            )

    def _change(self, service: run_v2.Service, *fields: str) -> str:
        """Carry out a change and wait for its end; what Cloud Run says against it, if anything."""
        request = run_v2.UpdateServiceRequest(service=service, update_mask=FieldMask(paths=fields))
        pause = self._config.poll_seconds
        polling = DEFAULT_POLLING.with_delay(initial=pause, maximum=10 * pause)
        with calling(f"service {self.name}"):
            operation = self._services.update_service(request=request)
            try:
                operation.result(polling=polling.with_timeout(self._config.change_seconds))
            except TimeoutError:
                return f"Cloud Run was not done after {self._config.change_seconds:.0f} s"
            except GoogleAPICallError as error:
                if not operation.done():
                    raise
                return str(error.message)
        return ""


def ready(revision: run_v2.Revision) -> bool:
    """Whether it can be given traffic."""
    succeeded = run_v2.Condition.State.CONDITION_SUCCEEDED
    return any(each.type_ == "Ready" and each.state == succeeded for each in revision.conditions)


def failure(revision: run_v2.Revision) -> str:
    """Why it cannot, in Cloud Run's words."""
    failed = run_v2.Condition.State.CONDITION_FAILED
    return "; ".join(each.message for each in revision.conditions if each.state == failed)


def environment(revision: run_v2.Revision) -> dict[str, str]:
    """Its container's variables, without those that come from a secret."""
    return {each.name: each.value for each in revision.containers[0].env if not each.value_source}


def short(revision: run_v2.Revision) -> str:
    """Its name within the service."""
    return str(revision.name.rpartition("/")[2])


def _traffic(service: run_v2.Service) -> TrafficSplit:
    split: dict[str, int] = {}
    tags: dict[str, str] = {}
    for each in service.traffic_statuses:
        # Traffic to whatever is the latest names no revision.
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
