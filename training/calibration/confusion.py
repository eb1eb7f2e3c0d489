"""Counts of a release's answers for validation faces, from which demographics are corrected."""

from __future__ import annotations

from dataclasses import replace
from statistics import NormalDist

import numpy as np
import numpy.typing as npt

from serving.demographics.answers import read_choice, read_mean_ages
from serving.demographics.confusion import DEGREES, LEVELS, Confusion, Counts, HeadCounts, answer
from serving.heads import AGE, Labels
from serving.prediction import FacePrediction
from serving.request_stats import AGE_BANDS
from training.data.shards import LabelArray
from training.labels import AGE_CLASSES, MISSING, band, by_head, exact_ages

SMALLEST_GROUP = 25
"""Faces in a group of true ages: enough for a distribution, and too many to recognize one."""
# With fewer groups an age says too little.
_FEWEST_GROUPS = 5
# Bounds between levels of the estimated age, in standard deviations of a normal distribution with equal quantiles.
_BOUNDS = np.linspace(-2.7, 2.7, LEVELS - 1)


def count(predictions: list[FacePrediction], labels: LabelArray, names: Labels) -> Confusion | None:
    """Return the statistics of N predictions for faces that were not trained on; None where too few are labelled.

    A face counts if it has an exact age, and a label of each head that the release knows and any face has a label for.

    Args:
        predictions: with probabilities.
        labels: (N, LABEL_COLUMNS) uint8.
        names: labels of the release's heads.
    """
    by_name = by_head(labels)
    heads = {head: each for head, each in names.items() if (by_name[head] != MISSING).any()}
    counted = exact_ages(labels)
    for head in heads:
        counted &= by_name[head] != MISSING
    ages = by_name[AGE][counted].astype(np.int64)
    starts = _groups(ages)
    if not heads or len(starts) < _FEWEST_GROUPS:
        return None
    kept = [prediction.probabilities for prediction, counts in zip(predictions, counted, strict=True) if counts]
    means = read_mean_ages([each[AGE] for each in kept])
    scale = np.round(np.quantile(means, [NormalDist().cdf(bound) for bound in _BOUNDS]), 3)
    known = Confusion(len(ages), scale, _centers(ages, starts), {})
    group = np.searchsorted(starts, ages, side="right") - 1
    years = np.array([each.age.years for each, counts in zip(predictions, counted, strict=True) if counts])
    bands = np.zeros((len(starts), len(AGE_BANDS)), np.int64)
    np.add.at(bands, (group, band(years)), 1)
    return replace(
        known,
        bands=bands,
        heads={
            head: _head(
                each,
                by_name[head][counted].astype(np.int64),
                group,
                known.level(means),
                answer(read_choice([row[head] for row in kept], len(each))),
            )
            for head, each in heads.items()
        },
    )


def _head(names: tuple[str, ...], true: Counts, group: Counts, level: Counts, answered: Counts) -> HeadCounts:
    """Count N faces by true label, group of ages, level of the estimated age, and answer, (N,) each."""
    groups = int(group.max()) + 1
    levels = np.zeros((len(names), groups, LEVELS), np.int64)
    np.add.at(levels, (true, group, level), 1)
    answers = np.zeros((len(names), groups, len(names) * DEGREES), np.int64)
    np.add.at(answers, (true, group, answered), 1)
    return HeadCounts(names, levels, answers)


def _centers(ages: Counts, starts: Counts) -> npt.NDArray[np.float64]:
    group = np.searchsorted(starts, ages, side="right") - 1
    return np.array([round(float(ages[group == number].mean()), 2) for number in range(len(starts))])


def _groups(ages: Counts) -> Counts:
    """Return the first age of each group of at least SMALLEST_GROUP faces."""
    faces = np.bincount(ages, minlength=AGE_CLASSES)
    starts, inside = [0], 0
    for age in range(AGE_CLASSES):
        inside += faces[age]
        if inside >= SMALLEST_GROUP and faces[age + 1 :].sum() >= SMALLEST_GROUP:
            starts.append(age + 1)
            inside = 0
    return np.array(starts)
