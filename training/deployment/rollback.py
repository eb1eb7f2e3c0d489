"""Roll back to an earlier release: first the traffic, then the production pointer."""

from __future__ import annotations

from training.deployment.deploy import add
from training.deployment.releases import find, tag_of
from training.deployment.service import CANDIDATE, PRODUCTION, REFUSED, CloudRunService, environment
from training.deployment.service_client import ServedModel, ServiceClient
from training.deployment.settle import without_watch
from training.errors import StepError
from training.registry.registry import Registry
from training.registry.signing import Trust

# timeout of the first response, including a cold start
_SECONDS = 60


def rollback(service: CloudRunService, registry: Registry, version: str, trust: Trust | None = None) -> str:
    """Send all traffic to the former production revision of `version`, or to a new revision of it.

    Args:
        service: Service whose traffic changes.
        registry: Registry whose production pointer changes.
        version: Earlier release, or "" for the previous one. The version in production restores the function's
            previous revision.
        trust: Signer that the release must have, or None.

    Returns:
        Name of the revision.

    Raises:
        StepError: There is no such earlier release, or its revision does not respond with it. The traffic is
            unchanged.
    """
    pointer = registry.production()
    stays = pointer is not None and version == pointer.version
    release = find(registry, version if stays else registry.earlier(version), trust)
    traffic = service.traffic()
    # A revision keeps the tag of its release, and that tag always means it.
    tag = PRODUCTION if stays and PRODUCTION in traffic.tags else tag_of(release.version)
    revision = traffic.tags.get(tag) or add(service, release)
    tags = traffic.tags | {tag: revision}
    service.route(traffic.split, tags)
    wanted = ServedModel(release.version, release.sha256)
    found = ServiceClient.of(service, tag, environment(service.revision(revision)), _SECONDS).awaited(wanted)
    if found != wanted:
        service.route(traffic.split, traffic.tags)
        raise StepError(
            f"{revision} serves {found.version if found else 'no release'}, not {release.version}; "
            "the traffic is unchanged"
        )
    # Remove the candidate: its verification compared it with another production revision.
    tags = without_watch({tag: each for tag, each in tags.items() if tag != CANDIDATE})
    left = {REFUSED: traffic.production} if traffic.production != revision else {}
    service.route({revision: 100}, tags | {PRODUCTION: revision, tag_of(release.version): revision} | left)
    if not stays:
        registry.rollback(release.version, trust)
    return revision
