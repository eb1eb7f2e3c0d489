"""Simulated rollouts: requests drawn at random, judged by the code that judges real ones."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from training.deployment.config import RolloutConfig
from training.deployment.judgement import verdict
from training.deployment.logs import RequestLog
from training.deployment.rollout import looks_in

AGES = {"0-12": 0.1, "13-19": 0.1, "20-39": 0.45, "40-59": 0.25, "60+": 0.1}
GENDERS = {"female": 0.5, "male": 0.5}


@dataclass(frozen=True)
class Behaviour:
    """How a revision answers."""

    errors: float = 0.002
    refused: float = 0.02
    slow: float = 1.0
    """Factor of the latency, whose median is 50 ms."""
    always: tuple[str, str] | None = None
    """Age band and gender of every answer, None for the usual distributions."""


def rollout(
    candidate: Behaviour,
    users: int,
    random: np.random.Generator,
    config: RolloutConfig = RolloutConfig(),  # noqa: B008 - frozen
    live: Behaviour = Behaviour(),
) -> tuple[str, int]:
    """Return why a candidate is sent back, "" if it is not, and after how many looks.

    Args:
        candidate: what is rolled out.
        users: requests of users to both revisions in the whole watch.
        random: generator.
        config: of the rollout, with one step.
        live: what is live.
    """
    looks = looks_in(config.minutes, config)
    seen = [_Counts(), _Counts()]
    for look in range(1, looks + 2):
        # The last look sends no request.
        if look <= looks:
            own = random.binomial(users // looks, config.steps[0] / 100)
            for counts, behaviour, number in zip(seen, (candidate, live), (own, users // looks - own), strict=True):
                counts.add(behaviour, number, config.probes, random)
        if reason := verdict(seen[0].log(), seen[1].log(), config, looks + 1):
            return reason, look
    return "", looks + 1


class _Counts:
    """What the log shows of one revision so far."""

    def __init__(self) -> None:
        self.requests = self.errors = self.refused = self.answered = 0
        self.latencies: list[float] = []
        self.answers: dict[str, Any] = {"age": dict.fromkeys(AGES, 0), "gender": dict.fromkeys(GENDERS, 0)}

    def add(self, behaviour: Behaviour, users: int, probes: int, random: np.random.Generator) -> None:
        """Add requests of users, and test requests that never ask for something refused by a sound revision."""
        errors = random.binomial(users + probes, behaviour.errors)
        certain = probes if behaviour.refused == 1 else 0
        refused = min(random.binomial(users, behaviour.refused) + certain, users + probes - errors)
        self.requests += users + probes
        self.errors += errors
        self.refused += refused
        self.latencies += (behaviour.slow * 0.05 * np.exp(0.5 * random.normal(size=users + probes))).tolist()
        answered = max(0, users - errors - refused)
        self.answered += answered
        for place, (measure, shares) in enumerate((("age", AGES), ("gender", GENDERS))):
            share = list(shares.values())
            if behaviour.always:
                share = [float(name == behaviour.always[place]) for name in shares]
            for name, count in zip(shares, random.multinomial(answered, share), strict=True):
                self.answers[measure][name] += int(count)

    def log(self) -> RequestLog:
        return RequestLog(
            self.requests, self.errors, tuple(self.latencies), self.refused, 0, self.answers, self.answered
        )
