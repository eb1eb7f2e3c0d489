"""Accuracy where a model is used: faces as they are, found and aligned, and from a webcam: `make bench-robustness`.

python -m tests.bench_robustness <folder that `prepare` wrote> <UTKFace> [--split validation] [<release>…]

A release is a folder. Without one, the bundled release is measured. Several releases see the same images.
"""

from __future__ import annotations

import argparse
import csv
import sys
from collections.abc import Iterator
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
from training.evaluation.age_groups import AGE_GROUPS, AgeGroup
from training.evaluation.metric_table import MEASURED
from training.evaluation.samples import METRICS, ScoredSamples

ROOT = Path(__file__).parent.parent
# What a webcam does to a face: sides and pixels of the chip, degrees, shares of the full range.
WEBCAM_SIDE = 0.5
WEBCAM_BLUR = 0.8
WEBCAM_NOISE = 0.03
WEBCAM_CAST = 0.12
WEBCAM_DEGREES = 20
WEBCAM_JPEG = 30
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
        print(f"\nrelease {predictor.release.version}\n{head(columns(*_TITLES))}")
        for name, faces in kinds.items():
            print(row(name, _scored(predictor, faces, labels), columns(*_TITLES)), flush=True)


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


# Metrics with the titles of their columns.
_TITLES = {
    "age_mae": "years",
    "age_within_5": "within 5",
    "gender_accuracy": "gender",
    "ethnicity_accuracy": "ethnicity",
    "interval_coverage": "coverage",
}
# Metrics, each with the ages that count: None for all.
Columns = list[tuple[str, AgeGroup | None]]


def columns(*metrics: str) -> Columns:
    """Return the columns of a table: metrics over all faces, and what the groups of ages are known for."""
    return [*((metric, None) for metric in metrics), *((group.metric, group) for group in AGE_GROUPS)]


def head(chosen: Columns) -> str:
    """Return the two lines above the rows."""
    return "\n".join(
        (
            f"{'ages':34}" + "".join(f"{group.title if group else 'all':>14}" for _, group in chosen),
            f"{'':34}" + "".join(f"{_TITLES[metric]:>14}" for metric, _ in chosen),
        )
    )


def row(name: str, faces: ScoredSamples, chosen: Columns) -> str:
    """Return the line of a release or another system."""
    values = dict(zip(METRICS, faces.metrics().T, strict=True))
    means = (
        MEASURED[metric].text(float(np.nanmean(values[metric][group.mask(faces.labels) if group else slice(None)])))
        for metric, group in chosen
    )
    return f"{name:34}" + "".join(f"{mean:>14}" for mean in means)


if __name__ == "__main__":
    main()
