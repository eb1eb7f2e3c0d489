"""Synthetic faces with UTKFace file names. Each label is visible, and no real person is shown."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw

from training.errors import StepError

SIDE = 100
# One color for each ethnicity. Colors that no skin has are easy to learn and say nothing about people.
_SKINS = ((235, 150, 150), (110, 150, 225), (130, 200, 130), (195, 140, 220), (230, 200, 110))
_BROWN, _WHITE = np.array((70, 35, 15)), np.array((235, 235, 240))
_FIRST_STAMP = 2017_01_01_00_00_00_000

Random = np.random.Generator
Color = tuple[int, int, int]


def write_faces(folder: Path, count: int, seed: int = 0) -> None:
    """Write `count` faces of all genders, ethnicities and ages. The first n faces do not depend on `count`.

    Raises:
        StepError: a file of the same name has other contents.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(count):
        labelled, own = labels(number), seed * 10**6 + number
        name = "_".join(map(str, (*labelled, _FIRST_STAMP + own))) + ".jpg.chip.jpg"
        _write(folder / name, draw(*labelled, seed=own))


def _write(path: Path, data: bytes) -> None:
    try:
        with path.open("xb") as file:
            file.write(data)
    except FileExistsError as error:
        # An earlier run wrote the same bytes, unless it was interrupted or used another version of Pillow.
        if path.is_symlink() or path.read_bytes() != data:
            raise StepError(f"{path} already exists with other contents; choose another folder") from error


def labels(number: int) -> tuple[int, ...]:
    """Return age, gender and ethnicity of face `number`, which cycle through all values."""
    # 37 and 101 are coprime, so all ages from 0 to 100 occur.
    return number * 37 % 101, number % 2, number // 2 % len(_SKINS)


def draw(age: int, gender: int, ethnicity: int, *, seed: int) -> bytes:
    """Draw one face. Its size, grey hair and wrinkles show the age, the length of its hair the gender.

    Returns:
        A JPEG of 100x100 pixels.
    """
    random = np.random.default_rng((seed, age, gender, ethnicity))
    # The large random spots in the background keep faces from being near-duplicates.
    image = Image.fromarray(_waves(random, 5, 50, 200).astype(np.uint8)).convert("RGB")
    _draw_head(ImageDraw.Draw(image), random, age, gender, _SKINS[ethnicity])
    light = _waves(random, 3, 0.75, 1.25)[..., None]
    pixels = np.asarray(image) * light + random.normal(0, 4, (SIDE, SIDE, 3))
    stream = BytesIO()
    Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(stream, "JPEG", quality=90)
    return stream.getvalue()


def _draw_head(canvas: ImageDraw.ImageDraw, random: Random, age: int, gender: int, skin: Color) -> None:
    x, y = 50 + random.uniform(-6, 6), 50 + random.uniform(-5, 5)
    width = 19 + 8 * min(age, 20) / 20 + random.uniform(-1, 1)
    height = width * 1.25
    greyness = min(max(age - 15, 0) / 65, 1)
    red, green, blue = (_BROWN + greyness * (_WHITE - _BROWN)).astype(int).tolist()
    hair = (red, green, blue)
    if gender:
        canvas.rounded_rectangle((x - width - 14, y - height - 9, x + width + 14, SIDE), width, fill=hair)
    else:
        canvas.pieslice((x - width - 2, y - height - 7, x + width + 2, y + height), 180, 360, fill=hair)
    canvas.ellipse((x - width, y - height, x + width, y + height), fill=skin)
    dark = (skin[0] // 3, skin[1] // 3, skin[2] // 3)
    for side in (-1, 1):
        eye = x + side * width * 0.42
        canvas.ellipse((eye - 4, y - 6, eye + 4, y), fill=(255, 255, 255))
        canvas.ellipse((eye - 2, y - 5, eye + 2, y - 1), fill=(20, 20, 20))
    canvas.line((x, y, x, y + height * 0.3), fill=dark, width=2)
    canvas.arc((x - width * 0.45, y + height * 0.2, x + width * 0.45, y + height * 0.65), 20, 160, fill=dark, width=3)
    for wrinkle in range(age // 20):
        level = y - height * (0.35 + 0.1 * wrinkle)
        canvas.line((x - width * 0.5, level, x + width * 0.5, level), fill=dark)


def _waves(random: Random, cells: int, low: float, high: float) -> npt.NDArray[np.float32]:
    """Return (SIDE, SIDE) values that change slowly."""
    spots = Image.fromarray(random.uniform(low, high, (cells, cells)).astype(np.float32))
    return np.asarray(spots.resize((SIDE, SIDE), Image.Resampling.BICUBIC)).clip(low, high)
