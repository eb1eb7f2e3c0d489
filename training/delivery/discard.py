"""A candidate that nobody wants any more loses its address, and whatever traffic a rollout left it."""

from __future__ import annotations

from training.delivery.service import CANDIDATE, STABLE, Service


def discard(service: Service) -> str:
    """Take the tag `candidate` away; a revision that already serves everybody goes on doing so.

    Returns:
        the revision that had it; "" where none had.

    Raises:
        StepError: the service cannot be read or changed.
    """
    traffic = service.traffic()
    candidate = traffic.tags.get(CANDIDATE, "")
    partly = 0 < traffic.split.get(candidate, 0) < 100
    split = {traffic.tags[STABLE]: 100} if partly else traffic.split
    service.route(split, {tag: revision for tag, revision in traffic.tags.items() if tag != CANDIDATE})
    return candidate
