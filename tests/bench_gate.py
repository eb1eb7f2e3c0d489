"""Measure the gate's false positives, and the smallest worsening that it detects.

`python -m tests.bench_gate <prepared faces> <another release>`; the other release is compared with the bundled
one. The release before that, with 128 pixels, is in the history:
`git archive 2a9b77e function/model | tar -x -C <folder>`.
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
from training.evaluation.comparison import EVERYONE, Comparison, compare, groups
from training.evaluation.metric_table import COMPARED
from training.evaluation.samples import METRICS, ScoredSamples
from training.gate import against

Mask = npt.NDArray[np.bool_]
Pair = Callable[[np.random.Generator], tuple[ScoredSamples, ScoredSamples]]
HEADS = {spec.head for spec in COMPARED.values()}


def mixed(one: ScoredSamples, other: ScoredSamples, take: Mask) -> ScoredSamples:
    """Return the predictions of `one` where `take` is true, else those of `other`."""
    predictions = {name: value.copy() for name, value in vars(other).items() if name != "labels"}
    for name, value in predictions.items():
        value[take] = vars(one)[name][take]
    return ScoredSamples(one.labels, **predictions)


def exchanged(
    one: ScoredSamples, other: ScoredSamples, random: np.random.Generator
) -> tuple[ScoredSamples, ScoredSamples]:
    """Return two equally good releases: the two predictions for each face are swapped at random."""
    take = random.random(len(one.labels)) < 0.5
    return mixed(one, other, take), mixed(other, one, take)


def worsened(faces: ScoredSamples, share: float, where: Mask, random: np.random.Generator) -> ScoredSamples:
    """Return a release with a share of its predictions in `where` replaced by those for other faces."""
    order = random.permutation(len(where))
    elsewhere = ScoredSamples(
        faces.labels, **{name: held[order] for name, held in vars(faces).items() if name != "labels"}
    )
    return mixed(elsewhere, faces, where & (random.random(len(where)) < share))


def measure(name: str, pair: Pair, draws: int, where: Mask) -> None:
    """Print the mean differences in `where`, and how often the gate fails such a pair of releases.

    Columns: failed at all, by a metric over all faces, by a metric of a group, and over all faces without the
    Bonferroni correction.
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
    parser.add_argument("data", type=Path, help="output folder of `prepare`")
    parser.add_argument("other", help="another release: folder or gs:// address")
    parser.add_argument("--draws", type=int, default=400, help="pairs of releases per line (default: 400)")
    options = parser.parse_args()
    new, old = (score(Predictor(release.load(uri)), options.data) for uri in (str(FUNCTION / "model"), options.other))
    masks = dict(groups(new.labels))
    print(f"{'':44} " + "  ".join(f"{metric[:8]:>8}" for metric in COMPARED) + "   failed     all  groups    each")
    measure("the other release against the bundled one", lambda _: (new, old), 1, masks[EVERYONE])
    measure("the bundled one against the other release", lambda _: (old, new), 1, masks[EVERYONE])
    measure("equally good", lambda random: exchanged(new, old, random), options.draws, masks[EVERYONE])

    for share in (0.005, 0.01, 0.015, 0.02, 0.03):
        pair = partial(_another, new, old, share, masks[EVERYONE])
        measure(f"{share:.1%} of the predictions exchanged", pair, options.draws // 4, masks[EVERYONE])
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
