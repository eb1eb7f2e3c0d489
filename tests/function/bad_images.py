"""Crafted images that must be refused, each with a name, its bytes and its error."""

from __future__ import annotations

import base64
import pickle
import random
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from io import BytesIO

from PIL import Image

from serving.formats import FORMATS
from serving.images import ImageError, ImageTooLargeError, UnknownFormatError
from training.faces import draw

PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
# HTTP status by error.
STATUS = {UnknownFormatError: 415, ImageTooLargeError: 413, ImageError: 422}

Chunks = list[tuple[bytes, bytes]]


@dataclass(frozen=True)
class BadImage:
    """Bytes, and the error that they raise."""

    name: str
    data: bytes
    error: type[ImageError]


@cache
def bad_images() -> list[BadImage]:
    """Return all of them, in about one second."""
    rows = [
        *((name, data, UnknownFormatError) for name, data in _other_formats()),
        *((name, data, ImageTooLargeError) for name, data in _giants()),
        *((name, data, ImageError) for name, data in _broken_jpegs()),
        *((name, data, ImageError) for name, data in _broken_pngs()),
        *((name, data, ImageError) for name, data in _broken_webps()),
        *((name, data, ImageError) for name, data in _broken_avifs()),
        *((name, data, ImageError) for name, data in _odd_sizes()),
    ]
    return [BadImage(*row) for row in rows]


