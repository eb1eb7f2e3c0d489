"""The release beside other systems on the same images: `make bench-peers DATA=<UTKFace> PHOTOS=<photographs>`.

python -m tests.bench_peers <folder that `prepare` wrote> <UTKFace> [--photos <folder with metadata.csv>]
    [--gear <folder with Human's network gear>] [--sample 500] [<release>…]

Each system finds the face itself. UTKFace's faces get a grey border for that, because detectors look for whole heads.
Ours also takes them as they are.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps

from serving import release
from serving.detection.search import FaceFinder, Options
from serving.predictor import Predictor
from serving.settings import BUNDLED_RELEASE, Settings
from tests import bench_photos, peers
from tests.bench_photos import Estimates
from tests.bench_robustness import faces_of
from training.labels import GENDERS, by_head

# Width of the border as a share of a face's side.
BORDER = 0.4
GREY = (128, 128, 128)
SEED = 1


def main() -> None:
    """Print a table for the faces, and one for the photographs."""
    options = _options()
    paths, labels = faces_of(options.data, options.faces, "test")
    if options.sample:
        drawn = np.sort(np.random.default_rng(SEED).permutation(len(paths))[: options.sample])
        paths, labels = [paths[place] for place in drawn], labels[drawn]
    pixels = [bench_photos.opened(path) for path in paths]
    ages, genders = by_head(labels)["age"].astype(np.int64), by_head(labels)["gender"]
    print(f"{len(pixels)} test faces of UTKFace")
    print(f"{'':28}{'found':>7}{'years':>7}{'within 5':>10}{'gender':>8}{'21-60':>7}{'40+':>7}{'gender <13':>12}")
    for name, found in _systems(options, pixels, aligned=True):
        _row(name, found, ages, genders)
    if options.photos:
        photos = list(bench_photos.annotated(options.photos))
        pixels = [bench_photos.opened(photo.path) for photo in photos]
        print(f"\n{len(photos)} photographs")
        bench_photos.head()
        for name, found in _systems(options, pixels, aligned=False):
            bench_photos.row(name, photos, found)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="bench_peers")
    parser.add_argument("data", type=Path)
    parser.add_argument("faces", type=Path)
    parser.add_argument("releases", nargs="*", default=[str(BUNDLED_RELEASE)])
    parser.add_argument("--photos", type=Path)
    parser.add_argument("--gear", type=Path)
    parser.add_argument("--sample", type=int, help="test faces, drawn at random; default: all")
    return parser.parse_args()


def _systems(
    options: argparse.Namespace, pixels: list[Image.Image], *, aligned: bool
) -> Iterator[tuple[str, Estimates]]:
    """Yield the name of each system, and its estimates for the face in the middle of each image."""
    settings, finder = Settings(), FaceFinder()
    search = Options(settings.min_face_score, settings.min_face_size)
    whole = [_bordered(face) for face in pixels] if aligned else pixels
    faces = [bench_photos.in_the_middle(image, finder.find(image, search)) for image in whole]
    for place in options.releases:
        predictor = Predictor(release.load(place))
        name = predictor.release.version
        if aligned:
            yield f"{name}, as they are", [bench_photos.estimate(predictor, image) for image in pixels]
        yield name, bench_photos.of_release(predictor, whole, faces, bench_photos.aligned)
    yield "face-api.js", bench_photos.of_peer(peers.FACE_API, whole)
    yield "Human, faceres", bench_photos.of_peer(peers.HUMAN, whole)
    if options.gear:
        yield "Human, gear", bench_photos.of_peer((*peers.HUMAN, str(options.gear)), whole)


def _bordered(face: Image.Image) -> Image.Image:
    return ImageOps.expand(face, round(BORDER * face.width), GREY)


def _row(name: str, estimates: Estimates, ages: npt.NDArray[np.int64], genders: npt.NDArray[np.uint8]) -> None:
    found = np.array([each is not None for each in estimates])
    known = [each for each in estimates if each]
    ages, genders = ages[found], genders[found]
    error = np.abs(np.array([each.years for each in known]) - ages)
    right = np.array([each.gender for each in known]) == np.array(GENDERS)[genders]
    middle = (ages >= 21) & (ages <= 60)
    years = f"{error.mean():7.2f}{100 * np.mean(error <= 5):10.1f}{100 * right.mean():8.1f}{error[middle].mean():7.2f}"
    groups = f"{error[ages >= 40].mean():7.2f}{100 * right[ages < 13].mean():12.1f}"
    print(f"{name:28}{100 * found.mean():7.1f}{years}{groups}", flush=True)


if __name__ == "__main__":
    main()
