"""Read the structure of JPEG, PNG and WebP files, and reduce them to what a decoder needs.

Pillow's parsers spend memory and time on metadata: they inflate the texts of a PNG, and join the segments of a JPEG
again and again. A decoder therefore gets a new file without metadata. It sees no size that was not read here.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator, Sequence
from struct import Struct
from typing import NamedTuple

from serving.formats import CostlyFileError, MalformedFileError

MAX_SEGMENTS = 50_000
"""Segments or chunks of one file. An ordinary file has a few hundred, one with small chunks a few thousand."""
MAX_SCANS = 64
"""Scans of a JPEG. Encoders write about ten, and each costs a pass over the whole image."""
MAX_METADATA = 2**18
"""Bytes of EXIF or XMP that are searched for an orientation."""

_NONE = memoryview(b"")
# Start and end in the file.
_Span = tuple[int, int]


class Container(NamedTuple):
    """What is known of an image before it is decoded."""

    width: int
    """Pixels as stored."""
    height: int
    """Pixels as stored."""
    parts: Sequence[bytes | memoryview]
    """The file without metadata, not copied yet."""
    metadata: dict[str, bytes | str]
    """EXIF and XMP under the names that Pillow gives them, for the orientation."""
    animated: bool = False
    full_decode: bool = True
    """Whether a decode holds every pixel in memory: all do, except a JPEG with all colors in one scan."""
    decoder_bytes: int = 0
    """Memory that the decoder takes beside the file and the decoded image."""

    @property
    def size(self) -> int:
        """Bytes of the file without metadata."""
        return sum(map(len, self.parts))


# JPEG: ITU-T T.81, annex B.
_JPEG_FRAMES = frozenset((*range(0xC0, 0xC4), *range(0xC5, 0xC8), *range(0xC9, 0xCC), *range(0xCD, 0xD0)))
_JPEG_PROGRESSIVE = frozenset((0xC2, 0xC6, 0xCA, 0xCE))
_JPEG_TABLES = frozenset((0xC4, 0xCC, 0xDB, 0xDD))
_JPEG_WITHOUT_LENGTH = frozenset((0x01, *range(0xD0, 0xD9)))
_START_OF_SCAN, _END_OF_IMAGE = 0xDA, 0xD9
_FRAME = Struct(">xHHB")
# Bytes between two segments. Only damaged files have any.
_MAX_GAP = 2**16
_JPEG_XMP = b"http://ns.adobe.com/xap/1.0/\0"


def jpeg(data: bytes) -> Container:
    """Read a JPEG's segments up to its first scan.

    Raises:
        MalformedFileError: there is no frame or no scan.
        CostlyFileError: there are too many segments or scans.
    """
    metadata: dict[str, bytes | str] = {}
    frame = width = height = channels = 0
    # The decoder takes the colors from the first two.
    jfif: list[_Span] = []
    adobe: list[_Span] = []
    tables: list[_Span] = []
    for marker, start, end in _jpeg_segments(data):
        if marker == _START_OF_SCAN:
            break
        if marker in _JPEG_FRAMES:
            if frame or end - start < 4 + _FRAME.size:
                raise MalformedFileError("a second frame, or a short one")
            frame = marker
            height, width, channels = _FRAME.unpack_from(data, start + 4)
        if marker in _JPEG_FRAMES or marker in _JPEG_TABLES:
            tables.append((start, end))
        elif marker == 0xE0 and data.startswith(b"JFIF", start + 4):
            jfif = [(start, end)]
        elif marker == 0xEE and data.startswith(b"Adobe", start + 4):
            adobe = [(start, end)]
        elif marker == 0xE1:
            _add_jpeg_metadata(data[start + 4 : end], metadata)
    else:
        raise MalformedFileError("no scan")
    one_pass = frame not in _JPEG_PROGRESSIVE and data[start + 4] == channels
    if not one_pass and data.count(b"\xff\xda", start) > MAX_SCANS:
        raise CostlyFileError(f"the JPEG has more than {MAX_SCANS} scans")
    return Container(
        width,
        height,
        _parts(data, [(0, 2), *jfif, *adobe, *tables, (start, len(data))]),
        metadata,
        full_decode=not one_pass,
        # Two bytes for each coefficient.
        decoder_bytes=0 if one_pass else 2 * channels * width * height,
    )


def _parts(data: bytes, spans: Iterable[_Span]) -> Sequence[bytes | memoryview]:
    """Return these spans of a file, neighbours as one part. A whole file is one part without a copy."""
    merged: list[_Span] = []
    for start, end in spans:
        begin = merged.pop()[0] if merged and merged[-1][1] == start else start
        merged.append((begin, end))
    if merged == [(0, len(data))]:
        return (data,)
    view = memoryview(data)
    return [view[start:end] for start, end in merged]


def _add_jpeg_metadata(payload: bytes, metadata: dict[str, bytes | str]) -> None:
    if payload.startswith(b"Exif\0\0"):
        # A block above 64 KB continues in the next segment.
        earlier = metadata.get("exif")
        if not isinstance(earlier, bytes):
            metadata["exif"] = payload
        elif len(earlier) + len(payload) <= MAX_METADATA:
            metadata["exif"] = earlier + payload[6:]
    elif payload.startswith(_JPEG_XMP):
        metadata["xmp"] = payload.removeprefix(_JPEG_XMP)


def _jpeg_segments(data: bytes) -> Iterator[tuple[int, int, int]]:
    """Yield marker, start and end of each segment up to the first scan. Bytes between segments are skipped."""
    place = 2
    for _ in range(MAX_SEGMENTS):
        place = data.find(b"\xff", place, place + _MAX_GAP)
        if place < 0 or place + 4 > len(data):
            return
        marker = data[place + 1]
        if marker in (0x00, 0xFF) or marker in _JPEG_WITHOUT_LENGTH:
            place += 1 if marker == 0xFF else 2
            continue
        if marker == _END_OF_IMAGE:
            return
        end = place + 2 + int.from_bytes(data[place + 2 : place + 4])
        if end < place + 4 or end > len(data):
            raise MalformedFileError("a segment is longer than the file")
        yield marker, place, end
        place = end
    raise CostlyFileError(f"the file has more than {MAX_SEGMENTS} segments")


# PNG: ISO/IEC 15948, and its extension for animations.
_PNG_KEPT = (b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND")
_PNG_SIZE = Struct(">IIB")
_RAW_EXIF = b"Raw profile type exif"
_XMP = b"XML:com.adobe.xmp"


def png(data: bytes) -> Container:
    """Read a PNG's chunks. Damaged ancillary chunks do no harm.

    Raises:
        MalformedFileError: the file does not start with a header, or has no pixels.
        CostlyFileError: there are too many chunks.
    """
    view = memoryview(data)
    # An image in many chunks is one part.
    spans = [(0, 8)]
    metadata: dict[str, bytes | str] = {}
    header = _NONE
    frames, pixels, first_frame_is_image = 0, False, False
    for name, start, end in _png_chunks(data):
        payload = view[start + 8 : end - 4]
        if not header:
            if name != b"IHDR" or len(payload) != 13:
                raise MalformedFileError("no header")
            header = payload
        if name == b"acTL":
            frames = max(frames, int.from_bytes(payload[:4]))
        first_frame_is_image |= name == b"fcTL" and not pixels
        pixels |= name == b"IDAT"
        if name in _PNG_KEPT:
            begin = spans.pop()[0] if start == spans[-1][1] else start
            spans.append((begin, end))
        elif name in (b"eXIf", b"tEXt", b"zTXt", b"iTXt") and _is_intact(view[start:end]):
            metadata |= _png_metadata(name, bytes(payload[:MAX_METADATA]))
    if not pixels:
        raise MalformedFileError("no pixels")
    width, height, depth = _PNG_SIZE.unpack_from(header)
    animated = frames > 1 or (frames == 1 and not first_frame_is_image)
    # Levels of 16 bits are copied twice more.
    extra = 2 * width * height if depth == 16 else 0
    return Container(width, height, _parts(data, spans), metadata, animated, decoder_bytes=extra)


def _png_chunks(data: bytes) -> Iterator[tuple[bytes, int, int]]:
    """Yield name, start and end of each chunk up to IEND."""
    place = 8
    for _ in range(MAX_SEGMENTS):
        if place + 8 > len(data):
            return
        name = data[place + 4 : place + 8]
        end = place + 12 + int.from_bytes(data[place : place + 4])
        yield name, place, end
        if name == b"IEND":
            return
        place = end
    raise CostlyFileError(f"the file has more than {MAX_SEGMENTS} chunks")


def _is_intact(chunk: memoryview) -> bool:
    return len(chunk) < MAX_METADATA and zlib.crc32(chunk[4:-4]) == int.from_bytes(chunk[-4:])


def _png_metadata(name: bytes, payload: bytes) -> dict[str, bytes | str]:
    """Return EXIF or XMP of a chunk. Other texts are not inflated."""
    if name == b"eXIf":
        return {"exif": b"Exif\0\0" + payload}
    keyword, _, text = payload.partition(b"\0")
    if keyword not in (_RAW_EXIF, _XMP):
        return {}
    compressed = name == b"zTXt"
    if compressed:
        # A byte names the method; there is only one.
        text = text[1:]
    elif name == b"iTXt":
        compressed = text[:1] == b"\1"
        # Two bytes on compression, language, translated keyword, text.
        text = text[2:].split(b"\0", 2)[-1]
    if compressed:
        inflating = zlib.decompressobj()
        try:
            text = inflating.decompress(text, MAX_METADATA)
        except zlib.error:
            return {}
        if inflating.unconsumed_tail:
            return {}
    return {"xmp": text} if keyword == _XMP else {_RAW_EXIF.decode(): text.decode("latin-1")}


# WebP: RFC 9649.
_WEBP_ALPHA = 0x10
# A still image has at most seven chunks that readers know, an animation one for each frame.
_MAX_WEBP_CHUNKS = 2000
_WEBP_FRAMES = (b"VP8 ", b"VP8L")


def webp(data: bytes) -> Container:
    """Read a WebP's chunks. An animation of one frame that fills the canvas becomes a still image.

    Raises:
        MalformedFileError: the file is cut, has no frame, or its canvas and its frame differ in size.
        CostlyFileError: there are too many chunks.
    """
    view = memoryview(data)
    chunks = _webp_chunks(view[12 : 8 + int.from_bytes(view[4:8], "little")])
    named = dict(reversed(chunks))
    canvas = named.get(b"VP8X", _NONE)
    metadata: dict[str, bytes | str] = {}
    for key, name in (("exif", b"EXIF"), ("xmp", b"XMP ")):
        if name in named and len(named[name]) <= MAX_METADATA:
            metadata[key] = bytes(named[name])
    if frames := [payload for name, payload in chunks if name == b"ANMF"]:
        width, height = _webp_canvas(canvas)
        # The first frame's place is 0, 0 and its size is the canvas's.
        if len(frames) > 1 or frames[0][:12] != bytes(6) + bytes(canvas[4:10]):
            return Container(width, height, (), metadata, animated=True)
        named = dict(reversed(_webp_chunks(frames[0][16:])))
    frame = next((name for name in _WEBP_FRAMES if name in named), None)
    if frame is None:
        raise MalformedFileError("no frame")
    width, height = _webp_frame(frame, named[frame])
    kept = [(frame, named[frame])]
    if canvas:
        if _webp_canvas(canvas) != (width, height):
            raise MalformedFileError("the canvas and the frame differ in size")
        if b"ALPH" in named:
            kept.insert(0, (b"ALPH", named[b"ALPH"]))
        header = bytes((canvas[0] & _WEBP_ALPHA, 0, 0, 0)) + bytes(canvas[4:10])
        kept.insert(0, (b"VP8X", memoryview(header)))
    # The decoder holds two canvases and a copy of one, and a copy of the file.
    return Container(width, height, _riff(kept), metadata, decoder_bytes=4 * width * height + len(data))


def _webp_chunks(view: memoryview) -> list[tuple[bytes, memoryview]]:
    """Return name and payload of each chunk."""
    chunks: list[tuple[bytes, memoryview]] = []
    place = 0
    while place + 8 <= len(view):
        if len(chunks) == _MAX_WEBP_CHUNKS:
            raise CostlyFileError(f"the file has more than {_MAX_WEBP_CHUNKS} chunks")
        end = place + 8 + int.from_bytes(view[place + 4 : place + 8], "little")
        if end > len(view):
            raise MalformedFileError("a chunk is longer than the file")
        chunks.append((bytes(view[place : place + 4]), view[place + 8 : end]))
        place = end + end % 2
    return chunks


def _riff(chunks: list[tuple[bytes, memoryview]]) -> list[bytes | memoryview]:
    parts: list[bytes | memoryview] = []
    for name, payload in chunks:
        parts += (name, len(payload).to_bytes(4, "little"), payload, bytes(len(payload) % 2))
    return [b"RIFF", (4 + sum(map(len, parts))).to_bytes(4, "little"), b"WEBP", *parts]


def _webp_canvas(header: memoryview) -> tuple[int, int]:
    if len(header) < 10:
        raise MalformedFileError("no canvas")
    return 1 + int.from_bytes(header[4:7], "little"), 1 + int.from_bytes(header[7:10], "little")


def _webp_frame(name: bytes, payload: memoryview) -> tuple[int, int]:
    """Return the size in the bitstream of a lossy or lossless frame."""
    header = bytes(payload[:10])
    if len(header) == 10 and name == b"VP8 " and header[3:6] == b"\x9d\x01\x2a":
        return int.from_bytes(header[6:8], "little") & 0x3FFF, int.from_bytes(header[8:], "little") & 0x3FFF
    if len(header) == 10 and name == b"VP8L" and header[0] == 0x2F:
        bits = int.from_bytes(header[1:5], "little")
        return 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
    raise MalformedFileError("no frame header")