def saved(image: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    """Return the image as a file's bytes."""
    out = BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def png(chunks: Chunks) -> bytes:
    """Return a PNG of these chunks, with right lengths and checksums."""
    return PNG_SIGNATURE + b"".join(_chunk(name, data) for name, data in chunks)


def header(width: int, height: int, depth: int = 8, color_type: int = 2, compression: int = 0) -> tuple[bytes, bytes]:
    """Return a PNG's chunk IHDR."""
    return b"IHDR", struct.pack(">IIBBBBB", width, height, depth, color_type, compression, 0, 0)


def _chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


_FACE = draw(age=30, gender=0, ethnicity=0, seed=5)
_END = (b"IEND", b"")


def _image(side: int = 64) -> Image.Image:
    return Image.open(BytesIO(_FACE)).resize((side, side))


def _other_formats() -> Iterator[tuple[str, bytes]]:
    image = _image()
    noise = random.Random(1).randbytes(5000)  # noqa: S311 - any bytes will do
    yield "nothing at all", b""
    yield "one byte", b"\xff"
    yield "zeros", bytes(10_000)
    yield "random bytes", noise
    yield "plain text", b"this is no image"
    yield "JSON", b'{"image": "face.jpg"}'
    yield "base64 of a JPEG", base64.b64encode(_FACE)
    yield "JPEG without its first byte", _FACE[1:]
    yield "JPEG behind a ZIP archive", b"PK\x03\x04" + bytes(26) + _FACE
    yield "JPEG behind a line break", b"\n" + _FACE
    yield "PNG whose line ends were translated", saved(image, "PNG").replace(b"\r\n", b"\n")
    yield "GIF", saved(image, "GIF")
    yield "animated GIF", saved(image, "GIF", save_all=True, append_images=[image.rotate(90)])
    yield "BMP", saved(image, "BMP")
    yield "TIFF", saved(image, "TIFF")
    yield "TIFF, big-endian", b"MM\0*" + bytes(100)
    yield "icon", saved(image, "ICO")
    yield "PPM", saved(image, "PPM")
    yield "PostScript", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 64 64\n(run) print\n"
    yield "PDF", b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n1 0 obj\n<< >>\nendobj\n"
    yield "SVG", b'<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>'
    yield "SVG with a prologue and an entity", b'<?xml version="1.0"?><!DOCTYPE svg [<!ENTITY a "&a;">]><svg/>'
    yield "HTML", b"<!DOCTYPE html><title>403</title>"
    yield "HTML behind a byte order mark", b"\xef\xbb\xbf \r\n<html></html>"
    yield "ZIP archive", b"PK\x03\x04" + noise
    yield "gzip archive", b"\x1f\x8b\x08\0" + noise
    yield "JPEG 2000", b"\0\0\0\x0cjP  \r\n\x87\n" + noise
    yield "JPEG XL", b"\xff\x0a" + noise
    yield "Photoshop document", b"8BPS\0\1" + noise
    yield "HEIC", b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + noise
    yield "MP4", b"\0\0\0\x18ftypisom\0\0\0\0isommp42" + noise
    yield "WAVE", b"RIFF\x24\0\0\0WAVEfmt " + noise
    yield "Python pickle", pickle.dumps({"image": 1})
    yield "ELF program", b"\x7fELF\2\1\1" + noise


def _giants() -> Iterator[tuple[str, bytes]]:
    image = _image()
    pixels = (b"IDAT", zlib.compress(bytes(1000)))
    yield "PNG of 81 million pixels in 10 kB", saved(Image.new("1", (9000, 9000)), "PNG")
    yield "PNG of the largest size that can be written", png([header(2**31 - 1, 2**31 - 1), pixels, _END])
    yield "PNG of 25 million pixels, which needs a full-size decode", png([header(5000, 5000), pixels, _END])
    yield "PNG of 25 million pixels of 16 bits", png([header(5000, 5000, depth=16, color_type=6), pixels, _END])
    yield "JPEG of 65500x65500", _resized_jpeg(_FACE, 65_500, 65_500)
    yield "JPEG just above the limit", _resized_jpeg(_FACE, 7072, 7072)
    yield (
        "progressive JPEG of 25 million pixels",
        _resized_jpeg(saved(_image(), "JPEG", progressive=True), 5000, 5000),
    )
    yield "JPEG of 25 million pixels, a scan for each color", _resized_jpeg(_one_color_a_scan(_FACE), 5000, 5000)
    yield "WebP of 16383x16383", _patched(saved(image, "WEBP", lossless=True), 21, b"\xff\xff\xff\x0f")


def _broken_jpegs() -> Iterator[tuple[str, bytes]]:
    scan = _FACE.index(b"\xff\xda")
    frame = _FACE.index(b"\xff\xc0")
    yield "JPEG of its signature only", _FACE[:3]
    yield "JPEG of a signature and text", b"\xff\xd8\xff\xe0 broken"
    yield "JPEG cut in its header", _FACE[:100]
    yield "JPEG cut before its pixels", _FACE[:scan]
    yield "JPEG cut in its pixels", _FACE[:1500]
    yield "JPEG that lacks its last half", _FACE[: len(_FACE) // 2]
    yield "JPEG without a frame", _FACE[:frame] + _FACE[frame + 19 :]
    yield "JPEG without height", _resized_jpeg(_FACE, 100, 0)
    yield "JPEG of 12 bits", _patched(_FACE, frame + 4, b"\x0c")
    yield "JPEG of two colors", _patched(_FACE, frame + 9, b"\x02")
    yield "JPEG of 255 colors", _patched(_FACE, frame + 9, b"\xff")
    yield "JPEG, lossless process", _patched(_FACE, frame + 1, b"\xc3")
    yield "JPEG, hierarchical process", _patched(_FACE, frame + 1, b"\xc5")
    yield "JPEG with a sampling factor of zero", _patched(_FACE, frame + 11, b"\x00")
    yield "JPEG that uses a table it lacks", _patched(_FACE, frame + 12, b"\x03")
    yield "JPEG with a broken Huffman table", _patched(_FACE, _FACE.index(b"\xff\xc4") + 5, b"\xff" * 16)
    yield "JPEG with a segment longer than the file", _FACE[:2] + b"\xff\xe1\xff\xff" + _FACE[2:2000]
    yield "JPEG of a million empty segments", _FACE[:2] + b"\xff\xe5\x00\x02" * 10**6 + _FACE[2:]
    yield "JPEG with a million bytes between its segments", _FACE[:2] + b"\xff\xe5\x00\x02" + bytes(10**6) + _FACE[2:]
    progressive = saved(_image(), "JPEG", progressive=True)
    last = progressive.rindex(b"\xff\xda")
    yield "JPEG of 10,000 scans", progressive[:-2] + progressive[last:-2] * 10_000 + b"\xff\xd9"
    yield "several JPEGs whose first is cut", _FACE[:1500] + _FACE


def _broken_pngs() -> Iterator[tuple[str, bytes]]:
    image = _image()
    good = saved(image, "PNG")
    data = good.index(b"IDAT")
    pixels = (b"IDAT", zlib.compress((b"\0" + bytes(96)) * 32))
    yield "PNG of its signature only", PNG_SIGNATURE
    yield "PNG cut in its header", good[:20]
    yield "PNG cut in its pixels", good[: len(good) // 2]
    yield "PNG without pixels", png([header(32, 32), _END])
    yield "PNG whose pixels are no zlib", png([header(32, 32), (b"IDAT", b"no zlib" * 100), _END])
    yield "PNG whose header has a wrong checksum", _patched(good, 29, b"\0\0\0\0")
    yield "PNG whose pixels have a wrong checksum", _patched(good, data + 8, b"\xff\xff\xff")
    yield "PNG without a header", png([pixels, _END])
    yield "PNG of width zero", png([header(0, 32), pixels, _END])
    yield "PNG of 3 bits", png([header(32, 32, depth=3), pixels, _END])
    yield "PNG of color type 5", png([header(32, 32, color_type=5), pixels, _END])
    yield "PNG of an unknown filter", png([header(32, 32), (b"IDAT", zlib.compress((b"\x09" + bytes(96)) * 32)), _END])
    yield "PNG with a chunk of 4 GB", good[:33] + b"\xff\xff\xff\xffiTXt" + good[33:]
    yield "PNG of one-byte header", png([(b"IHDR", b"\0"), pixels, _END])
    yield "PNG whose only frame is not its image", png([header(32, 32), (b"acTL", b"\0\0\0\1" * 2), pixels, _END])
    yield "PNG whose pixels come byte by byte", png([header(32, 32), *[(b"IDAT", b"x")] * 60_000, _END])
    yield "PNG with 60,000 private chunks", png([header(32, 32), *[(b"prVt", b"")] * 60_000, pixels, _END])
    yield "PNG in Apple's own dialect", png([(b"CgBI", b"\x50\0\x20\2"), header(32, 32), (b"IDAT", b"\x63\0\0"), _END])
    yield "animated PNG", saved(image, "PNG", save_all=True, append_images=[image.rotate(90)])


def _broken_webps() -> Iterator[tuple[str, bytes]]:
    image = _image()
    good = saved(image, "WEBP")
    yield "WebP of its signature only", good[:12]
    yield "WebP cut in its header", good[:24]
    yield "WebP cut in its pixels", good[: len(good) // 2]
    yield "WebP of random pixels", good[:30] + random.Random(2).randbytes(len(good) - 30)  # noqa: S311
    yield "lossless WebP cut in its pixels", saved(image, "WEBP", lossless=True)[:2000]
    yield "WebP of an unknown kind", _patched(good, 12, b"VP9 ")
    yield "WebP without a frame", b"RIFF\x16\0\0\0WEBPVP8X\x0a\0\0\0" + bytes(10)
    yield (
        "WebP whose canvas is larger than its frame",
        _patched(saved(image, "WEBP", exif=b"Exif\0\0MM\0*"), 24, b"\x9f\x0f\0\x9e\x0f\0"),
    )
    yield "WebP with one small frame on a large canvas", webp_with_large_canvas()
    yield "animated WebP", saved(image, "WEBP", save_all=True, append_images=[image.rotate(90)])


def _broken_avifs() -> Iterator[tuple[str, bytes]]:
    if "AVIF" not in FORMATS:
        return
    image = _image()
    good = saved(image, "AVIF", speed=10)
    yield "AVIF of its signature only", good[:32]
    yield "AVIF cut in its header", good[:100]
    yield "AVIF cut in its pixels", good[:-200]
    yield "AVIF whose payload is larger than it states", avif_of_another_size(1000)
    yield "AVIF without items", good[:40] + b"meta" + good[44:].replace(b"iinf", b"free")
    yield "AVIF with an item in two places", good.replace(b"\0\x01\0\0\0\x01\0\0", b"\0\x01\0\0\0\xff\0\0", 1)
    yield "AVIF whose frame precedes its sequence header", good.replace(b"\x12\0\x0a", b"\x12\0\x32", 1)
    yield "AVIF that states another size", good.replace(struct.pack(">II", 64, 64), struct.pack(">II", 30_000, 30_000))
    yield "animated AVIF", saved(image, "AVIF", speed=10, save_all=True, append_images=[image.rotate(90)])


def _odd_sizes() -> Iterator[tuple[str, bytes]]:
    yield "one pixel", saved(Image.new("RGB", (1, 1)), "PNG")
    yield "a side too short", saved(Image.new("RGB", (15, 90)), "PNG")
    yield "a lying strip", saved(Image.new("RGB", (330, 32)), "JPEG")
    yield "a standing strip", saved(Image.new("RGB", (32, 330)), "WEBP")
    yield "a line of 65,000 pixels", saved(Image.new("RGB", (65_000, 16)), "JPEG")


def webp_with_large_canvas() -> bytes:
    """Return an animated WebP of 4000x3999 pixels whose only frame has 64x64."""
    first, second = Image.new("RGB", (64, 64), "red"), Image.new("RGB", (64, 64), "blue")
    animated = saved(first, "WEBP", save_all=True, append_images=[second])
    start = animated.index(b"ANMF")
    end = start + 8 + int.from_bytes(animated[start + 4 : start + 8], "little")
    canvas = animated.index(b"VP8X") + 12
    data = bytearray(animated[:end])
    data[canvas : canvas + 6] = (3999).to_bytes(3, "little") + (3998).to_bytes(3, "little")
    data[4:8] = struct.pack("<I", len(data) - 8)
    return bytes(data)


def avif_of_another_size(side: int = 4000) -> bytes:
    """Return an AVIF whose container states 64x64 pixels, and whose payload has `side` x `side`."""
    large = saved(Image.new("L", (side, side), 99), "AVIF", speed=10, subsampling="4:0:0")
    return large.replace(struct.pack(">II", side, side), struct.pack(">II", 64, 64))


def _patched(data: bytes, place: int, new: bytes) -> bytes:
    return data[:place] + new + data[place + len(new) :]


def _resized_jpeg(data: bytes, width: int, height: int) -> bytes:
    """Return the file with another size in its header."""
    frame = max(data.find(b"\xff\xc0"), data.find(b"\xff\xc2"))
    return _patched(data, frame + 5, struct.pack(">HH", height, width))


def _one_color_a_scan(data: bytes) -> bytes:
    """Return the JPEG with a first scan whose header names one of its three colors."""
    scan = data.index(b"\xff\xda")
    return data[:scan] + b"\xff\xda\x00\x08\x01\x01\x00\x00\x3f\x00" + data[scan + 14 :]
