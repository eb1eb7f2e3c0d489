"""A verified candidate gets some of the traffic, is watched, and then gets all of it or none."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

from training.deployment.config import RolloutConfig
from training.deployment.logs import Seen, ServiceLog
from training.deployment.releases import find, served, tag_of
from training.deployment.service import CANDIDATE, PRODUCTION, CloudRunService, environment
from training.deployment.service_client import ServiceClient
from training.errors import StepError
from training.faces import draw
from training.registry.registry import Registry
from training.registry.signing import Trust
from training.registry.storage import ConflictError

Say = Callable[[str], None]

_ATTEMPTS = 5
# by the first a job is cancelled
_SIGNALS = (signal.SIGTERM, signal.SIGINT)
# what both are asked about: how long it takes counts here, `verify` has looked at the answers
_FACE = draw(age=30, gender=1, ethnicity=2, seed=0)


class Interrupted(StepError):  # noqa: N818 - what happened, not what is wrong
    """The job was told to end."""


def rollout(
    service: CloudRunService,
    registry: Registry,
    revision: str,
    config: RolloutConfig,
    say: Say,
    trust: Trust | None = None,
) -> str:
    """Send traffic to the candidate step by step, and point `production` at its release.

    Whatever goes wrong on the way, all traffic goes back to the revision in production. A rollout that was killed may
    be started again.

    Returns:
        the version that is in production now.

    Raises:
        StepError: why it went back; or it is not the candidate, and nothing was moved.
    """
    service.require_candidate(revision)
    version = _require_release(service, registry, revision, trust)
    pointer, before = registry.production(), service.traffic()
    production = before.tags.get(PRODUCTION, before.production)
    tags = before.tags | {PRODUCTION: production}
    with _going_back(service, production, tags):
        if before.split != {revision: 100}:
            service.route({revision: config.percent, production: 100 - config.percent}, tags)
            say(f"{config.percent} % of the traffic goes to {revision}, the rest to {production}")
            watch(service, revision, production, config, say)
        service.route({revision: 100}, tags | {tag_of(version): revision})
        say(f"all traffic goes to {revision}")
        if registry.production() != pointer:
            raise ConflictError(f"the production pointer of {registry.uri} was moved by somebody else meanwhile")
        registry.promote(version, trust)
    return version


def watch(service: CloudRunService, revision: str, production: str, config: RolloutConfig, say: Say) -> None:
    """Send both revisions requests and look at what the log says of theirs, round by round.

    Raises:
        StepError: the candidate is worse than it may be, or too little is known of it.
    """
    variables = environment(service.revision(revision))
    asked = [ServiceClient.of(service, tag, variables, config.probe_seconds) for tag in (CANDIDATE, PRODUCTION)]
    log, since = ServiceLog(service.name), datetime.now(UTC)
    # What a placeholder takes is no measure.
    comparable = asked[1].model() is not None

    def look() -> Seen:
        candidate, current = log.seen(revision, since), log.seen(production, since)
        say(f"{revision}: {candidate}; {production}: {current}")
        if reason := verdict(candidate, current if comparable else Seen(), config):
            raise StepError(f"{reason} {log.complaint(revision, since)}".rstrip())
        return candidate

    for _ in range(config.rounds):
        for each in asked * config.probes:
            each.predict(_FACE)
        look()
        time.sleep(60 * config.minutes / config.rounds)
    # The log is behind by some seconds.
    deadline = time.monotonic() + config.log_seconds
    while (seen := look()).requests < config.least_requests:
        if time.monotonic() > deadline:
            raise StepError(
                f"the log names {seen.requests} requests to {revision}; {config.least_requests} are needed to judge it"
            )
        time.sleep(config.log_pause)


def verdict(candidate: Seen, current: Seen, config: RolloutConfig) -> str:
    """What is wrong with the candidate; "" for nothing, or where too little is known yet."""
    allowed = max(config.error_share, current.error_share)
    if candidate.errors > allowed * max(candidate.requests, config.least_requests):
        return f"{candidate.errors} of {candidate.requests} requests failed, {allowed:.1%} may"
    bound = config.p95_seconds
    if current.requests:
        bound = min(bound, current.p95 * config.p95_factor + config.p95_slack)
    if candidate.requests >= config.least_requests and candidate.p95 > bound:
        return f"95 % of the requests are answered within {candidate.p95:.3f} s, {bound:.3f} s are allowed"
    return ""


def _require_release(service: CloudRunService, registry: Registry, revision: str, trust: Trust | None) -> str:
    """The version that the revision serves, whole and as the registry has it."""
    variables = environment(service.revision(revision))
    release = find(registry, served(variables, registry), trust)
    if not release.pinned().items() <= variables.items():
        raise StepError(f"{revision} does not pin release {release.version} of {registry.uri}; deploy it again")
    return release.version


@contextmanager
def _going_back(service: CloudRunService, production: str, tags: dict[str, str]) -> Iterator[None]:
    """Send all traffic to `production` where an exception, or a signal that ends the job, comes out of the block."""
    former = {number: signal.signal(number, _interrupt) for number in _SIGNALS}
    try:
        yield
    except BaseException as reason:
        for number in _SIGNALS:
            # Nothing keeps the traffic from going back.
            signal.signal(number, signal.SIG_IGN)
        _restore(service, {production: 100}, tags)
        raise StepError(f"{str(reason) or type(reason).__name__}\nall traffic is back at {production}") from reason
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)


def _interrupt(number: int, _: object) -> None:
    raise Interrupted(f"interrupted by {signal.Signals(number).name}")


def _restore(service: CloudRunService, split: dict[str, int], tags: dict[str, str]) -> None:
    for attempt in range(_ATTEMPTS):
        try:
            return service.route(split, tags)
        except StepError as error:
            failed = error
            time.sleep(2**attempt)
    raise StepError(f"the traffic could NOT be moved back to {split}: {failed}; run `rollback`") from failed
