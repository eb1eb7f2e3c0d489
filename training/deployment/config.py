"""The numbers that a deployment is made and judged by: one frozen dataclass a step."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class DeployConfig:
    """function/ and a release -> a revision without traffic."""

    # name of the callable in function/main.py
    target: str = "predict"
    # Cloud Run's name of the runtime that the buildpack builds on, and that it patches later
    base_image: str = "python311"
    # seconds that a build may take
    build_seconds: float = 1200.0
    # seconds that Cloud Run may take for a change of the service, the start of a revision included
    change_seconds: float = 600.0
    # seconds between two looks at a build or a change
    poll_seconds: float = 1.0


@dataclass(frozen=True)
class VerifyConfig:
    """A revision without traffic -> may it have some."""

    # images that are asked about, one a request
    faces: int = 24
    # years by which an answered age or an end of its interval may differ: another processor rounds differently
    age_tolerance: int = 1
    # the same for a probability; a label may differ where both are so uncertain
    probability_tolerance: float = 0.02
    # seconds of the first answer, a start from nothing included, at most
    first_response_seconds: float = 15.0
    # seconds, 95th percentile of the answers, at most
    p95_seconds: float = 1.0
    # factor of the production revision's 95th percentile, at most
    p95_factor: float = 1.5
    # seconds beyond that factor that are noise
    p95_slack: float = 0.1
    # seconds that one request may take
    request_timeout: float = 60.0


@dataclass(frozen=True)
class RolloutConfig:
    """A verified revision -> all traffic, or none."""

    # share of the traffic that the revision has while it is watched, percent
    percent: int = 10
    # how long it is watched
    minutes: float = 5.0
    # rounds of probes in that time, each followed by a look at the log, of which 60 a minute are allowed
    rounds: int = 20
    # requests of our own to each revision in a round, so that an idle service is judged too
    probes: int = 2
    # seconds that one of them may take
    probe_seconds: float = 30.0
    # requests of the candidate in the log below which nothing can be said
    least_requests: int = 30
    # seconds after the watch that the log may be behind
    log_seconds: float = 90.0
    # seconds between two looks then
    log_pause: float = 2.0
    # share of the candidate's requests that fail on the server's side, at most
    error_share: float = 0.01
    # seconds, 95th percentile of the candidate's latency, at most
    p95_seconds: float = 2.0
    # factor of the production revision's 95th percentile, at most
    p95_factor: float = 2.0
    # seconds beyond that factor that are noise
    p95_slack: float = 0.2
