"""Image formats, detected from the first bytes and opened with Pillow's parsers."""

from __future__ import annotations

import io
import warnings
from importlib.util import find_spec

from PIL import ImageFile

FORMATS = ("JPEG", "PNG", "WEBP", *(("AVIF",) if find_spec("PIL._avif") else ()))
"""Accepted formats. Some builds of Pillow lack AVIF."""

# Pillow's warnings about odd metadata do not help a client, and Python keeps every new text in memory.
warnings.filterwarnings("ignore", module=r"PIL\.")

MAX_READS = 50_000
"""Reads of one file. An ordinary file needs a few hundred, one with small chunks a few thousand.

Empty segments of 20 MB in all need millions of reads, and seconds.
"""
MAX_SCANS = 64
"""Scans of a JPEG. Encoders write about ten, and each costs a pass over the whole image."""
_START_OF_SCAN = b"\xff\xda"

# Other formats by their first bytes, to name them in the error.
_OTHER_FORMATS = {
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
    """Reading the file would cost far more than a file of its size should."""


class _Reader(io.BytesIO):
    """A stream that allows MAX_READS reads."""

    reads = 0

    def read(self, size: int | None = -1, /) -> bytes:
        self.reads += 1
        if self.reads > MAX_READS:
            raise CostlyFileError(f"the file has more than {MAX_READS} segments")
        return super().read(size)


def name(data: bytes) -> str:
    """Return the name in FORMATS of the data's format, or "" if there is none."""
    if data.startswith(b"\xff\xd8\xff"):
        return "JPEG"
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        return "PNG"
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "WEBP"
    # An AVIF's major brand may be a general container; its list of compatible brands then names AVIF.
    if data[4:8] == b"ftyp" and (b"avif" in data[8:64] or b"avis" in data[8:12]) and "AVIF" in FORMATS:
        return "AVIF"
    return ""


def describe(data: bytes) -> str:
    """Return a phrase for data without a `name`, for an error message."""
    for start, format_name in _OTHER_FORMATS.items():
        if data.startswith(start):
            return format_name
    if data[4:8] == b"ftyp":
        return "a HEIC" if data[8:12] in _HEIC_BRANDS else "a video, or an image in a video's container"
    if data[:64].lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"<"):
        return "SVG, HTML or other XML"
    return "not an image of a known format"


def read_header(kind: str, data: bytes) -> ImageFile.ImageFile:
    """Open an image of a format in FORMATS without decoding it.

    The parser is called directly. `Image.open` would first import a dozen other parsers, and would read the second
    image that phones append to a JPEG.

    Raises:
        Exception: the data is malformed. Pillow's parsers raise many types.
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

    # Concurrent requests already use all processors.
    AvifImagePlugin.DEFAULT_MAX_THREADS = 1
    return AvifImagePlugin.AvifImageFile(stream)


def needs_full_decode(image: ImageFile.ImageFile, data: bytes) -> bool:
    """Return whether a decode holds every pixel in memory, which all do but a JPEG with all colors in one scan.

    Raises:
        CostlyFileError: the JPEG has too many scans.
    """
    if image.format != "JPEG":
        return True
    if "progressive" not in image.info and _is_interleaved(image, data):
        return False
    if data.count(_START_OF_SCAN) > MAX_SCANS:
        raise CostlyFileError(f"the JPEG has more than {MAX_SCANS} scans")
    return True


def _is_interleaved(image: ImageFile.ImageFile, data: bytes) -> bool:
    """Return whether the first scan, whose header was read last, has all colors."""
    components = len(image.getbands())
    header = _START_OF_SCAN + (6 + 2 * components).to_bytes(2) + bytes((components,))
    start = image.fp.tell() - (8 + 2 * components) if image.fp else 0
    return data.startswith(header, start)
