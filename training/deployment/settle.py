"""Bring a rollout that nobody watches any more to an end: its job was killed, or its machine was taken away."""

from __future__ import annotations

import time
from datetime import UTC, datetime

from training.deployment.releases import served
from training.deployment.service import CANDIDATE, PRODUCTION, CloudRunService, environment
from training.registry.registry import Registry
from training.registry.signing import Trust

# Begins the tag of a candidate while a rollout watches it. The rest is the time, in seconds since 1970, until which the
# rollout may take. A tag changes together with the traffic.
UNTIL = "until-"


def settle(service: CloudRunService, registry: Registry, trust: Trust | None = None, *, ended: bool = False) -> str:
    """End an abandoned rollout by what is there, and return what was done as a sentence.

    Where users are on two revisions, all of them return to the former one: nobody has judged the candidate. Where all
    of them are on the candidate, it was judged, and only the pointer `production` is missing. A split that no rollout
    of this project has made is left alone.

    Args:
        service: Service to settle.
        registry: Registry whose pointer is completed.
        trust: Signer that the release must have, or None.
        ended: Whether the rollout is known to have ended. Otherwise one whose time is not up is left alone.

    Raises:
        StepError: The service or the registry cannot be read or changed.
    """
    traffic = service.traffic()
    until = next((tag for tag in traffic.tags if tag.startswith(UNTIL)), "")
    tags = without_watch(traffic.tags)
    if until:
        deadline = int(until.removeprefix(UNTIL))
        if not ended and time.time() < deadline:
            return f"a rollout may take until {datetime.fromtimestamp(deadline, UTC):%H:%M} UTC; nothing is settled"
        production = tags[PRODUCTION]
        service.route({production: 100}, tags)
        return f"the rollout of {traffic.tags[until]} was abandoned: all traffic is back on {production}"
    live, pointer = traffic.production, registry.production()
    if tags.get(CANDIDATE) == live and traffic.split == {live: 100}:
        version = served(environment(service.revision(live)), registry)
        if pointer is None or pointer.version != version:
            registry.promote(version, trust)
            return f"all traffic was on {live} already: production is {version} now"
    return "there is no abandoned rollout"


def watched(tags: dict[str, str], revision: str, seconds: float) -> dict[str, str]:
    """Return tags with the one that says for how long a rollout watches `revision`."""
    return without_watch(tags) | {f"{UNTIL}{int(time.time() + seconds)}": revision}


def without_watch(tags: dict[str, str]) -> dict[str, str]:
    """Return tags without that one."""
    return {tag: revision for tag, revision in tags.items() if not tag.startswith(UNTIL)}
