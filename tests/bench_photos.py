"""Age and gender on whole photographs, with four ways to frame the face: `make bench-photos PHOTOS=<folder>`.

The folder has a metadata.csv with file_name, age (a range, or 70+) and gender, for the face in the middle of each
photograph.
"""

from __future__ import annotations

import csv
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from serving import images, release
from serving.detection import crops
from serving.detection.faces import Face
from serving.detection.search import FaceFinder, Options
from serving.predictor import Predictor
from serving.settings import Settings
from tests import peers
from tests.peers import distance
from training.evaluation.metrics import calibration_error

ROOT = Path(__file__).parent.parent
# Years, for a band without an upper end.
OLDEST = 79
MARGIN = 0.2
BANDS = ((0, 9), (10, 19), (20, 39), (40, 59), (60, OLDEST))


class Photo(NamedTuple):
    """A photograph and what annotators saw."""

    path: Path
    low: int
    high: int
    gender: str

    @property
    def middle(self) -> float:
        """Middle of the age band in years."""
        return (self.low + self.high) / 2


class Estimate(NamedTuple):
    """An estimate for the face in the middle of a photograph."""

    years: float
    low: float
    high: float
    gender: str
    probability: float
    """Of the gender; NaN where a system does not state it."""


Estimates = list[Estimate | None]


def main() -> None:
    """Print one table for all photographs, and the rows of the product by age band."""
    photos = list(annotated(Path(sys.argv[1])))
    pixels = [opened(photo.path) for photo in photos]
    predictor, finder = Predictor(release.load(str(ROOT / "function" / "model"))), FaceFinder()
    settings = Settings()
    options = Options(settings.min_face_score, settings.min_face_size)
    faces = [finder.find(image, options) for image in pixels]
    found = [in_the_middle(image, those) for image, those in zip(pixels, faces, strict=True)]
    print(f"{len(photos)} photographs, release {predictor.release.version}, {sum(map(len, faces))} faces found")
    head()
    row("whole image", photos, [estimate(predictor, _square(image)) for image in pixels])
    for name, cut in (("box with margin 0.2", _box), ("detected and aligned", aligned)):
        estimates = of_release(predictor, pixels, found, cut)
        row(name, photos, estimates)
    row("face-api.js", photos, of_peer(peers.FACE_API, pixels))
    for first, last in BANDS:
        rows = [row for row, photo in enumerate(photos) if first <= photo.low <= last]
        if rows:
            row(f"aligned, {first} to {last}", [photos[row] for row in rows], [estimates[row] for row in rows])


def annotated(folder: Path) -> Iterator[Photo]:
    """Return the photographs of metadata.csv."""
    with (folder / "metadata.csv").open(newline="", encoding="utf-8") as table:
        for row in csv.DictReader(table):
            low, _, high = row["age"].removesuffix("+").partition("-")
            yield Photo(folder / row["file_name"], int(low), int(high or OLDEST), row["gender"])


def opened(path: Path) -> Image.Image:
    """Return an upright image."""
    return images.inspect(path.read_bytes()).upright(1).pixels


def in_the_middle(image: Image.Image, faces: list[Face]) -> Face | None:
    """Return the face in the middle of an image, if there is one."""
    middle = complex(*image.size) / 2
    near = [face for face in faces if distance(face.center, middle) < face.side / 2]
    return min(near, key=lambda face: distance(face.center, middle), default=None)


def _square(image: Image.Image) -> Image.Image:
    side = min(image.size)
    left, top = (image.width - side) // 2, (image.height - side) // 2
    return image.crop((left, top, left + side, top + side))


def _box(image: Image.Image, face: Face) -> Image.Image:
    side = face.side * (1 + 2 * MARGIN)
    left, top = face.center.real - side / 2, face.center.imag - side / 2
    return crops.square(image, left, top, side, crops.ALIGNED_SIDE)


def aligned(image: Image.Image, face: Face) -> Image.Image:
    """Return the face as `POST /detect` cuts it out."""
    return crops.warp(image, face.frame, crops.ALIGNED_SIDE)


def of_release(
    predictor: Predictor,
    pixels: list[Image.Image],
    found: list[Face | None],
    cut: Callable[[Image.Image, Face], Image.Image],
) -> Estimates:
    """Return the estimates for the face that was found in each image, framed by `cut`."""
    return [estimate(predictor, cut(image, face)) if face else None for image, face in zip(pixels, found, strict=True)]


def estimate(predictor: Predictor, face: Image.Image) -> Estimate:
    """Return the release's estimate for a framed face."""
    size = predictor.release.size
    resized = np.asarray(face.resize((size, size), Image.Resampling.BILINEAR), np.uint8)
    (prediction,) = predictor.predict(resized[None])
    age = prediction.age
    return Estimate(age.years, age.low, age.high, *prediction.choices["gender"])


def of_peer(program: tuple[str, ...], pixels: list[Image.Image]) -> Estimates:
    """Return the estimates of another system, with its own detector."""
    found = peers.estimates(program, pixels)
    return [each and Estimate(each.years, np.nan, np.nan, each.gender, np.nan) for each in found]


def head() -> None:
    """Print the names of the columns of `row`."""
    ages = f"{'band':>8}{'outside':>9}{'middle':>8}{'meets':>8}"
    print(f"{'':24}{'n':>5}{'found':>8}{ages}{'gender':>8}{'from 10':>9}{'ECE':>7}")


def row(name: str, photos: list[Photo], estimates: Estimates) -> None:
    """Print shares in percent, mean errors in years, and the calibration error of gender.

    Errors are to the nearest year of the band, and to its middle.
    """
    rows = [(photo, found) for photo, found in zip(photos, estimates, strict=True) if found]
    outside = [max(photo.low - found.years, found.years - photo.high, 0) for photo, found in rows]
    middle = [abs(found.years - photo.middle) for photo, found in rows]
    meets = [found.low <= photo.high and photo.low <= found.high for photo, found in rows if not np.isnan(found.low)]
    gender = [(photo.low >= 10, found.gender == photo.gender) for photo, found in rows]
    older = [right for from_ten, right in gender if from_ten]
    columns = (
        f"{len(photos):5}{100 * len(rows) / len(photos):8.1f}{100 * np.mean(np.array(outside) == 0):8.1f}"
        f"{np.mean(outside):9.2f}{np.mean(middle):8.2f}{100 * np.mean(meets) if meets else np.nan:8.1f}"
        f"{100 * np.mean([right for _, right in gender]):8.1f}{100 * np.mean(older) if older else np.nan:9.1f}"
        f"{_calibration_error(rows):7.3f}"
    )
    print(f"{name:24}{columns}")


def _calibration_error(rows: list[tuple[Photo, Estimate]]) -> float:
    """Return the expected calibration error of gender, a share; NaN without probabilities."""
    probabilities = np.array([found.probability for _, found in rows])
    if np.isnan(probabilities).any():
        return np.nan
    return calibration_error(probabilities, np.array([found.gender == photo.gender for photo, found in rows]))


if __name__ == "__main__":
    main()
