"""Back to an earlier release: its revision gets the traffic, then the pointer follows."""

from __future__ import annotations

from training.deployment.deploy import add
from training.deployment.releases import find, tag_of
from training.deployment.service import CANDIDATE, PRODUCTION, CloudRunService, environment
from training.deployment.service_client import ServedModel, ServiceClient
from training.errors import StepError
from training.registry.registry import Registry
from training.registry.signing import Trust

# that the first answer may take, a start from nothing included
_SECONDS = 60


def rollback(service: CloudRunService, registry: Registry, version: str, trust: Trust | None = None) -> str:
    """Send all traffic to the revision that served `version` to everybody, or to a new one that serves it.

    Args:
        service: whose traffic it is.
        registry: whose pointer follows.
        version: an earlier one, or "" for the one before; the one in production for the function as it was before.
        trust: whose signature the release must have, None for nobody's.

    Returns:
        the revision's name.

    Raises:
        StepError: there is no such earlier release, or no revision answers with it; then nothing was moved.
    """
    pointer = registry.production()
    stays = pointer is not None and version == pointer.version
    release = find(registry, version if stays else registry.earlier(version), trust)
    traffic = service.traffic()
    revision = traffic.tags.get(PRODUCTION if stays else tag_of(release.version)) or add(service, release)
    tags = traffic.tags | {CANDIDATE: revision}
    service.route(traffic.split, tags)
    found = ServiceClient.of(service, CANDIDATE, environment(service.revision(revision)), _SECONDS).model()
    if found != ServedModel(release.version, release.sha256):
        service.route(traffic.split, traffic.tags)
        raise StepError(
            f"{revision} answers with {found.version if found else 'no release'}, not {release.version}; "
            "nothing was moved"
        )
    # No candidate is left: what was verified before is not to be rolled out now.
    del tags[CANDIDATE]
    service.route({revision: 100}, tags | {PRODUCTION: revision, tag_of(release.version): revision})
    if not stays:
        registry.rollback(release.version, trust)
    return revision
