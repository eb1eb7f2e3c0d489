"""The release beside other systems on the same images: `make bench-peers DATA=<UTKFace> PHOTOS=<photographs>`.

python -m tests.bench_peers <folder that `prepare` wrote> <UTKFace> [--photos <folder with metadata.csv>]
    [--gear <folder with Human's network gear>] [--sample 500] [<release>…]

Each system finds the face itself. UTKFace's faces get a grey border for that, because detectors look for whole heads.
Ours also takes them as they are.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from serving import release
from serving.detection.search import FaceFinder, Options
from serving.prediction import AgeEstimate, FacePrediction, LabelEstimate
from serving.predictor import Predictor
from serving.settings import BUNDLED_RELEASE, Settings
from tests import bench_photos, bench_robustness, peers
from tests.bench_photos import Estimates
from tests.bench_robustness import faces_of
from training.data.shards import LabelArray
from training.evaluation import samples

# Width of the border as a share of a face's side.
BORDER = 0.4
GREY = (128, 128, 128)
SEED = 1
COLUMNS = bench_robustness.columns("age_mae", "age_within_5", "gender_accuracy")


def main() -> None:
    """Print a table for the faces, and one for the photographs."""
    options = _options()
    paths, labels = faces_of(options.data, options.faces, "test")
    if options.sample:
        drawn = np.sort(np.random.default_rng(SEED).permutation(len(paths))[: options.sample])
        paths, labels = [paths[place] for place in drawn], labels[drawn]
    pixels = [bench_photos.opened(path) for path in paths]
    print(f"{len(pixels)} test faces of UTKFace\n{bench_robustness.head(COLUMNS)}{'found':>10}")
    for name, found in _systems(options, pixels, aligned=True):
        print(_row(name, found, labels), flush=True)
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


def _row(name: str, estimates: Estimates, labels: LabelArray) -> str:
    found = np.array([each is not None for each in estimates])
    known = [each for each in estimates if each]
    genders = [{"gender": LabelEstimate(each.gender, each.probability)} for each in known]
    scored = samples.collect([FacePrediction(AgeEstimate(0, 0, 0), each) for each in genders], labels[found])
    # Other systems estimate parts of a year.
    scored = replace(scored, years=np.array([each.years for each in known]))
    return f"{bench_robustness.row(name, scored, COLUMNS)}{found.mean():10.1%}"


if __name__ == "__main__":
    main()
