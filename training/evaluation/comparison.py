"""Paired comparison of two releases on the same faces.

The paired bootstrap resamples faces, each with both predictions (Efron and Tibshirani 1993, An Introduction to the
Bootstrap, chapters 8 and 15). What makes a face hard for both releases cancels out.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from serving import manifest_v3
from serving.request_stats import AGE_BANDS
from training.config import EvaluateConfig
from training.data.shards import LabelArray
from training.evaluation.age_groups import AGE_GROUPS, FROM_13
from training.evaluation.metric_table import COMPARED, COMPARED_RANGES, MetricSpec, spec
from training.evaluation.metrics import MIN_SUBGROUP_SIZE
from training.evaluation.samples import METRICS, Array, ScoredSamples
from training.files import write_text
from training.labels import CHOICES, ETHNICITIES, GENDERS, age_bands, by_head

COMPARISON_FILE = "comparison.json"
EVERYONE = "all"

Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Difference:
    """One metric of one group of faces under both releases: years for age_mae, shares for the others."""

    group: str
    n: int
    """Number of faces with a label for the metric."""
    metric: str
    champion: float
    challenger: float
    low: float
    """Lower end of the bootstrap interval of challenger - champion."""
    high: float
    """Upper end of that interval."""
    p_not_worse: float
    """Share of the resamples in which the challenger is no worse. The smaller, the surer that it is worse."""

    @property
    def name(self) -> str:
        """Return the name of the gate's check."""
        return f"{self.metric}, {self.group}"

    @property
    def difference(self) -> float:
        """Return challenger minus champion."""
        return self.challenger - self.champion

    @property
    def spec(self) -> MetricSpec:
        """Return the metric's title, unit and direction."""
        return spec(self.metric)


@dataclass(frozen=True)
class Comparison:
    """A challenger against the champion, if there is one."""

    sha256: str
    """Hex digest of the challenger's model file."""
    champion: str = ""
    """Version of the champion; "" if there is none."""
    obstacle: str = ""
    """Why the comparison is impossible or unfair; "" if it is neither."""
    notes: tuple[str, ...] = ()
    """What limits the comparison, one sentence each."""
    differences: tuple[Difference, ...] = ()
    """All faces first, then the groups."""
    ages: tuple[Difference, ...] = ()
    """Those of the groups of ages, which the gate does not judge. Earlier versions have none."""

    @property
    def remarks(self) -> tuple[str, ...]:
        """Return the notes, then the obstacle."""
        return (*self.notes, self.obstacle) if self.obstacle else self.notes

    def overall(self) -> list[Difference]:
        """Return the differences over all faces."""
        return [row for row in self.differences if row.group == EVERYONE]

    def groups(self) -> list[Difference]:
        """Return the differences within groups."""
        return [row for row in self.differences if row.group != EVERYONE]

    def save(self, folder: Path) -> None:
        """Write comparison.json into the release in `folder`."""
        write_text(folder / COMPARISON_FILE, json.dumps(asdict(self), indent=1) + "\n")


def load(folder: Path, sha256: str) -> Comparison:
    """Return the comparison of the model with that digest; without a champion if `evaluate` wrote none."""
    path = folder / COMPARISON_FILE
    record = manifest_v3.rename(json.loads(path.read_text(encoding="utf-8"))) if path.is_file() else {}
    if record.get("sha256") != sha256:
        return Comparison(sha256, notes=("This release was not compared with another one.",))
    rows = {name: tuple(Difference(**row) for row in record.get(name, [])) for name in ("differences", "ages")}
    return Comparison(**record | {"notes": tuple(record["notes"]), **rows})


def compare(
    champion: ScoredSamples,
    challenger: ScoredSamples,
    heads: set[str],
    config: EvaluateConfig,
    masks: Iterable[tuple[str, Mask]] | None = None,
    fewest: int = MIN_SUBGROUP_SIZE,
) -> tuple[Difference, ...]:
    """Return the differences in every metric of `heads`, over all faces and in groups with enough labels for it.

    Args:
        champion: predictions of one release.
        challenger: predictions of the other one for the same N faces.
        heads: heads to compare.
        config: resampling.
        masks: names and masks (N,) of the groups of faces; by default those of `groups`.
        fewest: labels that a group needs for a metric.
    """
    random = np.random.default_rng(config.seed)
    before, after = (dict(zip(METRICS, faces.metrics().T, strict=True)) for faces in (champion, challenger))
    compared = {**COMPARED, **COMPARED_RANGES}
    counted = {metric: ~np.isnan(before[metric] + after[metric]) for metric in compared}
    return tuple(
        _difference(name, metric, before[metric][labelled], after[metric][labelled], config, random)
        for name, mask in (groups(challenger.labels) if masks is None else masks)
        for metric in compared
        if compared[metric].head in heads
        and (labelled := mask & counted[metric]).sum() >= (1 if name == EVERYONE else fewest)
    )


def groups(labels: LabelArray) -> Iterator[tuple[str, Mask]]:
    """Yield names and masks (N,) of all faces and of every group with at least MIN_SUBGROUP_SIZE faces."""
    labelled, bands, adults = by_head(labels), age_bands(labels), FROM_13.mask(labels)
    genders, ethnicities = labelled["gender"], labelled["ethnicity"]
    found = [(name, labelled[head.name] == number) for head in CHOICES for number, name in enumerate(head.labels)]
    found += [(f"{name} years", bands == b) for b, name in enumerate(AGE_BANDS)]
    found += [
        (f"{ethnicity} {gender}, {FROM_13.title}", (genders == g) & (ethnicities == e) & adults)
        for e, ethnicity in enumerate(ETHNICITIES)
        for g, gender in enumerate(GENDERS)
    ]
    yield EVERYONE, np.ones(len(labels), np.bool_)
    yield from ((name, mask) for name, mask in found if mask.sum() >= MIN_SUBGROUP_SIZE)


def age_groups(labels: LabelArray) -> Iterator[tuple[str, Mask]]:
    """Yield names and masks (N,) of the groups of ages."""
    yield from ((group.title, group.mask(labels)) for group in AGE_GROUPS)


def _difference(
    group: str, metric: str, before: Array, after: Array, config: EvaluateConfig, random: np.random.Generator
) -> Difference:
    worse = spec(metric).worse_sign
    resampled = _resampled(after - before, config.paired_bootstrap, random)
    tail = (1 - config.confidence) / 2
    low, high = np.quantile(resampled, (tail, 1 - tail)).tolist()
    # The observed sample counts as one more resample (Davison and Hinkley 1997, section 4.2).
    p_not_worse = (1 + int((worse * resampled <= 0).sum())) / (1 + len(resampled))
    means = round(float(before.mean()), 6), round(float(after.mean()), 6)
    return Difference(group, len(before), metric, *means, round(low, 6), round(high, 6), round(p_not_worse, 6))


def _resampled(differences: Array, resamples: int, random: np.random.Generator) -> Array:
    """Return (resamples,) means of N values drawn with replacement from (N,) differences.

    Ages are whole years and labels are right or wrong, so there are few distinct values. Their counts in a resample
    are multinomial, whatever the number of faces.
    """
    values, counts = np.unique(differences, return_counts=True)
    draws = random.multinomial(len(differences), counts / len(differences), size=resamples)
    means: Array = draws @ values / len(differences)
    return means
