"""What detection costs in accuracy, and what it misses, in scenes made of test faces: `make bench-detection`.

python -m tests.bench_detection <folder that `prepare` wrote> <UTKFace> [<folder of images without people>]
"""

from __future__ import annotations

import csv
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from serving import images, release
from serving.detection import crops
from serving.detection.faces import Face
from serving.detection.search import FaceFinder, Options
from serving.predictor import Predictor
from serving.settings import Settings
from training.calibration import negatives

ROOT = Path(__file__).parent.parent
COUNT = 600
SCENE = (1280, 960)
CELL = 320
FACES_IN_A_SCENE = 8
SHARES = (0.2, 0.1, 0.075, 0.05, 0.035)
ANGLES = (30, 60, 90, 180)
PASTED = (200, 140, 100, 64)
SYNTHETIC = 50

Random = np.random.Generator
Image_ = Image.Image


class Person(NamedTuple):
    """A test face and its labels."""

    path: Path
    age: int
    female: bool
    ethnicity: int

    @property
    def face(self) -> Image_:
        """The face as UTKFace has it."""
        return images.inspect(self.path.read_bytes()).upright(1).pixels


class Bench:
    """The bundled release with the detector at the default settings."""

    def __init__(self) -> None:
        self.predictor = Predictor(release.load(str(ROOT / "function" / "model")))
        self._finder = FaceFinder()
        settings = Settings()
        self._options = Options(settings.min_face_score, settings.min_face_size)

    def find(self, image: Image_) -> list[Face]:
        """Return the faces of an image, largest first."""
        return self._finder.find(image, self._options)

    def report(self, name: str, given: list[Image_], found: list[Image_ | None], people: list[Person]) -> None:
        """Print the errors on the faces that were found, as they were given and as they were cut out."""
        rows = [row for row, image in enumerate(found) if image]
        truth = [people[row] for row in rows]
        before = self._errors([given[row] for row in rows], truth)
        after = self._errors([image for image in found if image], truth)
        print(
            f"{name:36}{100 * len(rows) / len(people):7.1f} % found   {before[0]:.2f} -> {after[0]:.2f} years   "
            f"gender {before[1]:.1f} -> {after[1]:.1f} %   (n = {len(rows)})",
            flush=True,
        )

    def _errors(self, faces: list[Image_], people: list[Person]) -> tuple[float, float]:
        size = self.predictor.release.size
        resized = [np.asarray(face.resize((size, size), Image.Resampling.BILINEAR), np.uint8) for face in faces]
        found = [self.predictor.predict(face[None])[0] for face in resized]
        ages = [abs(each.age.years - person.age) for each, person in zip(found, people, strict=True)]
        right = [
            (each.choices["gender"].label == "female") == person.female
            for each, person in zip(found, people, strict=True)
        ]
        return float(np.mean(ages)), 100 * float(np.mean(right))


