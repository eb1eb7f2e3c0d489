"""How often a rollout sends an equal candidate back, and how often a worse one: `make bench-rollout`."""

from __future__ import annotations

import argparse

import numpy as np

from tests.rollout_simulation import Behaviour, rollout
from training.deployment.config import RolloutConfig

CANDIDATES = {
    "equal": Behaviour(),
    "equal, 5 % of all fail": Behaviour(errors=0.05),
    "1 % fail": Behaviour(errors=0.01),
    "3 % fail": Behaviour(errors=0.03),
    "10 % fail": Behaviour(errors=0.1),
    "10 % are refused": Behaviour(refused=0.1),
    "all are refused": Behaviour(refused=1.0),
    "3 times as slow": Behaviour(slow=3.0),
    "20 times as slow": Behaviour(slow=20.0),
    'all are "female, 20-39"': Behaviour(always=("20-39", "female")),
}
USERS = (0, 300, 3000, 10000)


def main() -> None:
    """Print a table: the share of rollouts that go back, and the mean look at which they do."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rollouts", type=int, default=400, help="simulated rollouts in each cell (default: 400)")
    rollouts, random, config = parser.parse_args().rollouts, np.random.default_rng(0), RolloutConfig()
    print(f"{rollouts} rollouts in each cell; {config.minutes:g} minutes, {config.steps[0]} % of the traffic")
    print(f"{'candidate':26}" + "".join(f"{f'{users} users':>22}" for users in USERS))
    for name, candidate in CANDIDATES.items():
        live = candidate if name.startswith("equal") else Behaviour()
        cells = []
        for users in USERS:
            found = [rollout(candidate, users, random, config, live) for _ in range(rollouts)]
            looks = [look for reason, look in found if reason]
            cells.append(f"{len(looks) / rollouts:.1%}" + (f", look {np.mean(looks):.0f}" if looks else ""))
        print(f"{name:26}" + "".join(f"{cell:>22}" for cell in cells), flush=True)


if __name__ == "__main__":
    main()
