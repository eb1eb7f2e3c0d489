"""Two releases' answers to the same faces -> where the challenger differs from the champion, and how surely.

The faces are resampled, each with both answers (Efron and Tibshirani 1993, An Introduction to the Bootstrap, chapters
8 and 15), so that what makes a face hard for both cancels out.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from serving import manifest_v3
from serving.heads import AGE
from serving.request_stats import AGE_BANDS
from training.config import EvaluateConfig
from training.data.shards import LabelArray
from training.evaluation.metrics import METRICS, MIN_SUBGROUP_SIZE, Array, ScoredSamples
from training.files import write_text
from training.labels import CHOICES, ETHNICITIES, GENDERS, band, by_head

COMPARISON_FILE = "comparison.json"
EVERYONE = "all"
# Metrics that may get worse, by the head whose answers they judge, and the sign of "worse". An interval that holds more
# faces is no better, so that the coverage has thresholds of its own.
COMPARED = {
    "age_mae": (AGE, 1),
    "age_within_5": (AGE, -1),
    **{f"{head.name}_accuracy": (head.name, -1) for head in CHOICES},
}

Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Difference:
    """One metric of one group of faces under both releases: years for age_mae, shares for the others."""

    group: str
    n: int
    metric: str
    champion: float
    challenger: float
    # ends of the bootstrap interval of challenger - champion
    low: float
    high: float
    # share of the resamples in which the challenger is no worse: the smaller, the surer that it is worse
    p_not_worse: float

    @property
    def name(self) -> str:
        """What the gate calls it."""
        return f"{self.metric}, {self.group}"

    @property
    def difference(self) -> float:
        """Challenger minus champion."""
        return self.challenger - self.champion


@dataclass(frozen=True)
class Comparison:
    """What came of looking for a champion and comparing with it."""

    # hex digest of the challenger's model file
    sha256: str
    # version of the champion; "" where there is none
    champion: str = ""
    # why the champion could not be compared with; "" where it was, or where there is none
    obstacle: str = ""
    # what a reader must know to read the differences, a sentence each
    notes: tuple[str, ...] = ()
    # everyone first, then the groups
    differences: tuple[Difference, ...] = ()

    @property
    def remarks(self) -> tuple[str, ...]:
        """The notes, and the obstacle if there is one."""
        return (*self.notes, self.obstacle) if self.obstacle else self.notes

    def overall(self) -> list[Difference]:
        """Those over all faces."""
        return [row for row in self.differences if row.group == EVERYONE]

    def groups(self) -> list[Difference]:
        """Those over a part of the faces."""
        return [row for row in self.differences if row.group != EVERYONE]

    def save(self, folder: Path) -> None:
        """Write it beside the release in `folder`."""
        write_text(folder / COMPARISON_FILE, json.dumps(asdict(self), indent=1) + "\n")


def load(folder: Path, sha256: str) -> Comparison:
    """What `evaluate` found for the model with that digest; without a champion where it left nothing."""
    path = folder / COMPARISON_FILE
    record = manifest_v3.rename(json.loads(path.read_text())) if path.is_file() else {}
    if record.get("sha256") != sha256:
        return Comparison(sha256, notes=("It was compared with no other release.",))
    differences = tuple(Difference(**row) for row in record.pop("differences"))
    return Comparison(**record | {"notes": tuple(record["notes"]), "differences": differences})


def compare(
    champion: ScoredSamples, challenger: ScoredSamples, heads: set[str], config: EvaluateConfig
) -> tuple[Difference, ...]:
    """The differences in every metric that judges one of `heads`, over everyone and each group with enough faces."""
    random = np.random.default_rng(config.seed)
    before, after = (dict(zip(METRICS, faces.metrics().T, strict=True)) for faces in (champion, challenger))
    return tuple(
        _difference(name, metric, before[metric][mask], after[metric][mask], config, random)
        for name, mask in groups(challenger.labels)
        for metric, (head, _) in COMPARED.items()
        if head in heads
    )


def groups(labels: LabelArray) -> Iterator[tuple[str, Mask]]:
    """Names and masks (N,): everyone, and every group that is large enough to be judged."""
    labelled = by_head(labels)
    bands, genders, ethnicities = band(labelled[AGE]), labelled["gender"], labelled["ethnicity"]
    found = [(name, labelled[head.name] == number) for head in CHOICES for number, name in enumerate(head.labels)]
    found += [(f"{name} years", bands == b) for b, name in enumerate(AGE_BANDS)]
    found += [
        (f"{ethnicity} {gender}, 13 and older", (genders == g) & (ethnicities == e) & (bands >= 1))
        for e, ethnicity in enumerate(ETHNICITIES)
        for g, gender in enumerate(GENDERS)
    ]
    yield EVERYONE, np.ones(len(labels), np.bool_)
    yield from ((name, mask) for name, mask in found if mask.sum() >= MIN_SUBGROUP_SIZE)


def _difference(
    group: str, metric: str, before: Array, after: Array, config: EvaluateConfig, random: np.random.Generator
) -> Difference:
    _, worse = COMPARED[metric]
    resampled = _resampled(after - before, config.paired_bootstrap, random)
    tail = (1 - config.confidence) / 2
    low, high = np.quantile(resampled, (tail, 1 - tail)).tolist()
    # One is added to both counts, for the found faces are a sample too (Davison and Hinkley 1997, section 4.2).
    p_not_worse = (1 + int((worse * resampled <= 0).sum())) / (1 + len(resampled))
    means = round(float(before.mean()), 6), round(float(after.mean()), 6)
    return Difference(group, len(before), metric, *means, round(low, 6), round(high, 6), round(p_not_worse, 6))


def _resampled(differences: Array, resamples: int, random: np.random.Generator) -> Array:
    """(N,) -> (resamples,) means of N drawn with replacement.

    Ages are whole years and the rest is right or wrong, so the values are few: how often each is drawn is multinomial,
    whatever the number of faces.
    """
    values, counts = np.unique(differences, return_counts=True)
    draws = random.multinomial(len(differences), counts / len(differences), size=resamples)
    means: Array = draws @ values / len(differences)
    return means
