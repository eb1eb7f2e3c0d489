"""Fine-tune the bundled release for simulated customers, and measure what they gain and what other faces lose.

`python -m tests.bench_finetune <prepared UTKFace> <UTKFace>`. A customer has about 400 faces of 60 years and older, as
a low webcam gives them. They come from the validation and test splits, on which the bundled release was not trained.
There are 465 such faces: one customer lacks every seventh of them, and these measure what the customer gained. The
other faces are those below 60 years of the test split, unchanged.
"""

from __future__ import annotations

import argparse
import csv
import io
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageFilter

from serving import images, release
from serving.predictor import Predictor
from serving.settings import BUNDLED_RELEASE
from training.config import EvaluateConfig
from training.data import shards
from training.evaluation import comparison, samples
from training.evaluation.comparison import EVERYONE
from training.evaluation.metric_table import COMPARED
from training.evaluation.samples import ScoredSamples
from training.labels import LABELS, parse

OLD = 60
FOLDS = 7
HEADS = {"age", *LABELS}

Faces = tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8]]


def webcam(file: bytes, random: np.random.Generator) -> bytes:
    """Return a face as a low webcam gives it: from below, half the size, blurred, warm, dim, noisy, JPEG quality 30."""
    image = Image.open(io.BytesIO(file)).convert("RGB")
    side, inset = image.width, 0.13 * image.width
    # The chin is closer to the camera than the forehead.
    corners = (0, 0, inset, side, side - inset, side, side, 0)
    image = image.transform((side, side), Image.Transform.QUAD, corners, Image.Resampling.BICUBIC)
    image = image.resize((side // 2, side // 2), Image.Resampling.BILINEAR).filter(ImageFilter.GaussianBlur(0.8))
    pixels = np.asarray(image, np.float32) * (0.89, 0.85, 0.75) + 10
    noisy = np.clip(pixels + random.normal(0, 8, pixels.shape), 0, 255).astype(np.uint8)
    taken = io.BytesIO()
    Image.fromarray(noisy).save(taken, "JPEG", quality=30)
    return taken.getvalue()


def customers(data: Path, source: Path, folder: Path) -> None:
    """Write the labelled and the later faces of each customer below `folder`. Near-duplicates stay together."""
    with (data / "index.csv").open(newline="", encoding="utf-8") as stream:
        rows = [row for row in csv.DictReader(stream) if row["split"] != "train" and int(row["age"]) >= OLD]
    groups = sorted({row["group"] for row in rows})
    for number, row in enumerate(sorted(rows, key=lambda row: row["path"])):
        taken = webcam((source / row["path"]).read_bytes(), np.random.default_rng(number))
        for customer in range(FOLDS):
            part = "later" if groups.index(row["group"]) % FOLDS == customer else "labelled"
            place = folder / str(customer) / part
            place.mkdir(parents=True, exist_ok=True)
            (place / Path(row["path"]).name).write_bytes(taken)


def later(folder: Path, size: int) -> Faces:
    """Return (N, size, size, 3) faces and (N, LABEL_COLUMNS) labels of image files."""
    files = sorted(folder.iterdir())
    pixels = np.stack([images.decode(file.read_bytes(), size) for file in files])
    return pixels, np.array([parse(file.name).row for file in files], np.uint8)


def young(data: Path) -> Faces:
    """Return the test faces below OLD."""
    pixels, labels = shards.first(data, "test", shards.fingerprint(data).faces["test"])
    return pixels[labels[:, 0] < OLD], labels[labels[:, 0] < OLD]


def fine_tune(work: Path, data: Path) -> None:
    """Run the pipeline's steps as the user does, and print the seconds of each."""
    commands = (
        ("prepare", "--preset", "finetune", "--data", str(work / "labelled")),
        ("train", "--preset", "finetune", "--other", str(data)),
        ("convert",),
        ("evaluate",),
    )
    for command in commands:
        started, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run(
            [sys.executable, "-m", "training", *command, "--work", str(work)],
            check=True,
            stdout=sys.stdout if command[0] in ("train", "evaluate") else subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        spent = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        print(f"{command[0]}: {time.perf_counter() - started:.0f} s, processor {spent:.0f} s", flush=True)


def scored(predictor: Predictor, faces: Faces) -> ScoredSamples:
    return samples.collect(predictor.predict(faces[0]), faces[1])


def joined(parts: list[ScoredSamples]) -> ScoredSamples:
    return ScoredSamples(**{name: np.concatenate([vars(part)[name] for part in parts]) for name in vars(parts[0])})


def report(title: str, before: ScoredSamples, after: ScoredSamples) -> None:
    """Print each metric before and after, and the interval of the difference."""
    everyone = [(EVERYONE, np.ones(len(before.labels), np.bool_))]
    for row in comparison.compare(before, after, HEADS, EvaluateConfig(), everyone):
        spec = COMPARED[row.metric]
        print(
            f"{title}, {row.n} faces: {spec.title} {spec.text(row.champion)} -> {spec.text(row.challenger)}, "
            f"difference {spec.difference(row.difference)} "
            f"({spec.number(row.low, '+')} to {spec.number(row.high, '+')})",
            flush=True,
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path, help="output folder of `prepare` for UTKFace")
    parser.add_argument("source", type=Path, help="folder of UTKFace")
    every = range(FOLDS)
    parser.add_argument("--customers", type=int, nargs="+", choices=every, default=every, help="numbers (default: all)")
    options = parser.parse_args()
    initial = Predictor(release.load(str(BUNDLED_RELEASE)))
    with tempfile.TemporaryDirectory() as scratch:
        customers(options.data, options.source, Path(scratch))
        others = young(options.data)
        others_before = scored(initial, others)
        pairs: list[tuple[ScoredSamples, ScoredSamples]] = []
        for customer in options.customers:
            work = Path(scratch) / str(customer)
            fine_tune(work, options.data)
            tuned = Predictor(release.load(str(work / "release")))
            faces = later(work / "later", initial.release.size)
            pairs.append((scored(initial, faces), scored(tuned, faces)))
            report(f"customer {customer}, later faces", *pairs[-1])
            report(f"customer {customer}, other faces", others_before, scored(tuned, others))
    report("these customers, later faces", *(joined(list(part)) for part in zip(*pairs, strict=True)))


if __name__ == "__main__":
    main()
