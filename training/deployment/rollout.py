"""Canary rollout: shift traffic to a verified candidate, or back to production."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

from training.deployment.config import RolloutConfig
from training.deployment.logs import RequestLog, ServiceLog
from training.deployment.releases import find, served, tag_of
from training.deployment.service import CANDIDATE, PRODUCTION, REFUSED, CloudRunService, environment
from training.deployment.service_client import ServiceClient
from training.errors import StepError
from training.faces import draw
from training.registry.registry import Registry
from training.registry.signing import Trust
from training.registry.storage import ConflictError

Say = Callable[[str], None]

_ATTEMPTS = 5
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
    pointer, before = registry.production(), service.traffic()
    production = before.tags.get(PRODUCTION, before.production)
    tags = before.tags | {PRODUCTION: production}
    with _going_back(service, production, revision, tags):
        if before.split != {revision: 100}:
            service.route({revision: config.percent, production: 100 - config.percent}, tags)
            say(f"{config.percent} % of the traffic goes to {revision}, the rest to {production}")
            watch(service, revision, production, config, say)
        tags = {tag: each for tag, each in tags.items() if (tag, each) != (REFUSED, revision)}
        service.route({revision: 100}, tags | {tag_of(version): revision})
        say(f"all traffic goes to {revision}")
        if registry.production() != pointer:
            raise ConflictError(f"another process moved the production pointer of {registry.uri} concurrently")
        registry.promote(version, trust)
    return version


def watch(service: CloudRunService, revision: str, production: str, config: RolloutConfig, say: Say) -> None:
    """Send probe requests to both revisions and compare their logs, in rounds.

    Raises:
        StepError: The candidate exceeds a limit, or the log has too few of its requests.
    """
    variables = environment(service.revision(revision))
    clients = [ServiceClient.of(service, tag, variables, config.probe_seconds) for tag in (CANDIDATE, PRODUCTION)]
    log, since = ServiceLog(service.name), datetime.now(UTC)
    # Do not compare with the latency of a placeholder.
    comparable = clients[1].model() is not None

    def check() -> RequestLog:
        candidate, current = log.requests(revision, since), log.requests(production, since)
        say(f"{revision}: {candidate}; {production}: {current}")
        if reason := verdict(candidate, current if comparable else RequestLog(), config):
            raise RefusedError(f"{reason} {log.last_error(revision, since)}".rstrip())
        return candidate

    for _ in range(config.rounds):
        for each in clients * config.probes:
            each.predict(_FACE)
        check()
        time.sleep(60 * config.minutes / config.rounds)
    # The log arrives with some seconds of delay.
    deadline = time.monotonic() + config.log_seconds
    while (logged := check()).requests < config.least_requests:
        if time.monotonic() > deadline:
            raise StepError(
                f"the log shows {logged.requests} requests to {revision}; the rollout needs {config.least_requests}"
            )
        time.sleep(config.log_pause)


def verdict(candidate: RequestLog, current: RequestLog, config: RolloutConfig) -> str:
    """Return the limit that the candidate exceeds; "" if none, or with too few requests."""
    allowed = max(config.error_share, current.error_share)
    if candidate.errors > allowed * max(candidate.requests, config.least_requests):
        return f"{candidate.errors} of {candidate.requests} requests failed; the limit is {allowed:.1%}"
    bound = config.p95_seconds
    if current.requests:
        bound = min(bound, current.p95 * config.p95_factor + config.p95_slack)
    if candidate.requests >= config.least_requests and candidate.p95 > bound:
        return f"the 95th percentile of the latency is {candidate.p95:.3f} s; the limit is {bound:.3f} s"
    return ""


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
