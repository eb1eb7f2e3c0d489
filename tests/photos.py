"""Whole photographs for tests: faces pasted on drawn backgrounds."""

from __future__ import annotations

from collections.abc import Iterable
from io import BytesIO

import numpy as np
from PIL import Image, ImageDraw

from training.faces import draw

Place = tuple[int, int, int]
"""Left, top and side of a face, in pixels."""


def background(width: int, height: int, seed: int = 0) -> Image.Image:
    """Return a wall, a floor and some furniture, with the noise of a camera."""
    random = np.random.default_rng(seed)
    image = Image.linear_gradient("L").resize((width, height)).convert("RGB")
    pen = ImageDraw.Draw(image)
    pen.rectangle((0, height * 2 // 3, width, height), fill=(120, 100, 80))
    for _ in range(12):
        left, top = int(random.integers(width)), int(random.integers(height))
        right, bottom = left + int(random.integers(width // 20, width // 4)), top + height // 10
        pen.rectangle((left, top, right, bottom), fill=tuple(random.integers(0, 256, 3).tolist()))
    small = Image.fromarray(random.integers(0, 256, (height // 8 + 1, width // 8 + 1, 3), np.uint8))
    return Image.blend(image, small.resize((width, height)), 0.1)


def drawn_face(age: int = 30) -> Image.Image:
    """Return a drawn face that the detector finds."""
    return Image.open(BytesIO(draw(age, age % 2, age % 5, seed=age))).convert("RGB")


def with_faces(image: Image.Image, faces: Iterable[tuple[Image.Image, Place]]) -> Image.Image:
    """Return a copy with faces pasted at their places."""
    photo = image.copy()
    for face, (left, top, side) in faces:
        photo.paste(face.resize((side, side), Image.Resampling.LANCZOS), (left, top))
    return photo


def photo(*places: Place, size: tuple[int, int] = (640, 480)) -> Image.Image:
    """Return a photograph with drawn faces of rising age."""
    faces = ((drawn_face(20 + 10 * number), place) for number, place in enumerate(places))
    return with_faces(background(*size), faces)
