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

    steps: tuple[int, ...] = (10,)
    """Shares of the traffic that the candidate gets one after the other, in percent, before it gets all."""
    minutes: float = 5.0
    """Duration of each step."""
    longest: float = 30.0
    """Duration up to which a step with too few users is lengthened, in minutes."""
    pause: float = 15.0
    """Seconds between two looks at the log. Each look reads up to eight pages; Cloud Logging allows 60 a minute."""
    least_looks: int = 10
    """Looks in a step, however short it is."""
    probes: int = 3
    """Test requests to each revision before a look, which provide data for an idle service."""
    probe_seconds: float = 30.0
    """Timeout of a test request."""
    least_requests: int = 30
    """Requests to the candidate that the log must show before the rollout goes on."""
    log_seconds: float = 90.0
    """Time to wait for the log after a step."""
    log_pause: float = 5.0
    """Seconds between two reads of the log in this time."""
    false_alarms: float = 0.02
    """Probability of sending an equal candidate back, at most."""
    power: float = 0.8
    """Probability with which a stated worsening is found."""
    find: float = 0.05
    """Share of failures that users should reveal with that probability. A step is lengthened for it."""
    least_excess: float = 0.002
    """Difference of shares below which more failures, refusals or slow responses do not count."""
    psi: float = 0.2
    """Largest stability index between the answers of the candidate and of the live revision, corrected for chance."""
    error_share: float = 0.01
    """Largest share of failures where there is no live release to compare with."""
    p95_seconds: float = 2.0
    """Largest 95th percentile of the candidate's latency."""
    p95_factor: float = 2.0
    """Largest 95th percentile relative to production."""
    p95_slack: float = 0.2
    """Seconds added to the relative limit for noise."""
