"""How often the bundled release warns: of test faces, of images that are none, and why the bounds lie where they do.

python -m tests.bench_warnings <folder that `prepare` wrote> [<folder of photographs that show no face>]
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator
from io import BytesIO
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

from serving import images, input_check, release
from serving.images import DecodedImage, Pixels
from serving.predictor import Predictor
from training.calibration import negatives
from training.data import shards

ROOT = Path(__file__).parent.parent
ICONS = Path("/usr/share/icons")
# images of each kind, at most
COUNT = 500
CROPS = 40
SIDES = (128, 64, 48, 40, 32, 24, 16)
RATIOS = (1.0, 1.25, 1.5, 1.75, 2.0, 2.5)

Random = np.random.Generator
Image_ = Image.Image


def main() -> None:
    """Print two tables."""
    served = release.load(str(ROOT / "function" / "model"))
    pixels, labels = shards.first(Path(sys.argv[1]), "test", sys.maxsize)
    faces = [Image.fromarray(face) for face in pixels]
    print(f"warned of, release {served.version}")
    _print(served, "test faces", faces)
    for name, samples in _others(faces[:COUNT], np.random.default_rng(1)):
        _print(served, name, samples)
    print("\nage error in years, where a face ...")
    predictor, ages = Predictor(served), labels[:COUNT, 0].astype(int)
    for side in SIDES:
        print(f"{'has ' + str(side) + ' pixels a side':48} {_error(predictor, faces, ages, _shrunk_to(side)):6.2f}")
    for ratio in RATIOS:
        print(f"{f'lies anywhere in an image of 1:{ratio}':48} {_error(predictor, faces, ages, _strip(ratio)):6.2f}")


def _print(served: release.Release, name: str, samples: Iterable[Image_]) -> None:
    seen = [_seen(image, served.size) for image in samples]
    if not seen:
        print(f"{name:48} none at hand")
        return
    judge = input_check.of(served)
    codes = [{warning.code for warning in judge.warnings(image)} for image in seen]
    each = ", ".join(
        f"{code} {share:.1%}" for code in sorted(set().union(*codes)) if (share := np.mean([code in c for c in codes]))
    )
    print(f"{name:48} {np.mean([bool(found) for found in codes]):7.2%} of {len(codes):5}   {each}")


def _seen(image: Image_, size: int) -> DecodedImage:
    """What the function makes of a lossless file."""
    file = BytesIO()
    image.save(file, "PNG", compress_level=1)
    return images.read(file.getvalue(), size)


def _others(faces: list[Image_], random: Random) -> Iterator[tuple[str, Iterable[Image_]]]:
    turn = Image.Transpose
    yield "faces upside down", [face.transpose(turn.ROTATE_180) for face in faces]
    yield "faces on their side", [face.transpose(turn.ROTATE_90) for face in faces]
    for share in (0.75, 0.5, 0.33):
        yield f"faces shrunk to {share} on a ground of any colour", [_shrunk(face, share, random) for face in faces]
        yield f"faces shrunk to {share} on white", [_shrunk(face, share, None) for face in faces]
    for share in (0.75, 0.5, 0.33):
        yield f"a part of a face, {share} of its side", [_crop(face, share, random) for face in faces]
    yield "faces in a strip of 1:2", [_in_strip(face, 2.0, random) for face in faces]
    yield "faces of 24 pixels", [face.resize((24, 24)) for face in faces]
    yield "noise", [Image.fromarray(random.integers(0, 256, (128, 128, 3), np.uint8)) for _ in range(COUNT)]
    yield "clouds", [_clouds(random, int(random.integers(3, 12))) for _ in range(COUNT)]
    yield "gradients", [_clouds(random, 2) for _ in range(COUNT)]
    yield "one colour", [Image.new("RGB", (128, 128), _color(random)) for _ in range(COUNT)]
    yield "pages of text", [_page(random) for _ in range(COUNT)]
    yield f"icons of {ICONS}", _icons(random)
    if len(sys.argv) > 2:
        yield f"{CROPS} crops of each photograph", list(_photographs(Path(sys.argv[2]), random))


def _shrunk(face: Image_, share: float, random: Random | None) -> Image_:
    place = random or np.random.default_rng(1)
    side = int(face.width * share)
    ground = Image.new("RGB", face.size, _color(random) if random else (255, 255, 255))
    left, top = place.integers(0, face.width - side + 1, 2).tolist()
    ground.paste(face.resize((side, side)), (left, top))
    return ground


def _crop(image: Image_, share: float, random: Random) -> Image_:
    side = int(min(image.size) * share)
    left = int(random.integers(0, image.width - side + 1))
    top = int(random.integers(0, image.height - side + 1))
    return image.crop((left, top, left + side, top + side))


def _in_strip(face: Image_, ratio: float, random: Random) -> Image_:
    strip = Image.new("RGB", (face.width, int(face.width * ratio)), _color(random))
    strip.paste(face, (0, int(random.integers(0, strip.height - face.height + 1))))
    return strip


def _clouds(random: Random, cells: int) -> Image_:
    return Image.fromarray(negatives.clouds(random, cells)).resize((128, 128), Image.Resampling.BICUBIC)


def _page(random: Random) -> Image_:
    page = Image.new("RGB", (512, 512), "white")
    size = int(random.integers(12, 48))
    letters = np.array(list("abcdefghijklmnopqrstuvwxyz     "))
    for top in range(0, 512, int(size * random.uniform(1.1, 2))):
        line = "".join(random.choice(letters, int(random.integers(10, 80))))
        ImageDraw.Draw(page).text((10, top), line, "black", ImageFont.load_default(size))
    return page


def _icons(random: Random) -> list[Image_]:
    files = sorted(path for path in ICONS.rglob("*.png") if path.is_file())
    samples: list[Image_] = [Image.open(path) for path in random.permutation(np.array(files, object))]
    return [image for image in samples if min(image.size) >= 32][:COUNT]


def _photographs(folder: Path, random: Random) -> Iterator[Image_]:
    for path in sorted(folder.iterdir()):
        photograph = Image.open(path).convert("RGB")
        for _ in range(CROPS):
            yield _crop(photograph, random.uniform(0.25, 1), random)


def _color(random: Random) -> tuple[int, int, int]:
    red, green, blue = random.integers(0, 256, 3).tolist()
    return red, green, blue


def _shrunk_to(side: int) -> Callable[[Image_], Image_]:
    return lambda face: face.resize((side, side), Image.Resampling.LANCZOS)


def _strip(ratio: float) -> Callable[[Image_], Image_]:
    random = np.random.default_rng(1)
    return lambda face: _in_strip(face, ratio, random)


def _error(
    predictor: Predictor, faces: list[Image_], ages: npt.NDArray[np.int64], change: Callable[[Image_], Image_]
) -> float:
    size = predictor.release.size
    seen: list[Pixels] = [_seen(change(face), size).pixels for face in faces[: len(ages)]]
    years = [predictor.predict(face[None])[0].age.years for face in seen]
    return float(np.abs(np.array(years) - ages).mean())


if __name__ == "__main__":
    main()
