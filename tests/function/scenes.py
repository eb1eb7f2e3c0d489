"""Images with several faces, for tests that find them."""

from __future__ import annotations

import io
from pathlib import Path

from PIL import Image

from tests.conftest import ROOT

SIZE = (960, 640)
LARGE, SMALL = (500, 120, 320), (80, 60, 200)
"""Left, top and side of the two faces, in pixels."""


def drawn() -> bytes:
    """Return a PNG with two drawn faces that the detector finds."""
    face = ROOT / "docs" / "example.jpg"
    return scene(face, face)


def scene(large: Path, small: Path) -> bytes:
    """Return a PNG of SIZE with these faces at LARGE and SMALL."""
    canvas = Image.new("RGB", SIZE, (110, 130, 120))
    for path, (left, top, side) in ((large, LARGE), (small, SMALL)):
        with Image.open(path) as face:
            canvas.paste(face.convert("RGB").resize((side, side)), (left, top))
    return encoded(canvas)


def blank() -> bytes:
    """Return a PNG without a face."""
    return encoded(Image.radial_gradient("L"))


def encoded(image: Image.Image) -> bytes:
    """Return the image as a PNG."""
    out = io.BytesIO()
    image.save(out, "PNG")
    return out.getvalue()
