"""Canary rollout: shift traffic to a verified candidate, or back to production."""

from __future__ import annotations

import math
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

from training.deployment import attestation
from training.deployment.config import RolloutConfig
from training.deployment.judgement import detectable, verdict
from training.deployment.logs import RequestLog, ServiceLog
from training.deployment.releases import find, recent, served, tag_of
from training.deployment.service import CANDIDATE, PRODUCTION, REFUSED, CloudRunService, environment
from training.deployment.service_client import ServiceClient
from training.deployment.settle import watched, without_watch
from training.errors import StepError
from training.faces import draw
from training.registry.registry import Registry
from training.registry.signing import Trust
from training.registry.storage import ConflictError

Say = Callable[[str], None]

_ATTEMPTS = 5
_HOUR = timedelta(hours=1)
# Seconds that requests and reads of the log take in a step.
_SLACK = 300
# GitLab cancels a job with SIGTERM.
_SIGNALS = (signal.SIGTERM, signal.SIGINT)
# Probe image for both revisions. Only latency and status count here: `verify` checks the predictions.
_FACE = draw(age=30, gender=1, ethnicity=2, seed=0)


class Interrupted(StepError):  # noqa: N818 - an event, not an error
    """The job received a signal to end."""


class RefusedError(StepError):
    """The candidate exceeds a limit."""


def rollout(
    service: CloudRunService,
    registry: Registry,
    revision: str,
    config: RolloutConfig,
    say: Say,
    trust: Trust | None = None,
) -> str:
    """Send a part of the traffic to the candidate, then all of it, and move the pointer `production`.

    On any failure all traffic returns to production. You can restart a rollout that was killed.

    Returns:
        Version that is in production now.

    Raises:
        StepError: Reason for the return, or `revision` is not the candidate and the traffic is unchanged.
    """
    service.require_candidate(revision)
    version = _require_release(service, registry, revision, trust)
    if trust:
        image = service.revision(revision).containers[0].image
        say(f"image attested by: {attestation.require(registry, image, trust)}")
    pointer, before = registry.production(), service.traffic()
    production = before.tags.get(PRODUCTION, before.production)
    tags = without_watch(before.tags) | {PRODUCTION: production}
    with _going_back(service, production, revision, tags):
        for percent in config.steps if before.split != {revision: 100} else ():
            # Until then no `settle` takes the users away.
            seconds = 60 * max(config.minutes, config.longest) + config.log_seconds + _SLACK
            service.route({revision: percent, production: 100 - percent}, watched(tags, revision, seconds))
            say(f"{percent} % of the traffic goes to {revision}, the rest to {production}")
            watch(service, revision, production, percent, config, say)
        tags = {tag: each for tag, each in tags.items() if (tag, each) != (REFUSED, revision)}
        service.route({revision: 100}, recent(tags | {tag_of(version): revision}, revision))
        say(f"all traffic goes to {revision}")
        if registry.production() != pointer:
            raise ConflictError(f"another process moved the production pointer of {registry.uri} concurrently")
        registry.promote(version, trust)
    return version


def watch(
    service: CloudRunService, revision: str, production: str, percent: int, config: RolloutConfig, say: Say
) -> None:
    """Send test requests to both revisions and compare their logs, look after look.

    Raises:
        RefusedError: The candidate is worse.
        StepError: The log has too few of its requests.
    """
    variables = environment(service.revision(revision))
    clients = [ServiceClient.of(service, tag, variables, config.probe_seconds) for tag in (CANDIDATE, PRODUCTION)]
    # A placeholder is nothing to compare with. This also starts an instance of each revision.
    comparable = [each.model() is not None for each in clients][1]
    log = ServiceLog(service.name)
    minutes, statement = plan_step(log.requests(production, datetime.now(UTC) - _HOUR), percent, config)
    say(statement)
    looks, since = looks_in(minutes, config), datetime.now(UTC)
    judged = len(config.steps) * (looks + 1)

    def look() -> RequestLog:
        candidate, current = log.requests(revision, since), log.requests(production, since)
        say(f"{revision}: {candidate}; {production}: {current}")
        if reason := verdict(candidate, current if comparable else None, config, judged):
            raise RefusedError(f"{reason} {log.last_error(revision, since)}".rstrip())
        return candidate

    for _ in range(looks):
        for each in clients * config.probes:
            each.predict(_FACE)
        look()
        time.sleep(60 * minutes / looks)
    # The log arrives with some seconds of delay. Without the requests to both there is nothing to compare.
    waited = [revision, production] if comparable else [revision]
    deadline = time.monotonic() + config.log_seconds
    while (logged := min(log.requests(each, since).requests for each in waited)) < config.least_requests:
        if time.monotonic() > deadline:
            raise StepError(
                f"the log run.googleapis.com/requests shows {logged} requests to {' or '.join(waited)}; the rollout "
                f"needs {config.least_requests}. Does the project exclude this log?"
            )
        time.sleep(config.log_pause)
    look()


