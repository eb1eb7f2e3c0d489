"""Whole images with a known number of faces, in a folder: real faces where UTKFACE_DIR names some, else drawn ones."""

from __future__ import annotations

import io
import os
from collections.abc import Sequence
from pathlib import Path

from PIL import Image

from tests.conftest import ROOT
from tests.photos import Place, with_faces

GROUND = (120, 130, 110)
SIZE = (1280, 960)
GROUP: tuple[Place, ...] = ((100, 100, 200), (500, 300, 160), (900, 120, 240), (300, 600, 120))
ONE: tuple[Place, ...] = ((300, 150, 220),)
# The face in docs/example.jpg: left, top, right and bottom.
_DRAWN = (48, 80, 272, 304)
# EXIF's orientation of an image whose top is on the right of the stored one.
_ORIENTATION, _QUARTER_TURN = 0x0112, 6


def faces() -> list[Image.Image]:
    """Four faces that fill their images."""
    folder = os.environ.get("UTKFACE_DIR", "")
    if not folder:
        return [Image.open(ROOT / "docs" / "example.jpg").crop(_DRAWN)] * 4
    # Adults of several ages.
    return [Image.open(path).convert("RGB") for path in sorted(Path(folder).glob("[2-6]?_*.jpg"))[:16000:4000]]


def scene(places: Sequence[Place], size: tuple[int, int] = SIZE) -> Image.Image:
    """An image with a face at each place."""
    return with_faces(Image.new("RGB", size, GROUND), zip(faces(), places, strict=False))


def saved(image: Image.Image, kind: str = "JPEG", *, turned: bool = False) -> bytes:
    """The file of an image, as a camera stores it that was turned by a quarter."""
    file = io.BytesIO()
    exif = Image.Exif()
    if turned:
        image = image.transpose(Image.Transpose.ROTATE_90)
        exif[_ORIENTATION] = _QUARTER_TURN
    image.save(file, kind, exif=exif, **({"lossless": True} if kind == "WEBP" else {}))
    return file.getvalue()


def write(folder: Path) -> dict[str, int]:
    """Write images, some in a subfolder, and return how many faces each has, in the order of their paths."""
    one = scene(ONE, (800, 600))
    (folder / "more").mkdir(parents=True)
    (folder / "group.jpg").write_bytes(saved(scene(GROUP)))
    (folder / "more" / "one.webp").write_bytes(saved(one, "WEBP"))
    (folder / "sky.png").write_bytes(saved(Image.new("RGB", (640, 480), (90, 140, 200)), "PNG"))
    (folder / "turned.jpg").write_bytes(saved(one, turned=True))
    return {"group.jpg": 4, "more/one.webp": 1, "sky.png": 0, "turned.jpg": 1}