def main() -> None:
    """Print all tables."""
    random = np.random.default_rng(1)
    bench, people = Bench(), list(_people(Path(sys.argv[1]), Path(sys.argv[2]), random))
    print("error of the faces as they are, and after detection and alignment")
    faces = [person.face for person in people]
    bench.report("faces as they are", faces, [_cut(bench, face) for face in faces], people)
    for angle in ANGLES:
        turned = [_turned(face, angle) for face in faces[: COUNT // 2]]
        bench.report(
            f"turned by {angle} degrees",
            faces[: COUNT // 2],
            [_cut(bench, face) for face in turned],
            people[: COUNT // 2],
        )
    for side in PASTED:
        small = [face.resize((side, side), Image.Resampling.LANCZOS) for face in faces]
        bench.report(f"pasted at {side} px in 640x480", small, _pasted(bench, small, random), people)
    _small_faces(bench, people, random)
    _false_faces(bench, random)


def _people(prepared: Path, faces: Path, random: Random) -> Iterator[Person]:
    with (prepared / "index.csv").open(newline="", encoding="utf-8") as table:
        rows = [row for row in csv.DictReader(table) if row["split"] == "test"]
    for at in random.permutation(len(rows))[:COUNT].tolist():
        row = rows[at]
        yield Person(faces / row["path"], int(row["age"]), row["gender"] == "1", int(row["ethnicity"]))


def _cut(bench: Bench, image: Image_) -> Image_ | None:
    faces = bench.find(image)
    return crops.warp(image, faces[0].frame, crops.ALIGNED_SIDE) if faces else None


def _turned(face: Image_, angle: int) -> Image_:
    scene = Image.new("RGB", (480, 480), (120, 130, 110))
    turned = face.convert("RGBA").rotate(angle, Image.Resampling.BICUBIC, expand=True)
    scene.paste(turned, ((480 - turned.width) // 2, (480 - turned.height) // 2), turned)
    return scene


def _ground(random: Random, size: tuple[int, int]) -> Image_:
    return Image.fromarray(negatives.clouds(random, int(random.integers(6, 20)))).convert("RGB").resize(size)


def _pasted(bench: Bench, faces: list[Image_], random: Random) -> list[Image_ | None]:
    found: list[Image_ | None] = []
    for face in faces:
        scene = _ground(random, (640, 480))
        left, top = random.integers(0, 640 - face.width), random.integers(0, 480 - face.height)
        scene.paste(face, (int(left), int(top)))
        middle = complex(left + face.width / 2, top + face.height / 2)
        near = [each for each in bench.find(scene) if abs(each.center - middle) < 0.35 * face.width]
        found.append(crops.warp(scene, near[0].frame, crops.ALIGNED_SIDE) if near else None)
    return found


def _small_faces(bench: Bench, people: list[Person], random: Random) -> None:
    print(
        f"\nfaces found in scenes of {SCENE[0]}x{SCENE[1]} with {FACES_IN_A_SCENE} faces, by share of the longer side"
    )
    for share in SHARES:
        hits, extra = [], 0
        for start in range(0, COUNT, FACES_IN_A_SCENE):
            seen, false = _scene(bench, people[start : start + FACES_IN_A_SCENE], share, random)
            hits += seen
            extra += false
        print(f"{100 * share:5.1f} % of the side{100 * np.mean(hits):7.1f} % found, {extra} false", flush=True)
        _by_group(people, hits)


def _by_group(people: list[Person], hits: list[bool]) -> None:
    groups: dict[str, Callable[[Person], bool]] = {
        "below 6": lambda person: person.age < 6,
        "70 and older": lambda person: person.age >= 70,
        "women": lambda person: person.female,
        "men": lambda person: not person.female,
        **{name: _has_ethnicity(number) for number, name in enumerate(("White", "Black", "Asian", "Indian", "Other"))},
    }
    shares = {
        name: [hit for hit, person in zip(hits, people, strict=False) if belongs(person)]
        for name, belongs in groups.items()
    }
    print("      " + ", ".join(f"{name} {100 * np.mean(each):.0f} ({len(each)})" for name, each in shares.items()))


def _has_ethnicity(number: int) -> Callable[[Person], bool]:
    return lambda person: person.ethnicity == number


def _scene(bench: Bench, people: list[Person], share: float, random: Random) -> tuple[list[bool], int]:
    """Return which faces of a scene are found, and the number of false ones."""
    side = round(share * SCENE[0])
    scene = _ground(random, SCENE)
    cells = [(x, y) for x in range(0, SCENE[0], CELL) for y in range(0, SCENE[1], CELL)]
    middles = []
    for person, cell in zip(people, random.permutation(cells), strict=False):
        left, top = cell + random.integers(0, CELL - side, 2)
        scene.paste(person.face.resize((side, side), Image.Resampling.LANCZOS), (int(left), int(top)))
        middles.append(complex(left + side / 2, top + side / 2))
    found = bench.find(scene)
    near = [[each for each in found if abs(each.center - middle) < 0.35 * side] for middle in middles]
    return [bool(each) for each in near], len(found) - sum(map(len, near))


def _false_faces(bench: Bench, random: Random) -> None:
    kinds = {
        "clouds": [_ground(random, (640, 480)) for _ in range(SYNTHETIC)],
        "gravel": [_gravel(random) for _ in range(SYNTHETIC)],
        "fur": [_fur(random) for _ in range(SYNTHETIC)],
        "text": [_text(random) for _ in range(SYNTHETIC)],
    }
    if len(sys.argv) > 3:
        files = sorted(Path(sys.argv[3]).iterdir())
        kinds["given images"] = [Image.open(path).convert("RGB") for path in files]
    print("\nimages without people in which a face is found")
    for name, scenes in kinds.items():
        found = [bool(bench.find(scene)) for scene in scenes]
        print(f"{name:16}{sum(found):4} of {len(found)}", flush=True)


def _gravel(random: Random) -> Image_:
    scene = Image.new("RGB", (640, 480), (90, 85, 80))
    for _ in range(2500):
        (x, y), radius, level = (
            random.integers(0, (640, 480)),
            int(random.integers(4, 16)),
            int(random.integers(70, 200)),
        )
        box = (int(x) - radius, int(y) - radius, int(x) + radius, int(y) + int(radius * 0.8))
        ImageDraw.Draw(scene).ellipse(box, (level, level, level - 10), (40, 40, 40))
    return scene


def _fur(random: Random) -> Image_:
    scene = Image.new("RGB", (640, 480), (110, 90, 70))
    for _ in range(9000):
        x, y, length = int(random.integers(0, 640)), int(random.integers(0, 480)), float(random.uniform(10, 30))
        angle, level = random.normal(1.2, 0.4), int(random.integers(40, 220))
        end = (x + length * np.cos(angle), y + length * np.sin(angle))
        ImageDraw.Draw(scene).line((x, y, *end), (level, int(level * 0.8), int(level * 0.6)))
    return scene


def _text(random: Random) -> Image_:
    page, size = Image.new("RGB", (800, 600), "white"), int(random.integers(12, 40))
    letters = np.array(list("abcdefghijklmnopqrstuvwxyz     "))
    for top in range(0, 600, int(size * random.uniform(1.1, 2))):
        ImageDraw.Draw(page).text((10, top), "".join(random.choice(letters, 90)), "black", ImageFont.load_default(size))
    return page


if __name__ == "__main__":
    main()