def looks_in(minutes: float, config: RolloutConfig) -> int:
    """Return how often a step of this duration looks at the log before its end."""
    return max(config.least_looks, math.ceil(60 * minutes / config.pause))


def plan_step(recent: RequestLog, percent: int, config: RolloutConfig) -> tuple[float, str]:
    """Return the duration of a step in minutes, and what it finds at the present traffic.

    Args:
        recent: Recent requests to the live revision.
        percent: Share of the traffic that the candidate gets.
        config: Settings of the rollout.
    """
    share = recent.errors / recent.requests if recent.requests else 0.0

    def found(minutes: float) -> tuple[int, float]:
        users = 60 * minutes * recent.requests / recent.window if recent.requests else 0.0
        own, rest = round(users * percent / 100), round(users * (1 - percent / 100))
        looks = len(config.steps) * (looks_in(minutes, config) + 1)
        return own, detectable(own, rest, share, config, looks)

    minutes = config.minutes
    while found(minutes)[1] > config.find and minutes < config.longest:
        minutes = min(config.longest, 2 * minutes)
    users, smallest = found(minutes)
    if smallest > config.find:
        users, smallest = found(config.minutes)
        judged = f"found from a share of {smallest:.1%} on" if smallest < 1 else "not found"
        return config.minutes, (
            f"not judged by users: about {users} of their requests will reach the candidate in {config.minutes:g} "
            f"minutes, and failures of them alone are {judged}; test requests judge it"
        )
    return minutes, (
        f"about {users} requests of users will reach the candidate in {minutes:g} minutes: if {smallest:.1%} of them "
        f"fail or are refused, that is found with a probability of {config.power:.0%}"
    )


def _require_release(service: CloudRunService, registry: Registry, revision: str, trust: Trust | None) -> str:
    """Return the version that the revision pins, and check that the registry has it."""
    variables = environment(service.revision(revision))
    release = find(registry, served(variables, registry), trust)
    if not release.pinned().items() <= variables.items():
        raise StepError(f"{revision} does not pin release {release.version} of {registry.uri}; deploy it again")
    return release.version


@contextmanager
def _going_back(service: CloudRunService, production: str, revision: str, tags: dict[str, str]) -> Iterator[None]:
    """Return all traffic to `production` if the block raises an exception or receives a signal.

    Tag `revision` if it was refused. A signal, or an error of an API, says nothing of it.
    """
    former = {number: signal.signal(number, _interrupt) for number in _SIGNALS}
    try:
        yield
    except BaseException as reason:
        for number in _SIGNALS:
            # A second signal must not stop the return.
            signal.signal(number, signal.SIG_IGN)
        refused = {REFUSED: revision} if isinstance(reason, RefusedError) else {}
        _restore(service, {production: 100}, tags | refused)
        kind = RefusedError if isinstance(reason, RefusedError) else StepError
        raise kind(f"{str(reason) or type(reason).__name__}\nall traffic is back on {production}") from reason
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
    raise StepError(f"the traffic could NOT be returned to {split}: {failed}; run `rollback`") from failed
