"""Corrected demographics of resampled crowds, against plain counting: `make bench-demographics DATA=<UTKFace>`.

A crowd is drawn from the test faces with replacement, with shares of gender and age that differ from theirs. The truth
is the shares that it is drawn with. `--cross-fit` draws crowds from one half of the validation faces, and corrects them
with the other half: with it a method can be chosen without the test faces.
"""

from __future__ import annotations

import argparse
import pickle
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from serving import release
from serving.demographics import answers, bands, confusion
from serving.demographics.confusion import YEARS, Array, Confusion
from serving.demographics.crowd import Crowd
from serving.demographics.summary import Corrector, Figure, mean_age, median_age
from serving.prediction import FacePrediction
from serving.predictor import Predictor
from serving.release import Release
from training.calibration import confusion as counting
from training.data import shards
from training.data.shards import LabelArray
from training.labels import GENDERS, by_head

ROOT = Path(__file__).parent.parent
CACHE = ROOT / "build" / "demographics"
CROWDS, SEED = 500, 1
# Faces in a crowd, and the share of women that it is drawn with.
SIZES, SHARES = (100, 1000), (0.05, 0.95)
# Points of a shift of the gender shares from even, beyond which half of plain counting's error is demanded.
SHIFTED = 0.2
HEAD = "gender"
WOMEN = "women"
PROFILES = ("young", "old", "two peaks")


@dataclass(frozen=True)
class Faces:
    """N faces: what is true, and what the release answers."""

    ages: npt.NDArray[np.int64]
    """(N,) years, or the middle of a band."""
    women: npt.NDArray[np.bool_]
    years: npt.NDArray[np.int64]
    means: npt.NDArray[np.float64]
    probabilities: npt.NDArray[np.float64]
    """(N, 2) of GENDERS."""

    def __getitem__(self, rows: npt.NDArray[np.int64]) -> Faces:
        return Faces(self.ages[rows], self.women[rows], self.years[rows], self.means[rows], self.probabilities[rows])

    def __len__(self) -> int:
        return len(self.ages)


class Drawn(NamedTuple):
    """A crowd, and what it was drawn with."""

    rows: npt.NDArray[np.int64]
    women: float
    ages: npt.NDArray[np.float64]
    """(YEARS,) shares."""
    profile: int


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser()
    parser.add_argument("data", type=Path)
    parser.add_argument("photos", type=Path, nargs="?")
    parser.add_argument("--cross-fit", type=int, metavar="SPLITS", help="halve the validation faces so many times")
    parser.add_argument("--crowds", type=int, default=CROWDS)
    options = parser.parse_args()
    bundled = release.load(str(ROOT / "function" / "model"))
    if options.cross_fit:
        rows = list(_cross_fit(bundled, options.data, options.cross_fit, options.crowds))
        _table(f"validation faces, {options.cross_fit} halvings", rows)
        return
    known = confusion.parse(bundled.manifest, bundled.labels)
    faces = _faces(_predicted(bundled, options.data, "test"))
    print(f"release {bundled.version}, statistics of {known.faces} validation faces")
    _table(f"{len(faces)} test faces", list(_measure(faces, known, options.crowds, np.random.default_rng(SEED))))
    if options.photos:
        pictures = _photographed(bundled, options.photos)
        rows = list(_measure(pictures, known, options.crowds, np.random.default_rng(SEED)))
        _table(f"{len(pictures)} photographs", rows)


