"""Accuracy where a model is used: faces as they are, found and aligned, and from a webcam: `make bench-robustness`.

python -m tests.bench_robustness <folder that `prepare` wrote> <UTKFace> [--split validation] [<release>…]

A release is a folder. Without one, the bundled release is measured. Several releases see the same images.
"""

from __future__ import annotations

import argparse
import csv
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageFilter

from serving import images, release
from serving.detection import crops
from serving.detection.search import FaceFinder, Options
from serving.predictor import Predictor
from serving.settings import Settings
from training.data import shards
from training.data.shards import LabelArray
from training.evaluation import samples
from training.evaluation.samples import METRICS, ScoredSamples
from training.labels import by_head

ROOT = Path(__file__).parent.parent
# What a webcam does to a face: sides and pixels of the chip, degrees, shares of the full range.
WEBCAM_SIDE = 0.5
WEBCAM_BLUR = 0.8
WEBCAM_NOISE = 0.03
WEBCAM_CAST = 0.12
WEBCAM_DEGREES = 20
WEBCAM_JPEG = 30
# Ages that papers compare, years.
COMPARED = (21, 60)
_BATCH = 64

Chip = Image.Image
Frames = list[npt.NDArray[np.uint8]]


def main() -> None:
    """Print one row for each release and kind of image."""
    options = _options()
    files, labels = faces_of(options.prepared, options.faces, options.split)
    chips = [images.inspect(path.read_bytes()).upright(1).pixels for path in files]
    webcam = [_webcam(chip, np.random.default_rng(number)) for number, chip in enumerate(chips)]
    kinds = {
        "as they are": chips,
        "found and aligned": _aligned(chips),
        "webcam": webcam,
        "webcam, found and aligned": _aligned(webcam),
    }
    print(f"{len(files)} {options.split} faces")
    for folder in options.releases or [ROOT / "function" / "model"]:
        predictor = Predictor(release.load(str(folder)))
        print(f"\nrelease {predictor.release.version}\n{_HEAD}")
        for name, faces in kinds.items():
            print(_row(name, _scored(predictor, faces, labels)), flush=True)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="bench_robustness")
    parser.add_argument("prepared", type=Path)
    parser.add_argument("faces", type=Path)
    parser.add_argument("releases", type=Path, nargs="*")
    parser.add_argument("--split", choices=shards.SPLITS, default="test")
    return parser.parse_args(sys.argv[1:])


def faces_of(prepared: Path, faces: Path, split: str) -> tuple[list[Path], LabelArray]:
    """Return the files of a split and their labels, in the order of the shards."""
    with (prepared / "index.csv").open(newline="", encoding="utf-8") as table:
        # A copy has the place of the face that counts for it.
        places = {
            (int(row["shard"]), int(row["position"])): row["path"]
            for row in csv.DictReader(table)
            if row["split"] == split
        }
    return [faces / path for _, path in sorted(places.items())], shards.labels(prepared, split)


def _webcam(chip: Chip, random: np.random.Generator) -> Chip:
    """Return a face as a cheap webcam gives it: turned, half the size, blurred, tinted, noisy and compressed."""
    turned = chip.rotate(random.uniform(-WEBCAM_DEGREES, WEBCAM_DEGREES), Image.Resampling.BICUBIC)
    small = turned.resize((round(chip.width * WEBCAM_SIDE), round(chip.height * WEBCAM_SIDE)), Image.Resampling.BOX)
    blurred = np.asarray(small.filter(ImageFilter.GaussianBlur(WEBCAM_BLUR)), np.float64)
    cast = 1 + random.uniform(-WEBCAM_CAST, WEBCAM_CAST, 3)
    noisy = blurred * cast + random.normal(0, WEBCAM_NOISE * 255, blurred.shape)
    file = BytesIO()
    Image.fromarray(noisy.clip(0, 255).astype(np.uint8)).save(file, "JPEG", quality=WEBCAM_JPEG)
    return Image.open(file).convert("RGB")


def _aligned(chips: list[Chip]) -> list[Chip]:
    """Return each face as the detector cuts it out of its chip, or the chip where it finds none."""
    finder, settings = FaceFinder(), Settings()
    options = Options(settings.min_face_score, settings.min_face_size)

    def aligned(chip: Chip) -> Chip:
        faces = finder.find(chip, options)
        return crops.warp(chip, faces[0].frame, crops.ALIGNED_SIDE) if faces else chip

    with ThreadPoolExecutor(2) as pool:
        return list(pool.map(aligned, chips))


def _scored(predictor: Predictor, faces: list[Chip], labels: LabelArray) -> ScoredSamples:
    size = predictor.release.size
    resized = [np.asarray(face.resize((size, size), Image.Resampling.BILINEAR), np.uint8) for face in faces]
    predictions = [each for batch in _batches(resized) for each in predictor.predict(batch)]
    return samples.collect(predictions, labels)


def _batches(faces: Frames) -> Iterator[npt.NDArray[np.uint8]]:
    for start in range(0, len(faces), _BATCH):
        yield np.stack(faces[start : start + _BATCH])


_Mask = Callable[[npt.NDArray[np.uint8]], npt.NDArray[np.bool_]]
# Title, metric, ages that count, factor of the printed number.
_COLUMNS: tuple[tuple[str, str, _Mask, float], ...] = (
    ("years", "age_mae", lambda age: age >= 0, 1),
    ("within 5", "age_within_5", lambda age: age >= 0, 100),
    ("gender", "gender_accuracy", lambda age: age >= 0, 100),
    ("ethnicity", "ethnicity_accuracy", lambda age: age >= 0, 100),
    ("21 to 60", "age_mae", lambda age: (age >= COMPARED[0]) & (age <= COMPARED[1]), 1),
    ("from 40", "age_mae", lambda age: age >= 40, 1),
    ("gender <13", "gender_accuracy", lambda age: age < 13, 100),
    ("coverage", "interval_coverage", lambda age: age >= 0, 100),
)
_HEAD = f"{'':28}" + "".join(f"{title:>11}" for title, *_ in _COLUMNS)


def _row(name: str, faces: ScoredSamples) -> str:
    values, ages = faces.metrics(), by_head(faces.labels)["age"]
    cells = [
        factor * float(np.nanmean(values[mask(ages), METRICS.index(metric)])) for _, metric, mask, factor in _COLUMNS
    ]
    return f"{name:28}" + "".join(f"{cell:11.2f}" for cell in cells)


if __name__ == "__main__":
    main()
