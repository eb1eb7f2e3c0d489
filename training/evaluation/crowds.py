"""How well demographics are corrected: crowds drawn from test faces, estimated as `summarize` does."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from serving.demographics import answers, bands
from serving.demographics.confusion import YEARS, Array, Confusion, Counts
from serving.demographics.crowd import Crowd
from serving.demographics.summary import Corrector, Figure, mean_age, median_age
from serving.heads import AGE
from serving.prediction import FacePrediction
from training.data.shards import LabelArray
from training.labels import GENDERS, MISSING, by_head, exact_ages

MEMBER = "demographics"
"""Section of metrics.json."""
HEAD = "gender"
SHARE, MEAN_AGE, MEDIAN_AGE = GENDERS[1], "mean age", "median age"
PROFILES = ("young", "old", "two peaks")
"""How the ages of a crowd differ from those of the faces."""
# Faces in a crowd, and the share of SHARE that it is drawn with.
_SIZES, _SHARES = (100, 1000), (0.05, 0.95)
# Crowds and bootstrap replicates of an evaluation, which must not take long.
_CROWDS, _REPLICATES, _SEED = 60, 50, 1
# Faces of each gender, from which crowds can be drawn.
_FEWEST = 50


@dataclass(frozen=True)
class Faces:
    """N faces: what is true, and what the release answers."""

    ages: Counts
    """(N,) years."""
    gender: Counts
    """(N,) indices into GENDERS."""
    years: Counts
    """(N,) answered ages."""
    means: Array
    """(N,) means of the age distributions, years."""
    probabilities: Array
    """(N, len(GENDERS))."""

    @classmethod
    def of(cls, predictions: list[FacePrediction], ages: npt.NDArray[Any], gender: npt.NDArray[Any]) -> Faces:
        """Return faces with these true ages in years and genders."""
        return cls(
            ages.astype(np.int64),
            gender.astype(np.int64),
            np.array([each.age.years for each in predictions]),
            answers.read_mean_ages([each.probabilities[AGE] for each in predictions]),
            answers.read_choice([each.probabilities[HEAD] for each in predictions], len(GENDERS)),
        )

    def crowd(self, rows: Counts, known: Confusion) -> Crowd:
        """Return the answers for some of the faces, counted."""
        crowd = Crowd.empty(known, (HEAD,))
        crowd.add(known, self.years[rows], self.means[rows], {HEAD: self.probabilities[rows]})
        return crowd


class Measured(NamedTuple):
    """One crowd: its figures beside the truth, by name."""

    profile: int
    """Index into PROFILES."""
    figures: dict[str, Figure]
    truth: dict[str, float]
    """The shares that the crowd was drawn with."""
    own: dict[str, float]
    """The shares of the faces that were drawn."""
    poor: bool
    """Whether the mixture fits the answers poorly."""


def measure(predictions: list[FacePrediction], labels: LabelArray, known: Confusion | None) -> dict[str, Any] | None:
    """Return the section of metrics.json for N test faces; None where too few have a gender and an exact age.

    Args:
        predictions: of the release.
        labels: (N, LABEL_COLUMNS) uint8.
        known: the release's statistics, if it has some.
    """
    gender = by_head(labels)[HEAD]
    (rows,) = (exact_ages(labels) & (gender != MISSING)).nonzero()
    fewest = np.bincount(gender[rows], minlength=len(GENDERS)).min()
    if known is None or HEAD not in known.heads or fewest < _FEWEST:
        return None
    faces = Faces.of([predictions[row] for row in rows], by_head(labels)[AGE][rows], gender[rows])
    found = list(crowds(faces, Corrector(known, _REPLICATES), _CROWDS, np.random.default_rng(_SEED)))
    return {"crowds": _CROWDS, SHARE: _row(found, SHARE), MEAN_AGE: _row(found, MEAN_AGE)}


def sentence(measured: dict[str, Any]) -> str:
    """Return what was measured in words; empty where nothing was."""
    found = measured.get(MEMBER)
    if not found:
        return ""
    row = found[SHARE]
    return (
        f"Demographics: in {found['crowds']} crowds that were drawn from these faces with other shares of gender and "
        f"age, the corrected share of {SHARE} faces is off by {100 * row['error']:.1f} points on average, and the "
        f"counted one by {100 * row['counted']:.1f}; the 95 % interval holds the true share of "
        f"{100 * row['covered']:.0f} % of the crowds."
    )


def crowds(faces: Faces, corrector: Corrector, number: int, random: np.random.Generator) -> Iterator[Measured]:
    """Yield so many crowds that are drawn with replacement, with random shares of gender and age."""
    for _ in range(number):
        share, profile = random.uniform(*_SHARES), int(random.integers(len(PROFILES)))
        weights = _weights(faces, share, profile, random)
        rows = random.choice(len(weights), int(random.integers(_SIZES[0], _SIZES[1] + 1)), p=weights)
        found = corrector.summary(faces.crowd(rows, corrector.known))
        figures = {
            SHARE: found.heads[HEAD][SHARE],
            **found.bands,
            MEAN_AGE: found.mean_age,
            MEDIAN_AGE: found.median_age,
        }
        own = np.full(len(rows), 1 / len(rows))
        yield Measured(
            profile,
            figures,
            _truth(share, faces.ages, weights),
            _truth(float(faces.gender[rows].mean()), faces.ages[rows], own),
            found.fit.poor,
        )


def _truth(share: float, ages: Counts, weights: Array) -> dict[str, float]:
    shares = np.bincount(np.minimum(ages, YEARS - 1), weights=weights, minlength=YEARS).astype(np.float64)
    return {
        SHARE: share,
        **{band.name: float(band.share(shares)) for band in bands.DEFAULT},
        MEAN_AGE: float(mean_age(shares)),
        MEDIAN_AGE: float(median_age(shares)),
    }


def _weights(faces: Faces, share: float, profile: int, random: np.random.Generator) -> Array:
    """Return (N,) probabilities of the faces: with the share of gender 1, and the same profile of ages in both."""
    weights = _profile(profile, random)[faces.ages]
    for gender, part in enumerate((1 - share, share)):
        chosen = faces.gender == gender
        weights[chosen] *= part / weights[chosen].sum()
    return weights


def _profile(profile: int, random: np.random.Generator) -> Array:
    """Return weights of ages: one or two peaks, and a few of all ages."""
    years = np.arange(256)

    def peak(first: float, last: float, narrowest: float, widest: float) -> Array:
        center, width = random.uniform(first, last), random.uniform(narrowest, widest)
        heights: Array = np.exp(-0.5 * ((years - center) / width) ** 2)
        return heights

    if profile == 0:
        weights = peak(5, 25, 8, 15)
    elif profile == 1:
        weights = peak(50, 75, 10, 20)
    else:
        weights = peak(5, 25, 5, 10) + random.uniform(0.5, 2) * peak(50, 75, 5, 12)
    return weights + 0.02


def _row(found: list[Measured], name: str) -> dict[str, float]:
    """Return the mean errors of the corrected and of the counted figure, and how many intervals hold the truth."""
    figures = [(each.figures[name], each.truth[name]) for each in found]
    return {
        "error": round(float(np.mean([abs(figure.value - truth) for figure, truth in figures])), 4),
        "counted": round(float(np.mean([abs(figure.counted - truth) for figure, truth in figures])), 4),
        "covered": round(float(np.mean([figure.low <= truth <= figure.high for figure, truth in figures])), 4),
    }
