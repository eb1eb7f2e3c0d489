"""Image formats, detected from the first bytes and opened with Pillow's parsers."""

from __future__ import annotations

import io
import warnings
from importlib.util import find_spec

from PIL import Image, ImageFile

FORMATS = ("JPEG", "PNG", "WEBP", *(("AVIF",) if find_spec("PIL._avif") else ()))
"""Accepted formats. Some builds of Pillow lack AVIF."""

# Pillow's warnings about odd metadata do not help a client, and Python keeps every new text in memory.
warnings.filterwarnings("ignore", module=r"PIL\.")

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


class MalformedFileError(Exception):
    """The file does not have the structure of its format."""


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


def open_image(kind: str, data: bytes) -> ImageFile.ImageFile:
    """Open an image of a format in FORMATS, except WebP, without decoding it.

    The parser is called directly. `Image.open` would first import a dozen other parsers, and would read the second
    image that phones append to a JPEG.

    Raises:
        Exception: the data is malformed. Pillow's parsers raise many types.
    """
    stream = io.BytesIO(data)
    if kind == "JPEG":
        from PIL.JpegImagePlugin import JpegImageFile

        image = JpegImageFile(stream)
        # In smaller blocks, bytes that the decoder cannot use yet would be copied and read again and again.
        image.decodermaxblock = len(data)
        return image
    if kind == "PNG":
        from PIL.PngImagePlugin import PngImageFile

        return PngImageFile(stream)
    from PIL import AvifImagePlugin

    # Concurrent requests already use all processors.
    AvifImagePlugin.DEFAULT_MAX_THREADS = 1
    return AvifImagePlugin.AvifImageFile(stream)


def webp(data: bytes) -> Image.Image:
    """Decode a still WebP as RGBX or RGBA.

    Pillow's own `load` copies the pixels while the decoder still holds two canvases.

    Raises:
        Exception: the data is malformed.
    """
    from PIL.WebPImagePlugin import WebPImageFile

    image = WebPImageFile(io.BytesIO(data))
    pixels, _, _ = image._get_next()
    return Image.frombuffer(image.rawmode, image.size, pixels, "raw", image.rawmode, 0, 1)
