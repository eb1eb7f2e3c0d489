"""How often the gate is wrong about two releases: its false alarms, and how small a worsening it finds.

`python -m tests.bench_gate <prepared faces> <another release>`; the bundled one is the first of the two. The release
before it, with 128 pixels, is in the history: `git archive 2a9b77e function/model | tar -x -C <folder>`.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt

from serving import release
from serving.predictor import Predictor
from tests.conftest import FUNCTION
from training.config import EvaluateConfig, GateConfig
from training.evaluate import score
from training.evaluation.comparison import COMPARED, EVERYONE, Comparison, compare, groups
from training.evaluation.metrics import METRICS, ScoredSamples
from training.gate import against

Mask = npt.NDArray[np.bool_]
Pair = Callable[[np.random.Generator], tuple[ScoredSamples, ScoredSamples]]
HEADS = {head for head, _ in COMPARED.values()}


def mixed(one: ScoredSamples, other: ScoredSamples, take: Mask) -> ScoredSamples:
    """The answers of `one` where `take` says so, else those of `other`."""
    predictions = {name: value.copy() for name, value in vars(other).items() if name != "labels"}
    for name, value in predictions.items():
        value[take] = vars(one)[name][take]
    return ScoredSamples(one.labels, **predictions)


def exchanged(
    one: ScoredSamples, other: ScoredSamples, random: np.random.Generator
) -> tuple[ScoredSamples, ScoredSamples]:
    """Two releases that are equally good: each face's two answers are dealt out by the toss of a coin."""
    take = random.random(len(one.labels)) < 0.5
    return mixed(one, other, take), mixed(other, one, take)


def worsened(faces: ScoredSamples, share: float, where: Mask, random: np.random.Generator) -> ScoredSamples:
    """A release that answers a share of some faces as if they were other faces of the set."""
    order = random.permutation(len(where))
    elsewhere = ScoredSamples(
        faces.labels, **{name: held[order] for name, held in vars(faces).items() if name != "labels"}
    )
    return mixed(elsewhere, faces, where & (random.random(len(where)) < share))


def measure(name: str, pair: Pair, draws: int, where: Mask) -> None:
    """Print how much worse the challenger is in `where`, and how often the gate closes for such a pair.

    The shares: closed at all, for a metric over all faces, for groups, and for all faces if each metric had the whole
    level to itself.
    """
    random = np.random.default_rng(1)
    closed, found = np.zeros(4), []
    for seed in range(draws):
        before, after = pair(random)
        rows = compare(before, after, HEADS, EvaluateConfig(seed=seed))
        failed = [check.name for check in against(Comparison("", differences=rows), GateConfig()) if not check.passed]
        overall = any(check.endswith(f", {EVERYONE}") for check in failed)
        each = any(row.p_not_worse < GateConfig().false_overall for row in rows if row.group == EVERYONE)
        closed += [bool(failed), overall, any("metrics of groups" in check for check in failed), each]
        found.append((after.metrics() - before.metrics())[where].mean(axis=0))
    shares = dict(zip(METRICS, np.mean(found, axis=0), strict=True))
    differences = "  ".join(f"{shares[metric]:+8.4f}" for metric in COMPARED)
    print(f"{name:44} {differences}   " + "  ".join(f"{share:6.1%}" for share in closed / draws), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path, help="what `prepare` wrote")
    parser.add_argument("other", help="another release: folder or gs:// address")
    parser.add_argument("--draws", type=int, default=400, help="pairs of releases for each line (default: 400)")
    options = parser.parse_args()
    new, old = (score(Predictor(release.load(uri)), options.data) for uri in (str(FUNCTION / "model"), options.other))
    masks = dict(groups(new.labels))
    print(f"{'':44} " + "  ".join(f"{metric[:8]:>8}" for metric in COMPARED) + "      red     all  groups    each")
    measure("the other release against the bundled one", lambda _: (new, old), 1, masks[EVERYONE])
    measure("the bundled one against the other release", lambda _: (old, new), 1, masks[EVERYONE])
    measure("equally good", lambda random: exchanged(new, old, random), options.draws, masks[EVERYONE])

    for share in (0.005, 0.01, 0.015, 0.02, 0.03):
        pair = partial(_another, new, old, share, masks[EVERYONE])
        measure(f"{share:.1%} of the answers exchanged", pair, options.draws // 4, masks[EVERYONE])
    for group in ("black female, 13 and older", "asian male, 13 and older"):
        for share in (0.05, 0.1, 0.2):
            pair = partial(_another, new, old, share, masks[group])
            measure(f"{share:.0%} among {group}", pair, options.draws // 4, masks[group])
    for share in (0.0025, 0.005):
        pair = partial(_itself, new, share, masks[EVERYONE])
        measure(f"the bundled one with {share:.2%} exchanged", pair, options.draws // 4, masks[EVERYONE])


def _another(
    new: ScoredSamples, old: ScoredSamples, share: float, where: Mask, random: np.random.Generator
) -> tuple[ScoredSamples, ScoredSamples]:
    before, after = exchanged(new, old, random)
    return before, worsened(after, share, where, random)


def _itself(
    faces: ScoredSamples, share: float, where: Mask, random: np.random.Generator
) -> tuple[ScoredSamples, ScoredSamples]:
    return faces, worsened(faces, share, where, random)


if __name__ == "__main__":
    main()
