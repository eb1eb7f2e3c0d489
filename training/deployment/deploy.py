"""function/ and a release -> a candidate: a revision that nobody is sent to yet; and its removal."""

from __future__ import annotations

import os
import time
from pathlib import Path

from google.cloud import run_v2

from training.deployment.build import BuiltImage, build
from training.deployment.config import DeployConfig
from training.deployment.logs import ServiceLog
from training.deployment.releases import ReleaseRef, plain
from training.deployment.service import CANDIDATE, PRODUCTION, CloudRunService, failure, ready, short
from training.errors import StepError
from training.git import commit

FUNCTION = Path(__file__).parents[2] / "function"


def deploy(service: CloudRunService, release: ReleaseRef, config: DeployConfig, function: Path = FUNCTION) -> str:
    """Build the function and add a revision of it that serves `release`; all traffic stays where it is.

    The new one gets the tag `candidate`, the one that has the traffic the tag `production`.

    Returns:
        the revision's name.

    Raises:
        StepError: the build failed or the revision does not start; the message has the reason and names the log.
        ConflictError: the service was changed meanwhile.
    """
    # Before the build, so that a service that does not exist is known at once.
    service.traffic()
    return add_candidate(service, release, build(function, service.name, commit(), config))


def add_candidate(service: CloudRunService, release: ReleaseRef, image: BuiltImage) -> str:
    """The same with an image that is built."""
    revision = add(service, release, image)
    traffic = service.traffic()
    service.route(traffic.split, traffic.tags | {CANDIDATE: revision, PRODUCTION: traffic.production})
    return revision


def add(service: CloudRunService, release: ReleaseRef, image: BuiltImage | None = None) -> str:
    """Add a revision that serves `release`, of another image than now if one is given.

    Raises:
        StepError: it does not start; the message has Cloud Run's reason and its own last lines.
        ConflictError: the service was changed meanwhile.
    """

    def change(template: run_v2.RevisionTemplate) -> None:
        container = template.containers[0]
        if image:
            container.image, container.base_image_uri = image.uri, image.base_image_uri
            template.labels["commit"] = plain(commit())
        template.labels["release"] = plain(release.version)
        pinned = release.pinned()
        kept = [each for each in container.env if each.name not in pinned]
        container.env = kept + [run_v2.EnvVar(name=name, value=value) for name, value in pinned.items()]

    made = service.add(_deployment(), change)
    if not ready(made):
        said = ServiceLog(service.name).last_lines(short(made))
        raise StepError(f"{failure(made)}\nIts log, {made.log_uri}, ends with:\n{said or '(nothing)'}")
    return short(made)


def discard(service: CloudRunService) -> str:
    """Take the tag `candidate` away; a revision that already serves everybody goes on doing so.

    Returns:
        the revision that had it; "" where none had.

    Raises:
        StepError: the service cannot be read or changed.
    """
    traffic = service.traffic()
    candidate = traffic.tags.get(CANDIDATE, "")
    partly = 0 < traffic.split.get(candidate, 0) < 100
    split = {traffic.tags.get(PRODUCTION, traffic.production): 100} if partly else traffic.split
    service.route(split, {tag: revision for tag, revision in traffic.tags.items() if tag != CANDIDATE})
    return candidate


def _deployment() -> str:
    """What no other deployment is called: the job and the time."""
    return f"{plain(os.environ.get('CI_JOB_ID', 'manual'))}-{time.time_ns():x}"
