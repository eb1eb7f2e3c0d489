"""Add a candidate revision without traffic, and remove it."""

from __future__ import annotations

import os
import time
from pathlib import Path

from google.cloud import run_v2

from training.deployment.attestation import attest
from training.deployment.build import BuiltImage, build, source_digest
from training.deployment.config import DeployConfig
from training.deployment.logs import ServiceLog
from training.deployment.releases import ReleaseRef, plain
from training.deployment.service import CANDIDATE, PRODUCTION, CloudRunService, failure, ready, short
from training.errors import StepError
from training.git import commit, committed
from training.registry.registry import Registry
from training.registry.signing import Signer

FUNCTION = Path(__file__).parents[2] / "function"
# Labels of a revision.
COMMITTED, RELEASE, SOURCE = "committed", "release", "source"


def deploy(
    service: CloudRunService,
    registry: Registry,
    release: ReleaseRef,
    config: DeployConfig,
    function: Path = FUNCTION,
    signer: Signer | None = None,
) -> str:
    """Build the function, attest its image and add a revision that serves `release`. The traffic does not change.

    The new revision gets the tag `candidate`, the revision with the traffic gets the tag `production`. A live function
    of a newer commit stays: a training takes hours, and another push may have deployed since.

    Args:
        service: Service that gets the revision.
        registry: Registry that gets the attestation of the image.
        release: Release that the revision serves.
        config: Configuration of the build.
        function: Folder of the function's source.
        signer: Who signs the attestation, None for nobody.

    Returns:
        Name of the new revision.

    Raises:
        StepError: The build failed, the attestation cannot be signed, or the revision does not start. The message has
            the reason and names the log.
        ConflictError: Another process changed the service concurrently.
    """
    # Fail before the build if the service does not exist.
    live = service.revision(service.traffic().production)
    if int(live.labels.get(COMMITTED, 0)) > committed():
        return add_candidate(service, release)
    image = build(function, service.name, commit(), config)
    attest(registry, image, release, function, config, signer)
    return add_candidate(service, release, image)


def reuse(service: CloudRunService, release: ReleaseRef, function: Path = FUNCTION) -> str:
    """Make the live revision the candidate if it has this function and serves `release`, and return its name, else "".

    Another pipeline may have deployed the same while this one waited.
    """
    traffic = service.traffic()
    live = traffic.production
    if not serves(service.revision(live), source_digest(function), release.version):
        return ""
    service.route(traffic.split, traffic.tags | {CANDIDATE: live, PRODUCTION: live})
    return live


def serves(revision: run_v2.Revision, source: str, version: str) -> bool:
    """Return whether a revision was built from the source with this digest and serves this release."""
    return (revision.labels.get(SOURCE), revision.labels.get(RELEASE)) == (source, plain(version))


def add_candidate(service: CloudRunService, release: ReleaseRef, image: BuiltImage | None = None) -> str:
    """Add a candidate from an existing image, by default the current one; see `deploy`."""
    revision = add(service, release, image)
    traffic = service.traffic()
    service.route(traffic.split, traffic.tags | {CANDIDATE: revision, PRODUCTION: traffic.production})
    return revision


def add(service: CloudRunService, release: ReleaseRef, image: BuiltImage | None = None) -> str:
    """Add a revision that serves `release`, from `image` or else from the current image.

    Returns:
        Name of the new revision.

    Raises:
        StepError: The revision does not start. The message has Cloud Run's reason and the last lines of its log.
        ConflictError: Another process changed the service concurrently.
    """

    def change(template: run_v2.RevisionTemplate) -> None:
        container = template.containers[0]
        if image:
            container.image, container.base_image_uri = image.uri, image.base_image_uri
            template.labels.update({"commit": plain(commit()), COMMITTED: str(committed()), SOURCE: image.source})
        template.labels[RELEASE] = plain(release.version)
        pinned = release.pinned()
        kept = [each for each in container.env if each.name not in pinned]
        container.env = kept + [run_v2.EnvVar(name=name, value=value) for name, value in pinned.items()]

    made = service.add(_deployment(), change)
    if not ready(made):
        lines = ServiceLog(service.name).last_lines(short(made))
        raise StepError(f"{failure(made)}\nLast lines of its log, {made.log_uri}:\n{lines or '(none)'}")
    return short(made)


def discard(service: CloudRunService) -> str:
    """Remove the tag `candidate` and the candidate's partial traffic. A revision with all traffic keeps it.

    Returns:
        Name of the former candidate, or "" if there was none.

    Raises:
        StepError: The service cannot be read or changed.
    """
    traffic = service.traffic()
    candidate = traffic.tags.get(CANDIDATE, "")
    partly = 0 < traffic.split.get(candidate, 0) < 100
    split = {traffic.tags.get(PRODUCTION, traffic.production): 100} if partly else traffic.split
    service.route(split, {tag: revision for tag, revision in traffic.tags.items() if tag != CANDIDATE})
    return candidate


def _deployment() -> str:
    """Return a unique label: the CI job and the time."""
    return f"{plain(os.environ.get('CI_JOB_ID', 'manual'))}-{time.time_ns():x}"
