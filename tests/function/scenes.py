"""Images with several faces, for tests that find them."""

from __future__ import annotations

from pathlib import Path

from PIL import Image

from tests.conftest import ROOT
from tests.function.bad_images import saved
from tests.photos import with_faces

SIZE = (960, 640)
LARGE, SMALL = (500, 120, 320), (80, 60, 200)
"""Left, top and side of the two faces, in pixels."""


def drawn() -> bytes:
    """Return a PNG with two drawn faces that the detector finds."""
    face = ROOT / "docs" / "example.jpg"
    return scene(face, face)


def scene(large: Path, small: Path) -> bytes:
    """Return a PNG of SIZE with these faces at LARGE and SMALL."""
    faces = ((Image.open(path).convert("RGB"), place) for path, place in ((large, LARGE), (small, SMALL)))
    return saved(with_faces(Image.new("RGB", SIZE, (110, 130, 120)), faces))


def blank() -> bytes:
    """Return a PNG without a face."""
    return saved(Image.radial_gradient("L"))
