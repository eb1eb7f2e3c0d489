"""The decoder: bytes of an image -> the model's input."""

from __future__ import annotations

import pickle
import subprocess
import sys
import time
import tracemalloc
import zlib
from collections.abc import Callable
from io import BytesIO
from itertools import cycle

import numpy as np
import pytest
from PIL import Image

from serving import images
from serving.formats import FORMATS
from serving.images import ImageTooLargeError
from serving.limits import Limits
from tests.function import costly_requests
from tests.function.bad_images import header, png, saved
from training.faces import draw


def halves(size: tuple[int, int] = (64, 64)) -> Image.Image:
    """Return an image with a white upper half and a black lower half."""
    image = Image.new("RGB", size, "white")
    image.paste("black", (0, size[1] // 2, *size))
    return image


def cornered(orientation: int) -> Image.Image:
    """Return an image that shows red, green, blue and white clockwise from the top left, once turned upright."""
    upright = Image.new("RGB", (64, 64), "white")
    for color, place in (("red", (0, 0)), ("lime", (32, 0)), ("blue", (32, 32))):
        upright.paste(color, (*place, place[0] + 32, place[1] + 32))
    turn = Image.Transpose
    # The inverse of the turn that each orientation asks for: TIFF 6.0, section 8.
    stored = {
        2: turn.FLIP_LEFT_RIGHT,
        3: turn.ROTATE_180,
        4: turn.FLIP_TOP_BOTTOM,
        5: turn.TRANSPOSE,
        6: turn.ROTATE_90,
        7: turn.TRANSVERSE,
        8: turn.ROTATE_270,
    }
    return upright if orientation == 1 else upright.transpose(stored[orientation])


def corners(pixels: images.Pixels) -> list[list[int]]:
    return [(pixels[row, column] > 127).astype(int).tolist() for row, column in ((4, 4), (4, -4), (-4, -4), (-4, 4))]


@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize("orientation", range(1, 9))
def test_the_exif_orientation_turns_an_image_upright(orientation: int, kind: str) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    pixels = images.decode(saved(cornered(orientation), kind, exif=exif), 32)
    assert corners(pixels) == [[1, 0, 0], [0, 1, 0], [0, 0, 1], [1, 1, 1]]


@pytest.mark.parametrize("exif", [b"Exif\0\0", b"Exif\0\0MM\0*\xff\xff\xff\xff", b"Exif\0\0" + bytes(range(256))])
def test_an_invalid_orientation_leaves_the_image_unturned(exif: bytes) -> None:
    pixels = images.decode(saved(cornered(1), "JPEG", exif=exif), 32)
    assert corners(pixels) == [[1, 0, 0], [0, 1, 0], [0, 0, 1], [1, 1, 1]]


@pytest.mark.parametrize("side", [(200, 200), (640, 480), (300, 900), (1600, 1601)])
def test_the_pixels_of_an_ordinary_jpeg_follow_the_stated_rule_exactly(side: tuple[int, int]) -> None:
    data = saved(Image.open(BytesIO(draw(40, 1, 1, seed=3))).resize(side), "JPEG", quality=90)
    whole = Image.open(BytesIO(data))
    whole.draft("RGB", (256, 256))
    width, height = whole.size
    short = min(width, height)
    left, top = (width - short) // 2, (height - short) // 2
    square = whole.crop((left, top, left + short, top + short))
    wanted = np.asarray(square.resize((128, 128), Image.Resampling.BILINEAR))
    assert np.array_equal(images.decode(data, 128), wanted)


def sixteen_bit_png(color_type: int, pixel: bytes, transparent: bytes = b"") -> bytes:
    """Return a PNG of 32x32 equal pixels of 16 bits a channel. Pillow reads more such modes than it writes."""
    palette = [(b"tRNS", transparent)] if transparent else []
    rows = zlib.compress((b"\0" + pixel * 32) * 32)
    return png([header(32, 32, depth=16, color_type=color_type), *palette, (b"IDAT", rows), (b"IEND", b"")])


@pytest.mark.parametrize(
    ("image", "color"),
    [
        (sixteen_bit_png(0, b"\x80\xff"), (128, 128, 128)),
        (sixteen_bit_png(0, b"\x80\xff", transparent=b"\x80\xff"), (255, 255, 255)),
        (sixteen_bit_png(0, b"\x80\xff", transparent=b"\x80\0"), (128, 128, 128)),
        (sixteen_bit_png(2, b"\x20\xff\x80\xff\xf0\xff"), (32, 128, 240)),
        (sixteen_bit_png(2, b"\x20\xff\x80\xff\xf0\xff", transparent=b"\0\0" * 3), (32, 128, 240)),
        (sixteen_bit_png(4, b"\0\0\x80\0"), (127, 127, 127)),
        (sixteen_bit_png(6, b"\xff\xff\0\0\0\0\x40\0"), (255, 191, 191)),
    ],
)
def test_sixteen_bits_a_channel_become_eight(image: bytes, color: tuple[int, int, int]) -> None:
    assert images.decode(image, 16)[8, 8].tolist() == pytest.approx(color, abs=1)


def transparent_palette() -> Image.Image:
    image = Image.new("P", (32, 32), 1)
    image.putpalette([0, 0, 0, 0, 0, 255])
    return image


@pytest.mark.parametrize(
    ("image", "color"),
    [
        (saved(Image.new("L", (32, 32), 200)), (200, 200, 200)),
        (saved(Image.new("L", (32, 32), 200), "JPEG"), (200, 200, 200)),
        (saved(Image.new("LA", (32, 32), (0, 128))), (127, 127, 127)),
        (saved(Image.new("RGBA", (32, 32), (0, 0, 0, 0))), (255, 255, 255)),
        (saved(Image.new("RGBA", (32, 32), (255, 0, 0, 128)), "WEBP", lossless=True), (255, 127, 127)),
        (saved(Image.new("RGB", (32, 32), (9, 9, 9)), transparency=(9, 9, 9)), (255, 255, 255)),
        (saved(Image.new("RGB", (32, 32), (9, 9, 9)), transparency=(8, 9, 9)), (9, 9, 9)),
        (saved(Image.new("P", (32, 32), 0)), (0, 0, 0)),
        (saved(transparent_palette()), (0, 0, 255)),
        (saved(transparent_palette(), transparency=1), (255, 255, 255)),
        (saved(transparent_palette(), transparency=b"\xff\x80"), (127, 127, 255)),
        (saved(Image.new("1", (32, 32), 1)), (255, 255, 255)),
    ],
)
def test_every_kind_of_pixel_becomes_rgb_over_white(image: bytes, color: tuple[int, int, int]) -> None:
    assert images.decode(image, 16)[8, 8].tolist() == pytest.approx(color, abs=1)


def test_colors_of_transparent_pixels_do_not_bleed_into_their_neighbors() -> None:
    image = Image.new("RGBA", (64, 64), (0, 255, 0, 0))
    image.paste((255, 0, 0, 255), (0, 0, 32, 64))
    pixels = images.decode(saved(image), 16).astype(int)
    assert (pixels[..., 1] <= pixels[..., 2] + 1).all()


@pytest.mark.skipif("AVIF" not in FORMATS, reason="this Pillow is built without AVIF")
def test_an_avif_shows_what_the_jpeg_shows(face: bytes) -> None:
    avif = images.decode(saved(Image.open(BytesIO(face)), "AVIF", quality=95), 96).astype(int)
    assert np.abs(avif - images.decode(face, 96)).mean() < 3


def test_the_first_image_of_a_multi_picture_jpeg_is_used(face: bytes) -> None:
    first = Image.open(BytesIO(face))
    packed = saved(first, "MPO", save_all=True, append_images=[halves(first.size)], quality=95)
    alone = saved(first, "JPEG", quality=95)
    assert np.array_equal(images.decode(packed, 96), images.decode(alone, 96))


@pytest.mark.parametrize("kind", FORMATS)
def test_bytes_after_the_image_are_ignored(kind: str) -> None:
    data = saved(halves(), kind)
    assert np.array_equal(images.decode(data + b"PK\3\4" + bytes(5000), 32), images.decode(data, 32))


@pytest.mark.parametrize(
    ("kind", "position", "comment"),
    [
        ("JPEG", 2, b"\xff\xfe\0\4hi"),
        ("PNG", 33, b"\0\0\0\3tEXta\0b" + zlib.crc32(b"tEXta\0b").to_bytes(4)),
    ],
)
def test_a_file_without_metadata_is_decoded_without_a_copy(kind: str, position: int, comment: bytes) -> None:
    plain = saved(halves(), kind)
    (part,) = images.inspect(plain).container.parts
    assert part is plain
    commented = images.inspect(plain[:position] + comment + plain[position:])
    assert b"".join(commented.container.parts) == plain


def test_a_progressive_jpeg_shows_the_same(face: bytes) -> None:
    image = Image.open(BytesIO(face))
    one, other = (saved(image, "JPEG", quality=90, progressive=way) for way in (True, False))
    assert np.array_equal(images.decode(one, 64), images.decode(other, 64))


def test_the_original_size_is_reported() -> None:
    image = images.read(saved(Image.new("RGB", (1200, 800)), "JPEG"), 96)
    assert (image.width, image.height, image.pixels.shape) == (1200, 800, (96, 96, 3))


def test_a_cmyk_jpeg_becomes_rgb() -> None:
    red = Image.new("CMYK", (32, 32), (0, 255, 255, 0))
    assert images.decode(saved(red, "JPEG"), 16)[8, 8].tolist() == pytest.approx((255, 0, 0), abs=40)


def test_the_middle_of_a_long_image_is_kept() -> None:
    image = Image.new("RGB", (300, 100), "black")
    image.paste("white", (100, 0, 200, 100))
    assert images.decode(saved(image), 32).min() > 200


def test_a_large_jpeg_decoded_at_a_reduced_scale_looks_the_same() -> None:
    large = Image.open(BytesIO(draw(40, 1, 1, seed=3))).resize((1600, 1600))
    reduced = images.decode(saved(large, "JPEG", quality=95), 96).astype(int)
    whole = images.decode(saved(large), 96).astype(int)
    assert np.abs(reduced - whole).mean() < 3


def chunked(name: bytes, payload: bytes) -> bytes:
    """A PNG of gray pixels with one more chunk."""
    pixels = (b"IDAT", zlib.compress((b"\0" + b"\x80" * 96) * 32))
    return png([header(32, 32), (name, payload), pixels, (b"IEND", b"")])


BOMB = zlib.compress(bytes(5 * 2**20))


@pytest.mark.parametrize(
    ("name", "payload"),
    [
        (b"iCCP", b"icc\0\0" + BOMB),
        (b"iTXt", b"a\0\1\0\0\0" + BOMB),
        (b"iTXt", b"XML:com.adobe.xmp\0\1\0\0\0" + BOMB),
        (b"zTXt", b"Raw profile type exif\0\0" + BOMB),
        (b"zTXt", b"Raw profile type exif\0\0no zlib"),
        (b"zTXt", b"a\0\7unknown method"),
        (b"tEXt", b""),
        (b"eXIf", b""),
        (b"gAMA", b""),
        (b"pHYs", b"\0"),
        (b"fcTL", b"\0"),
    ],
)
def test_chunks_that_pixels_do_not_need_are_not_inflated(name: bytes, payload: bytes) -> None:
    tracemalloc.start()
    assert images.decode(chunked(name, payload), 16)[8, 8].tolist() == [128, 128, 128]
    assert tracemalloc.get_traced_memory()[1] < 2**20
    tracemalloc.stop()


@pytest.mark.parametrize("name", [b"tEXt", b"zTXt", b"iTXt", b"iCCP", b"eXIf", b"gAMA", b"prVt"])
def test_a_wrong_checksum_of_a_chunk_that_pixels_do_not_need_is_ignored(name: bytes) -> None:
    data = chunked(name, b"a\0\0" + zlib.compress(b"text"))
    place = data.index(b"IDAT") - 8
    assert images.decode(data[:place] + b"none" + data[place + 4 :], 16)[8, 8].tolist() == [128, 128, 128]


@pytest.mark.parametrize(
    "costly",
    [
        costly_requests.png_with_texts,
        costly_requests.png_with_damaged_texts,
        costly_requests.jpeg_with_spread_exif,
        costly_requests.jpeg_with_long_fill,
    ],
)
def test_costly_metadata_costs_no_time(costly: Callable[[], bytes]) -> None:
    data = costly()
    start = time.process_time()
    images.decode(data, 16)
    assert time.process_time() - start < 0.5


def test_an_orientation_counts_before_much_other_metadata() -> None:
    pixels = images.decode(costly_requests.jpeg_with_spread_exif(), 16)
    assert pixels[0, 0, 0] > 200
    assert pixels[0, -1, 0] < 50


def test_many_blank_images_in_few_bytes_cost_no_more_than_one_large_image() -> None:
    blank = costly_requests.webp()
    limits = Limits()
    assert images.inspect(blank).container.width == 4000
    with pytest.raises(ImageTooLargeError, match=r"4000x3999 pixels in \d+ bytes; .* a request of 32"):
        images.inspect(blank, limits, 32)
    for kind in FORMATS:
        photo = saved(Image.effect_noise((1600, 1200), 90).convert("RGB"), kind)
        assert images.inspect(photo, limits, 32).kind == kind


def test_decodes_stay_within_the_memory_that_they_reserve() -> None:
    noise = Image.effect_noise((2000, 2001), 90)
    color = noise.convert("RGB")
    transparent = Image.merge("RGBA", (noise,) * 4)
    exif = Image.Exif()
    exif[0x0112] = 6
    files = [
        saved(color.convert("CMYK"), "JPEG", progressive=True),
        saved(color, "PNG", compress_level=1),
        saved(transparent, "PNG", compress_level=1),
        saved(transparent, "PNG", compress_level=1, exif=exif),
        saved(Image.fromarray(np.asarray(noise).astype(np.uint16)), "PNG", compress_level=1),
        saved(color, "WEBP", method=0),
        saved(transparent, "WEBP", method=0, lossless=True),
    ]
    if "AVIF" in FORMATS:
        files += [saved(color, "AVIF", speed=10), saved(transparent, "AVIF", speed=10, subsampling="4:4:4")]
    code = [sys.executable, "-c", _MEASURE]
    done = subprocess.run(code, input=pickle.dumps(files), capture_output=True, check=True)
    measured = [(int(reserved), int(used)) for reserved, used in map(bytes.split, done.stdout.splitlines())]
    # The model's input, then the whole image.
    assert len(measured) == 2 * len(files)
    # A whole image reserves a copy, which only some need.
    for (reserved, used), least in zip(measured, cycle((0.6, 0.3))):
        # The rest is the decoder's libraries and small blocks.
        assert least * reserved < used < reserved + 2**21


# Prints, for each image, the bytes that its decode reserves and the bytes that it uses.
_MEASURE = """
import pickle, sys
from pathlib import Path
from serving import images, memory

memory.configure_allocator()
def resident(field):
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(field))

def measure(reserved, decode):
    image = images.inspect(data)
    # Import the decoder.
    image.read(16)
    before = resident("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")
    image = images.inspect(data)
    decode(image)
    print(reserved(image), resident("VmHWM") - before)

for data in pickle.load(sys.stdin.buffer):
    measure(lambda image: image.memory(160), lambda image: image.read(160))
    measure(lambda image: image.upright_memory(1), lambda image: image.upright(1))
"""
