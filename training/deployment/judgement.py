"""Judge a candidate by what the log shows of it and of the live revision: tests with a known share of false alarms.

Cloud Run assigns each request at random. So requests that fail, that are refused or that are slow are as frequent on
both revisions, and their answers are distributed alike, unless the candidate is another.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from training.deployment.config import RolloutConfig
from training.deployment.logs import RequestLog
from training.stability import Array, chance, psi, significance

# Requests that fail, are refused and are slow, and the answers.
KINDS = 4


def verdict(candidate: RequestLog, live: RequestLog | None, config: RolloutConfig, looks: int) -> str:
    """Return what is worse about the candidate, "" if nothing is or the requests are too few to tell.

    Args:
        candidate: what the log shows of it.
        live: what it shows of the live revision, or None if that is another application.
        config: limits of the rollout.
        looks: how often the rollout judges. Each of these and each kind of test gets an equal part of
            `config.false_alarms` (Bonferroni), so at most that share of equal candidates is refused.
    """
    level = config.false_alarms / looks / KINDS
    if live is None:
        return _alone(candidate, config, level)
    return next(
        filter(
            None,
            (
                _more("failed", candidate.errors, candidate, live.errors, live, config, level),
                _more("were refused", candidate.refused, candidate, live.refused, live, config, level),
                _slower(candidate, live, config, level),
                *_other_answers(candidate, live, config, level),
            ),
        ),
        "",
    )


def fisher(hits: int, of: int, other_hits: int, of_other: int) -> float:
    """Return the p-value of Fisher's exact test, one-sided: that `hits` of `of` are so many by chance.

    It is the upper tail of the hypergeometric distribution: the probability that at least `hits` of all hits fall on
    the `of` draws (Fisher 1935, "The logic of inductive inference").
    """
    everything, total = of + of_other, hits + other_hits
    most = min(of, total)
    logs = [_choose(total, k) + _choose(everything - total, of - k) for k in range(hits, most + 1)]
    return min(1.0, sum(math.exp(each - _choose(everything, of)) for each in logs))


def tail(hits: int, of: int, share: float) -> float:
    """Return the probability of at least `hits` of `of`, each with probability `share`: a binomial tail."""
    if hits <= 0:
        return 1.0
    if share <= 0:
        return 0.0
    if share >= 1:
        return 1.0
    below = sum(
        math.exp(_choose(of, k) + k * math.log(share) + (of - k) * math.log1p(-share)) for k in range(min(hits, of + 1))
    )
    return max(0.0, 1 - below)


def detectable(requests: int, live: int, share: float, config: RolloutConfig, looks: int) -> float:
    """Return the share of failures that one look at the end finds with probability `config.power`; 1.0 for none.

    Args:
        requests: of the candidate.
        live: requests of the live revision.
        share: of its requests that fail.
        config: limits of the rollout.
        looks: as for `verdict`.
    """
    if not (requests and live):
        return 1.0
    level, failing = config.false_alarms / looks / KINDS, round(live * share)
    needed = next((hits for hits in range(requests + 1) if fisher(hits, requests, failing, live) < level), requests + 1)
    # A thousandth is finer than the statement needs.
    found = (step / 1000 for step in range(1, 1001) if tail(needed, requests, step / 1000) >= config.power)
    return max(next(found, 1.0), share + config.least_excess)


def _more(
    what: str, hits: int, candidate: RequestLog, live_hits: int, live: RequestLog, config: RolloutConfig, level: float
) -> str:
    if not (candidate.requests and live.requests):
        return ""
    share, before = hits / candidate.requests, live_hits / live.requests
    if share <= before + config.least_excess or fisher(hits, candidate.requests, live_hits, live.requests) >= level:
        return ""
    return (
        f"{hits} of {candidate.requests} requests {what}, {share:.1%}; of the live revision {live_hits} of "
        f"{live.requests}, {before:.1%}"
    )


def _slower(candidate: RequestLog, live: RequestLog, config: RolloutConfig, level: float) -> str:
    bound = min(config.p95_seconds, live.p95 * config.p95_factor + config.p95_slack)
    slow, before = candidate.slower(bound), live.slower(bound)
    if candidate.p95 <= bound or fisher(slow, candidate.requests, before, live.requests) >= level:
        return ""
    return f"the 95th percentile of the latency is {candidate.p95:.3f} s; the limit is {bound:.3f} s"


def _other_answers(candidate: RequestLog, live: RequestLog, config: RolloutConfig, level: float) -> Iterator[str]:
    """Compare the distributions of users' answers, one measure after the other. They share the level."""
    measures = [name for name in candidate.answers if name in live.answers]
    for name in measures:
        bins = sorted(live.answers[name].keys() | candidate.answers[name].keys())
        expected, served = (_counts(log, name, bins) for log in (live, candidate))
        if min(expected.sum(), served.sum()) < config.least_requests:
            continue
        moved = psi(expected, served) - chance(expected, served)
        if moved > config.psi and significance(expected, served) < level / len(measures):
            yield (
                f"its answers differ: {name} has a stability index of {moved:.2f} against the live revision, at most "
                f"{config.psi:.2f} is allowed ({candidate.answered} and {live.answered} requests of users)"
            )


def _counts(log: RequestLog, measure: str, bins: list[str]) -> Array:
    """Return the (bins,) counts of a measure, scaled to the number of requests: images of one request are alike."""
    found = np.array([log.answers[measure].get(name, 0) for name in bins], np.float64)
    return found * (log.answered / found.sum()) if found.sum() else found


def _alone(candidate: RequestLog, config: RolloutConfig, level: float) -> str:
    """Judge without a live revision, by absolute limits."""
    failed = candidate.errors
    if tail(failed, candidate.requests, config.error_share) < level:
        return f"{failed} of {candidate.requests} requests failed; the limit is {config.error_share:.1%}"
    if candidate.requests >= config.least_requests and candidate.p95 > config.p95_seconds:
        return f"the 95th percentile of the latency is {candidate.p95:.3f} s; the limit is {config.p95_seconds:.3f} s"
    return ""


def _choose(n: int, k: int) -> float:
    """Return the logarithm of the binomial coefficient, minus infinity for an impossible choice."""
    if not 0 <= k <= n:
        return -math.inf
    return math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1)
