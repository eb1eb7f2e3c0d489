"""The formats that an image may have: told by its first bytes, whatever the sender calls it."""

from __future__ import annotations

import io
import warnings
from importlib.util import find_spec

from PIL import ImageFile

# Pillow is also built without AVIF.
FORMATS = ("JPEG", "PNG", "WEBP", *(("AVIF",) if find_spec("PIL._avif") else ()))

# Pillow's remarks on odd metadata say nothing to a sender, and Python keeps each new text in memory for good.
warnings.filterwarnings("ignore", module=r"PIL\.")

# A parser of headers asks for a few bytes at a time. An honest file needs some hundred reads, or a few thousand where
# an encoder cut its data small; 20 MB of empty segments need millions, and seconds.
MAX_READS = 50_000
# Each scan of a JPEG in several scans costs a pass over the whole image; encoders write about ten.
MAX_SCANS = 64
_START_OF_SCAN = b"\xff\xda"

# What people send by mistake, to name it to them.
_STRANGERS = {
    b"GIF8": "a GIF",
    b"BM": "a BMP",
    b"II*\0": "a TIFF",
    b"MM\0*": "a TIFF",
    b"\0\0\1\0": "an icon",
    b"\xff\x0a": "a JPEG XL",
    b"\0\0\0\x0cJXL ": "a JPEG XL",
    b"\0\0\0\x0cjP  ": "a JPEG 2000",
    b"8BPS": "a Photoshop document",
    b"%PDF": "a PDF",
    b"PK\3\4": "a ZIP archive",
    b"\x1f\x8b": "a gzip archive",
}
_HEIC_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"mif1", b"msf1")


class CostlyFileError(Exception):
    """The file is made so that reading it costs far more than its size."""


class _Reader(io.BytesIO):
    """Bytes that can be asked for only so many times."""

    reads = 0

    def read(self, size: int | None = -1, /) -> bytes:
        self.reads += 1
        if self.reads > MAX_READS:
            raise CostlyFileError(f"the file falls into more than {MAX_READS} pieces")
        return super().read(size)


def name(data: bytes) -> str:
    """One of `FORMATS`, or "" where the bytes are none of them."""
    if data.startswith(b"\xff\xd8\xff"):
        return "JPEG"
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        return "PNG"
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "WEBP"
    # An AVIF may name itself a general container first, and what it holds only in its list of compatible brands.
    if data[4:8] == b"ftyp" and (b"avif" in data[8:64] or b"avis" in data[8:12]) and "AVIF" in FORMATS:
        return "AVIF"
    return ""


def describe(data: bytes) -> str:
    """In words, what bytes are that no `name` is known for."""
    for start, stranger in _STRANGERS.items():
        if data.startswith(start):
            return stranger
    if data[4:8] == b"ftyp":
        return "a HEIC" if data[8:12] in _HEIC_BRANDS else "a video, or an image in a video's container"
    if data[:64].lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"<"):
        return "SVG, HTML or other XML"
    return "no image of a known format"


def read_header(kind: str, data: bytes) -> ImageFile.ImageFile:
    """The image of a format of `FORMATS`, opened and not yet decoded.

    The formats are opened directly: Pillow's own search would first import a dozen others, and would take the second
    image that phones append to a JPEG for an image in its own right.

    Raises:
        Exception: of any type, since the parsers do that on hostile bytes.
    """
    stream = _Reader(data)
    if kind == "JPEG":
        from PIL.JpegImagePlugin import JpegImageFile

        return JpegImageFile(stream)
    if kind == "PNG":
        from PIL.PngImagePlugin import PngImageFile

        return PngImageFile(stream)
    if kind == "WEBP":
        from PIL.WebPImagePlugin import WebPImageFile

        return WebPImageFile(stream)
    from PIL import AvifImagePlugin

    # Requests already share the processors.
    AvifImagePlugin.DEFAULT_MAX_THREADS = 1
    return AvifImagePlugin.AvifImageFile(stream)


def held_whole(image: ImageFile.ImageFile, data: bytes) -> bool:
    """Whether decoding holds every pixel in memory: so does all but a JPEG whose only scan has all its colours.

    Raises:
        CostlyFileError: a JPEG has too many scans.
    """
    if image.format != "JPEG":
        return True
    if "progressive" not in image.info and _is_interleaved(image, data):
        return False
    if data.count(_START_OF_SCAN) > MAX_SCANS:
        raise CostlyFileError(f"the JPEG has more than {MAX_SCANS} scans")
    return True


def _is_interleaved(image: ImageFile.ImageFile, data: bytes) -> bool:
    """Whether the first scan, whose header was read last, has all colours."""
    components = len(image.getbands())
    header = _START_OF_SCAN + (6 + 2 * components).to_bytes(2) + bytes((components,))
    start = image.fp.tell() - (8 + 2 * components) if image.fp else 0
    return data.startswith(header, start)