def _cross_fit(bundled: Release, data: Path, splits: int, crowds: int) -> Iterator[Measured]:
    predictions, labels = _predicted(bundled, data, "validation")
    random = np.random.default_rng(SEED)
    for _ in range(splits):
        order = random.permutation(len(labels))
        known, drawn = order[: len(order) // 2], order[len(order) // 2 :]
        fitted = counting.count([predictions[row] for row in known], labels[known], {HEAD: GENDERS})
        assert fitted
        faces = _faces(([predictions[row] for row in drawn], labels[drawn]))
        yield from _measure(faces, fitted, crowds // splits, random)


class Measured(NamedTuple):
    """One crowd: figures beside the truth."""

    profile: int
    figures: dict[str, Figure]
    truth: dict[str, float]
    """The shares that the crowd was drawn with."""
    own: dict[str, float]
    """The shares of the faces that were drawn."""
    poor: bool


def _measure(faces: Faces, known: Confusion, crowds: int, random: np.random.Generator) -> Iterator[Measured]:
    corrector = Corrector(known)
    for _ in range(crowds):
        drawn = _drawn(faces, random)
        people = faces[drawn.rows]
        crowd = Crowd.empty(known, (HEAD,))
        crowd.add(known, people.years, people.means, {HEAD: people.probabilities})
        found = corrector.summary(crowd)
        figures = {
            WOMEN: found.heads[HEAD][GENDERS[1]],
            **found.bands,
            "mean age": found.mean_age,
            "median age": found.median_age,
        }
        own = np.bincount(np.minimum(people.ages, YEARS - 1), minlength=YEARS) / len(people)
        truth, faced = _truth(drawn.women, drawn.ages), _truth(float(people.women.mean()), own)
        yield Measured(drawn.profile, figures, truth, faced, found.fit.poor)


def _truth(women: float, ages: npt.NDArray[np.float64]) -> dict[str, float]:
    return {
        WOMEN: women,
        **{band.name: float(band.share(ages)) for band in bands.DEFAULT},
        "mean age": float(mean_age(ages)),
        "median age": float(median_age(ages)),
    }


def _drawn(faces: Faces, random: np.random.Generator) -> Drawn:
    women, size = random.uniform(*SHARES), int(random.integers(SIZES[0], SIZES[1] + 1))
    profile = int(random.integers(len(PROFILES)))
    weights = _profile(profile, random)[faces.ages]
    shares = np.where(faces.women, women, 1 - women) * weights
    for gender in (faces.women, ~faces.women):
        shares[gender] /= weights[gender].sum()
    ages: Array = np.bincount(np.minimum(faces.ages, YEARS - 1), weights=shares, minlength=YEARS).astype(np.float64)
    return Drawn(random.choice(len(faces), size, p=shares), women, ages, profile)


def _profile(profile: int, random: np.random.Generator) -> npt.NDArray[np.float64]:
    """Return weights of ages: one or two peaks, and a few of all ages."""
    years = np.arange(200)

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


def _table(title: str, rows: list[Measured]) -> None:
    """Print shares in percent, and errors in points or years: from what crowds were drawn with, and from their own."""
    print(f"\n{title}, {len(rows)} crowds; poor fit in {100 * np.mean([row.poor for row in rows]):.1f} %")
    print(
        f"{'':24}{'crowds':>7}{'covered':>9}{'width':>8}{'bias':>8}{'counted':>9}"
        f"{'error':>8}{'counted':>9}{'ratio':>7}{'own':>8}{'counted':>9}{'ratio':>7}"
    )
    for name in rows[0].figures:
        _row(name, rows, name)
    shifted = [abs(row.truth[WOMEN] - 0.5) > SHIFTED for row in rows]
    _row("women, shift > 20 points", [row for row, far in zip(rows, shifted, strict=True) if far], WOMEN)
    _row("women, other", [row for row, far in zip(rows, shifted, strict=True) if not far], WOMEN)
    for number, profile in enumerate(PROFILES):
        _row(f"women, {profile}", [row for row in rows if row.profile == number], WOMEN)


def _row(title: str, rows: list[Measured], name: str) -> None:
    unit = 1 if name.endswith("age") else 100
    value, low, high, counted = unit * np.array([row.figures[name] for row in rows]).T
    truth, own = unit * np.array([(row.truth[name], row.own[name]) for row in rows]).T
    print(
        f"{title:24}{len(rows):7}{100 * np.mean((low <= truth) & (truth <= high)):8.1f}%{(high - low).mean():8.1f}"
        f"{(value - truth).mean():8.2f}{(counted - truth).mean():9.2f}"
        + "".join(_errors(value, counted, true) for true in (truth, own))
    )


def _errors(value: Array, counted: Array, truth: Array) -> str:
    error, plain = np.abs(value - truth).mean(), np.abs(counted - truth).mean()
    return f"{error:8.2f}{plain:9.2f}{error / plain:7.2f}"


def _predicted(bundled: Release, data: Path, split: str) -> tuple[list[FacePrediction], LabelArray]:
    """Return the predictions for a split, from a file of an earlier run of the same model and faces."""
    labels = shards.labels(data, split)
    path = CACHE / f"{bundled.sha256[:12]}-{split}-{len(labels)}.pickle"
    if not path.is_file():
        predictor = Predictor(bundled)
        found = [
            prediction
            for shard in shards.shards(data, split)
            for pixels in shards.pieces(shard.load()[0], bundled.size)
            for prediction in predictor.predict(pixels)
        ]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(pickle.dumps(found))
    return pickle.loads(path.read_bytes()), labels  # noqa: S301 - written above


def _faces(predicted: tuple[list[FacePrediction], LabelArray]) -> Faces:
    predictions, labels = predicted
    known = by_head(labels)
    return Faces(
        ages=known["age"].astype(np.int64),
        women=known[HEAD] == 1,
        years=np.array([each.age.years for each in predictions]),
        means=answers.read_mean_ages([each.probabilities["age"] for each in predictions]),
        probabilities=answers.read_choice([each.probabilities[HEAD] for each in predictions], len(GENDERS)),
    )


def _photographed(bundled: Release, folder: Path) -> Faces:
    """Return the faces in the middle of the photographs, with a random age of the annotated band."""
    raise NotImplementedError


if __name__ == "__main__":
    main()
