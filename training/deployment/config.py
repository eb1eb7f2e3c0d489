"""Limits and timeouts of a deployment: one frozen dataclass per step."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class DeployConfig:
    """Settings of `deploy`: build an image and add a revision without traffic."""

    target: str = "predict"
    """Name of the callable in function/main.py."""
    base_image: str = "python311"
    """Cloud Run's name of the runtime. Cloud Run patches it without a rebuild."""
    build_seconds: float = 1200.0
    """Timeout of a build."""
    change_seconds: float = 600.0
    """Timeout of a change of the service, including the start of a revision."""
    poll_seconds: float = 1.0
    """Interval between two reads of a build or a change."""


@dataclass(frozen=True)
class VerifyConfig:
    """Limits of `verify`: check a candidate before it gets traffic."""

    faces: int = 24
    """Number of test images, one per request."""
    age_tolerance: int = 1
    """Years by which an age or an end of its interval may differ, since other processors round differently."""
    probability_tolerance: float = 0.02
    """Difference allowed between probabilities. Labels may differ if both probabilities are this close to 0.5."""
    first_response_seconds: float = 15.0
    """Largest latency of the first response, including a cold start."""
    p95_seconds: float = 1.0
    """Largest 95th percentile of the latency."""
    p95_factor: float = 1.5
    """Largest 95th percentile relative to production."""
    p95_slack: float = 0.1
    """Seconds added to the relative limit for noise."""
    request_timeout: float = 60.0
    """Timeout of a request, in seconds."""


@dataclass(frozen=True)
class RolloutConfig:
    """Settings of `rollout`: shift traffic to a verified candidate, or back."""

    percent: int = 10
    """Share of the traffic that the canary gets, in percent."""
    minutes: float = 5.0
    """Duration of the canary."""
    rounds: int = 20
    """Rounds of probe requests in this time. Each reads the log once, and Cloud Logging allows 60 reads a minute."""
    probes: int = 2
    """Probe requests to each revision in a round, which provide data for an idle service."""
    probe_seconds: float = 30.0
    """Timeout of a probe request."""
    least_requests: int = 30
    """Requests to the candidate that the log must show before the rollout judges it."""
    log_seconds: float = 90.0
    """Time to wait for the log after the canary."""
    log_pause: float = 2.0
    """Seconds between two reads of the log in this time."""
    error_share: float = 0.01
    """Largest share of the candidate's requests that fail with a 5xx status."""
    p95_seconds: float = 2.0
    """Largest 95th percentile of the candidate's latency."""
    p95_factor: float = 2.0
    """Largest 95th percentile relative to production."""
    p95_slack: float = 0.2
    """Seconds added to the relative limit for noise."""
