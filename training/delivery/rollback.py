"""Back to an earlier release: its revision gets the traffic, then the pointer follows."""

from __future__ import annotations

from training.delivery.deploy import add
from training.delivery.releases import find
from training.delivery.rollout import tag_of
from training.delivery.service import STABLE, Service, environment, ready
from training.delivery.verification import caller
from training.errors import StepError
from training.registry import Registry

# that the first answer may take, a start from nothing included
_SECONDS = 60


def rollback(service: Service, registry: Registry, version: str) -> str:
    """Send all traffic to the revision that served `version` to everybody, or to a new one that serves it.

    Args:
        service: whose traffic it is.
        registry: whose pointer follows.
        version: an earlier one, or "" for the one before.

    Returns:
        the revision's name.

    Raises:
        StepError: there is no such earlier release, or no revision answers with it; then nothing was moved.
    """
    version = registry.earlier(version)
    release, traffic = find(registry, version), service.traffic()
    revision = traffic.tags.get(tag_of(version), "")
    if not revision or not ready(service.revision(revision)):
        revision = add(service, release)
    tags = traffic.tags | {STABLE: revision, tag_of(version): revision}
    service.route(traffic.split, tags)
    found = caller(service, STABLE, environment(service.revision(revision)), _SECONDS).model().get("sha256")
    if found != release.sha256:
        raise StepError(f"{revision} does not answer with release {version} (it says {found}); nothing was moved")
    service.route({revision: 100}, tags)
    registry.rollback(version)
    return revision
