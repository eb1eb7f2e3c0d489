"""Small files and bodies that cost a decoder without limits far more memory or time than their size."""

from __future__ import annotations

import json
import random
import struct
import zlib
from base64 import b64encode
from functools import cache

from PIL import Image

from tests.function.bad_images import header, png, saved

BODY = 20 * 2**20
"""Bytes of the largest body."""
BOUNDARY = "boundary"
FORM = f"multipart/form-data; boundary={BOUNDARY}"

_END = (b"IEND", b"")


def _pixels(side: int = 32) -> tuple[bytes, bytes]:
    return b"IDAT", zlib.compress((b"\0" + bytes(3 * side)) * side)


def png_with_texts(count: int = 64) -> bytes:
    """Return a PNG with compressed texts of 1 MiB each, in 1 kB each."""
    texts = [(b"zTXt", b"Comment%d\0\0" % number + zlib.compress(bytes(2**20 - 1))) for number in range(count)]
    return png([header(32, 32), *texts, _pixels(), _END])


def png_with_damaged_texts(count: int = 10_000) -> bytes:
    """Return a PNG with damaged compressed texts of 1 kB each."""
    compressed = zlib.compress(random.Random(0).randbytes(100_000).hex().encode())[:1000]  # noqa: S311
    return png([header(32, 32), *[(b"zTXt", b"a\0\0" + compressed)] * count, _pixels(), _END])


def jpeg_with_spread_exif(size: int = BODY - 2**16) -> bytes:
    """Return a JPEG whose EXIF block of `size` bytes lies in 12,000 segments. Its orientation is 6."""
    exif = Image.Exif()
    exif[0x0112] = 6
    jpeg = saved(Image.linear_gradient("L").resize((64, 64)).convert("RGB"), "JPEG", exif=exif)
    block = b"Exif\0\0" + bytes(size // 12_000)
    segment = b"\xff\xe1" + struct.pack(">H", len(block) + 2) + block
    # After the segment with the orientation.
    start = jpeg.index(b"\xff\xe1")
    end = start + 2 + int.from_bytes(jpeg[start + 2 : start + 4])
    return jpeg[:end] + segment * 12_000 + jpeg[end:]


def jpeg_with_long_fill(size: int = BODY - 2**16) -> bytes:
    """Return a JPEG with fill bytes between its scans."""
    jpeg = saved(Image.linear_gradient("L").convert("RGB"), "JPEG", progressive=True)
    scan = jpeg.rindex(b"\xff\xda")
    return jpeg[:scan] + b"\xff" * size + jpeg[scan:]


@cache
def webp(side: int = 4000, padding: int = 0) -> bytes:
    """Return a blank lossless WebP with `padding` bytes in a chunk that readers skip."""
    still = saved(Image.new("RGBA", (side, side - 1), (9, 9, 9, 99)), "WEBP", lossless=True, method=0, exact=True)
    size = (side - 1).to_bytes(3, "little") + (side - 2).to_bytes(3, "little")
    frame = still[still.index(b"VP8L") :]
    chunks = b"VP8X" + struct.pack("<I", 10) + b"\x10\0\0\0" + size + frame
    chunks += b"junk" + struct.pack("<I", padding) + bytes(padding)
    return b"RIFF" + struct.pack("<I", 4 + len(chunks)) + b"WEBP" + chunks


def json_body(*images: bytes) -> bytes:
    """Return a JSON body of these images."""
    return json.dumps({"instances": [{"b64": b64encode(image).decode()} for image in images]}).encode()


def json_of_empty_objects(size: int = BODY) -> bytes:
    """Return a JSON body of `size` bytes: a list of empty objects."""
    return b'{"instances": [' + b"{}," * ((size - 20) // 3) + b"{}]}"


def json_of_wide_characters(size: int = BODY) -> bytes:
    """Return a JSON body of `size` bytes that Python holds as a text of four bytes per character."""
    return b'{"instances": [{"b64": "' + b"A" * (size - 50) + b'"}], "x": "' + "\U0001f600".encode() + b'"}'


def form(image: bytes) -> bytes:
    """Return a form with one image."""
    head = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="image"; filename="a"\r\n\r\n'
    return head.encode() + image + f"\r\n--{BOUNDARY}--\r\n".encode()


def form_with_long_header(size: int = 16 * 2**20) -> bytes:
    """Return a form with a part whose header has `size` bytes."""
    return f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="'.encode() + b"\r\nX: " * (size // 5)
