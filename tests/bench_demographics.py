"""Corrected demographics of resampled crowds, against plain counting: `make bench-demographics DATA=<UTKFace>`.

A crowd is drawn from the test faces with replacement, with shares of gender and age that differ from theirs. The truth
is the shares that it is drawn with. `--cross-fit` draws crowds from one half of the validation faces, and corrects them
with the other half: with it a method can be chosen without the test faces.
"""

from __future__ import annotations

import argparse
import pickle
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image

from serving import release
from serving.demographics import confusion
from serving.demographics.confusion import Array
from serving.demographics.summary import Corrector
from serving.detection.search import FaceFinder, Options
from serving.prediction import FacePrediction
from serving.predictor import Predictor
from serving.release import Release
from serving.settings import Settings
from tests import bench_photos
from training.calibration import confusion as counting
from training.data import shards
from training.data.shards import LabelArray
from training.evaluation.crowds import HEAD, PROFILES, SHARE, Faces, Measured, crowds
from training.labels import GENDERS, by_head

ROOT = Path(__file__).parent.parent
CACHE = ROOT / "build" / "demographics"
CROWDS, SEED = 500, 1
# A shift of the gender shares from even, beyond which half of plain counting's error is demanded.
SHIFTED = 0.2

Predicted = tuple[list[FacePrediction], LabelArray]


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path, help="output of `prepare`")
    parser.add_argument("photos", type=Path, nargs="?", help="folder with metadata.csv")
    parser.add_argument("--cross-fit", type=int, metavar="SPLITS", help="halve the validation faces so many times")
    parser.add_argument("--crowds", type=int, default=CROWDS)
    options = parser.parse_args()
    bundled = release.load(str(ROOT / "function" / "model"))
    if options.cross_fit:
        rows = list(_cross_fit(bundled, options.data, options.cross_fit, options.crowds))
        _table(f"validation faces, {options.cross_fit} halvings", rows)
        return
    corrector = Corrector(confusion.parse(bundled.manifest, bundled.labels))
    print(f"release {bundled.version}, statistics of {corrector.known.faces} validation faces")
    places = {"test faces": _faces(_predicted(bundled, options.data, "test"))}
    if options.photos:
        places["photographs"] = _photographed(bundled, options.photos)
    for name, faces in places.items():
        rows = list(crowds(faces, corrector, options.crowds, np.random.default_rng(SEED)))
        _table(f"{len(faces.ages)} {name}", rows)


def _cross_fit(bundled: Release, data: Path, splits: int, number: int) -> Iterator[Measured]:
    predictions, labels = _predicted(bundled, data, "validation")
    random = np.random.default_rng(SEED)
    for _ in range(splits):
        order = random.permutation(len(labels))
        known, drawn = order[: len(order) // 2], order[len(order) // 2 :]
        fitted = counting.count([predictions[row] for row in known], labels[known], {HEAD: GENDERS})
        assert fitted
        faces = _faces(([predictions[row] for row in drawn], labels[drawn]))
        yield from crowds(faces, Corrector(fitted), number // splits, random)


def _faces(predicted: Predicted) -> Faces:
    predictions, labels = predicted
    return Faces.of(predictions, by_head(labels)["age"], by_head(labels)[HEAD])


def _table(title: str, rows: list[Measured]) -> None:
    """Print shares in percent, and errors in points or years: from what crowds were drawn with, and from their own."""
    print(f"\n{title}, {len(rows)} crowds; poor fit in {100 * np.mean([row.poor for row in rows]):.1f} %")
    print(
        f"{'':24}{'crowds':>7}{'covered':>9}{'width':>8}{'bias':>8}{'counted':>9}"
        f"{'error':>8}{'counted':>9}{'ratio':>7}{'own':>8}{'counted':>9}{'ratio':>7}"
    )
    for name in rows[0].figures:
        _row(name, rows, name)
    shifted = [abs(row.truth[SHARE] - 0.5) > SHIFTED for row in rows]
    _row("women, shift > 20 points", [row for row, far in zip(rows, shifted, strict=True) if far], SHARE)
    _row("women, other", [row for row, far in zip(rows, shifted, strict=True) if not far], SHARE)
    for number, profile in enumerate(PROFILES):
        _row(f"women, {profile}", [row for row in rows if row.profile == number], SHARE)


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


def _predicted(bundled: Release, data: Path, split: str) -> Predicted:
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


def _photographed(bundled: Release, folder: Path) -> Faces:
    """Return the faces in the middle of photographs, with the middle of the annotated ages."""
    settings, finder, predictor = Settings(), FaceFinder(), Predictor(bundled)
    options = Options(settings.min_face_score, settings.min_face_size)
    found, photos = [], []
    for photo in bench_photos.annotated(folder):
        image = bench_photos.opened(photo.path)
        if face := bench_photos.in_the_middle(image, finder.find(image, options)):
            aligned = bench_photos.aligned(image, face).resize((bundled.size, bundled.size), Image.Resampling.BILINEAR)
            found += predictor.predict(np.asarray(aligned, np.uint8)[None])
            photos.append(photo)
    gender = [GENDERS.index(photo.gender.lower()) for photo in photos]
    return Faces.of(found, np.array([photo.middle for photo in photos]), np.array(gender))


if __name__ == "__main__":
    main()
