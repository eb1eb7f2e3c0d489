"""Bytes -> pixels."""

from __future__ import annotations

from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from serving import images
from tests.faces import draw


def saved(image: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    out = BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def halves(size: tuple[int, int] = (64, 64)) -> Image.Image:
    """White above, black below."""
    image = Image.new("RGB", size, "white")
    image.paste("black", (0, size[1] // 2, *size))
    return image


@pytest.mark.parametrize(("orientation", "bright"), [(1, "top"), (3, "bottom"), (6, "right"), (8, "left")])
def test_a_picture_is_turned_as_its_camera_was_held(orientation: int, bright: str) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    pixels = images.decode(saved(halves(), "JPEG", exif=exif), 32)
    sides = {"top": pixels[:8], "bottom": pixels[-8:], "left": pixels[:, :8], "right": pixels[:, -8:]}
    assert max(sides, key=lambda side: float(sides[side].mean())) == bright


@pytest.mark.parametrize(
    ("image", "color"),
    [
        (Image.new("L", (32, 32), 200), (200, 200, 200)),
        (Image.new("RGBA", (32, 32), (0, 0, 0, 0)), (255, 255, 255)),
        (Image.new("P", (32, 32), 0), (0, 0, 0)),
        (Image.fromarray(np.full((32, 32), 0x8000, np.uint16)), (128, 128, 128)),
        (Image.new("1", (32, 32), 1), (255, 255, 255)),
    ],
)
def test_every_kind_of_pixel_becomes_rgb(image: Image.Image, color: tuple[int, int, int]) -> None:
    assert images.decode(saved(image), 16)[8, 8].tolist() == pytest.approx(color, abs=1)


def test_a_printers_jpeg_becomes_rgb() -> None:
    red = Image.new("CMYK", (32, 32), (0, 255, 255, 0))
    assert images.decode(saved(red, "JPEG"), 16)[8, 8].tolist() == pytest.approx((255, 0, 0), abs=40)


def test_the_middle_of_a_long_picture_is_kept() -> None:
    image = Image.new("RGB", (300, 100), "black")
    image.paste("white", (100, 0, 200, 100))
    assert images.decode(saved(image), 32).min() > 200


def test_a_large_jpeg_decoded_at_a_reduced_scale_looks_the_same() -> None:
    large = Image.open(BytesIO(draw(40, 1, 1, seed=3))).resize((1600, 1600))
    reduced = images.decode(saved(large, "JPEG", quality=95), 96).astype(int)
    whole = images.decode(saved(large), 96).astype(int)
    assert np.abs(reduced - whole).mean() < 3


@pytest.mark.parametrize(
    ("data", "error"),
    [
        (b"", images.UnknownFormatError),
        (b"GIF89a" + bytes(100), images.UnknownFormatError),
        (saved(Image.new("RGB", (64, 64)), "BMP"), images.UnknownFormatError),
        (saved(Image.new("1", (30_000, 30_000))), images.ImageTooLargeError),
        (saved(Image.new("1", (9_000, 9_000))), images.ImageTooLargeError),
        (saved(Image.new("RGB", (15, 90))), images.ImageError),
        (saved(Image.new("RGB", (32, 330))), images.ImageError),
        (saved(halves(), "WEBP", save_all=True, append_images=[halves((64, 64)).rotate(90)]), images.ImageError),
        (saved(halves())[:-40], images.ImageError),
        (draw(30, 0, 0, seed=1)[:1500], images.ImageError),
    ],
)
def test_bytes_that_are_no_usable_picture_are_refused(data: bytes, error: type[images.ImageError]) -> None:
    with pytest.raises(images.ImageError) as refusal:
        images.decode(data, 32)
    assert type(refusal.value) is error
