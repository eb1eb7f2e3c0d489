"""Read from an AVIF file how much memory its decoder takes.

The container states a size, and so does each AV1 payload. The decoder allocates frames of the payload's size before it
compares the two. This module finds every payload that the decoder can reach, and bounds its frames.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from serving.formats import CostlyFileError, MalformedFileError

MAX_ITEMS = 1000
"""Items of one file. A photograph has three to ten, one made of tiles up to a few hundred."""
MAX_METADATA = 2**21
"""Bytes of the boxes that describe items, and of items that are not images, such as EXIF and XMP."""

# AV1 bitstream, section 6.2.2.
_SEQUENCE_HEADER, _FRAME_HEADER, _FRAME = 1, 3, 6
# AV1 bitstream, section 5.5.2: "the stream chooses", for two tools.
_SELECT = 2
_HEADER_BYTES = 256


class Payloads(NamedTuple):
    """The AV1 payloads of a file."""

    pixels: int
    """Pixels of the largest payload."""
    tiled: bool
    """Whether the image is made of several payloads."""
    decoder_bytes: int
    """Memory of all frames of all payloads."""
    animated: bool


def payloads(data: bytes) -> Payloads:
    """Bound the frames of an AVIF's payloads.

    Raises:
        MalformedFileError: the file is malformed, or has a structure that image encoders do not write.
        CostlyFileError: there are too many items or too much metadata.
    """
    top = list(_boxes(memoryview(data)))
    metas = [box for name, box in top if name == b"meta"]
    if len(metas) != 1:
        raise MalformedFileError("no or several boxes meta")
    # Sequences have the brand avis and a box moov.
    animated = data[8:12] == b"avis" or any(name == b"moov" for name, _ in top)
    inner = list(_boxes(metas[0][4:]))
    meta = dict(inner)
    if len(meta) != len(inner):
        raise MalformedFileError("a box of meta occurs twice")
    iinf, iloc = meta.get(b"iinf"), meta.get(b"iloc")
    if not iinf or not iloc:
        raise MalformedFileError("no items")
    kinds = _item_kinds(iinf)
    metadata = len(metas[0]) - len(meta.get(b"idat", b""))
    pixels = decoder_bytes = seen = 0
    for item, extents in _locations(iloc, memoryview(data), meta.get(b"idat", memoryview(b""))):
        size = sum(map(len, extents))
        seen += size
        if seen > len(data):
            raise MalformedFileError("items overlap")
        if kinds.get(item) == b"av01":
            stated, needed = _frames(extents[0] if len(extents) == 1 else memoryview(b"".join(extents)))
            pixels = max(pixels, stated)
            decoder_bytes += needed
        else:
            metadata += size
    if metadata > MAX_METADATA:
        raise CostlyFileError(f"the AVIF has more than {MAX_METADATA} bytes of metadata")
    tiled = b"grid" in kinds.values()
    # The payloads of tiles are copied into one image. The decoder's own state takes less than a tenth of its frames.
    return Payloads(pixels, tiled, decoder_bytes * (2 if tiled else 1) * 11 // 10, animated)


def _boxes(view: memoryview) -> Iterator[tuple[bytes, memoryview]]:
    """Yield name and content of each box: ISO/IEC 14496-12, section 4.2."""
    place = 0
    for _ in range(MAX_ITEMS):
        if place + 8 > len(view):
            return
        size, header = int.from_bytes(view[place : place + 4]), 8
        if size == 1:
            size, header = int.from_bytes(view[place + 8 : place + 16]), 16
        elif size == 0:
            size = len(view) - place
        if size < header:
            raise MalformedFileError("a box is shorter than its header")
        yield bytes(view[place + 4 : place + 8]), view[place + header : place + size]
        place += size
    raise CostlyFileError(f"the file has more than {MAX_ITEMS} boxes")


class _Fields:
    """Reads big-endian fields one after the other."""

    def __init__(self, view: memoryview) -> None:
        self._view = view
        self._place = 0

    def read(self, size: int) -> int:
        field = self._view[self._place : self._place + size]
        if len(field) < size:
            raise MalformedFileError("a box is cut")
        self._place += size
        return int.from_bytes(field)


def _item_kinds(iinf: memoryview) -> dict[int, bytes]:
    """Return the type of each item."""
    kinds: dict[int, bytes] = {}
    for name, entry in _boxes(iinf[6 if iinf[0] == 0 else 8 :]):
        if name != b"infe":
            continue
        fields = _Fields(entry)
        version = fields.read(4) >> 24
        item = fields.read(2 if version < 3 else 4)
        fields.read(2)
        if version < 2 or item in kinds:
            raise MalformedFileError("an item has no type, or several")
        kinds[item] = fields.read(4).to_bytes(4)
    return kinds


def _locations(iloc: memoryview, file: memoryview, idat: memoryview) -> Iterator[tuple[int, list[memoryview]]]:
    """Yield the parts of each item: ISO/IEC 14496-12, section 8.11.3."""
    fields = _Fields(iloc)
    version = fields.read(4) >> 24
    sizes = fields.read(2)
    offset_size, length_size, base_size, index_size = (sizes >> shift & 15 for shift in (12, 8, 4, 0))
    known = set()
    count = fields.read(2 if version < 2 else 4)
    if count > MAX_ITEMS:
        raise CostlyFileError(f"the AVIF has more than {MAX_ITEMS} items")
    for _ in range(count):
        item = fields.read(2 if version < 2 else 4)
        method = fields.read(2) & 15 if version else 0
        fields.read(2)
        base = fields.read(base_size)
        extents = []
        parts = fields.read(2)
        if method > 1 or parts > MAX_ITEMS or item in known:
            raise MalformedFileError("an item lies in an unusual place")
        known.add(item)
        source = idat if method else file
        for _ in range(parts):
            if version:
                fields.read(index_size)
            start = base + fields.read(offset_size)
            length = fields.read(length_size)
            extents.append(source[start : start + length if length else None])
        yield item, extents


class _Bits:
    """Reads bits one after the other."""

    def __init__(self, data: memoryview) -> None:
        self._bits = int.from_bytes(data)
        self._left = 8 * len(data)

    def read(self, count: int = 1) -> int:
        self._left -= count
        if self._left < 0:
            raise MalformedFileError("a header is cut")
        return self._bits >> self._left & ((1 << count) - 1)


class _Sequence(NamedTuple):
    """The members of a sequence header that frames depend on."""

    reduced: bool
    """Whether every frame is a shown key frame of the stated size."""
    width: int
    height: int
    bound: int
    """Pixels of the largest size that a frame header can state instead."""
    time_bits: int
    frame_id_bits: int
    screen_content: int
    integer_motion: int
    frame_bytes: float
    """Bytes per pixel, twice where film grain is added to a copy."""


def _frames(payload: memoryview) -> tuple[int, int]:
    """Return the largest size that a sequence header states, in pixels, and the bytes of all frames."""
    largest = total = 0
    sequence: _Sequence | None = None
    for kind, content in _units(payload):
        if kind == _SEQUENCE_HEADER:
            sequence = _sequence(_Bits(content))
            largest = max(largest, sequence.width * sequence.height)
        elif kind in (_FRAME_HEADER, _FRAME):
            if sequence is None:
                raise MalformedFileError("a frame precedes the sequence header")
            total += int(_frame_pixels(sequence, _Bits(content)) * sequence.frame_bytes)
    return largest, total


def _units(payload: memoryview) -> Iterator[tuple[int, memoryview]]:
    """Yield type and first bytes of each open bitstream unit: AV1 bitstream, section 5.3."""
    place = 0
    for _ in range(MAX_ITEMS):
        if place >= len(payload):
            return
        header = payload[place]
        place += 2 if header & 4 else 1
        size = max(len(payload) - place, 0)
        if header & 2:
            size, place = _leb128(payload, place)
        yield header >> 3 & 15, payload[place : place + min(size, _HEADER_BYTES)]
        place += size
    raise CostlyFileError(f"the AVIF has more than {MAX_ITEMS} units")


def _leb128(payload: memoryview, place: int) -> tuple[int, int]:
    value = 0
    for index, byte in enumerate(payload[place : place + 8]):
        value |= (byte & 0x7F) << 7 * index
        if byte < 0x80:
            return value, place + index + 1
    raise MalformedFileError("a length is cut")


def _sequence(bits: _Bits) -> _Sequence:
    """Read a sequence header: AV1 bitstream, section 5.5."""
    read = bits.read
    profile = read(3)
    read()
    reduced = bool(read())
    time_bits = 0
    if reduced:
        read(5)
    else:
        time_bits = _timing(bits)
    width_bits, height_bits = read(4) + 1, read(4) + 1
    width, height = read(width_bits) + 1, read(height_bits) + 1
    frame_id_bits = 0
    if not reduced and read():
        frame_id_bits = read(4) + 2
        frame_id_bits += read(3) + 1
    read(3)
    screen_content = integer_motion = _SELECT
    if not reduced:
        read(4)
        order_hint = read()
        if order_hint:
            read(2)
        screen_content = _SELECT if read() else read()
        if screen_content:
            integer_motion = _SELECT if read() else read()
        if order_hint:
            read(3)
    read(3)
    bound = width * height if reduced else 1 << width_bits + height_bits
    return _Sequence(
        reduced, width, height, bound, time_bits, frame_id_bits, screen_content, integer_motion, _color(profile, bits)
    )


def _timing(bits: _Bits) -> int:
    """Skip timing and operating points. Return the length of a frame's presentation time, 0 if there is none."""
    read = bits.read
    time_bits = delay_bits = 0
    equal_interval = 0
    if read():
        read(64)
        equal_interval = read()
        if equal_interval:
            zeros = 0
            while not read():
                zeros += 1
            read(min(zeros, 32))
        if read():
            delay_bits = read(5) + 1
            read(32 + 5)
            time_bits = read(5) + 1
    display_delay = read()
    for _ in range(read(5) + 1):
        read(12)
        if read(5) > 7:
            read()
        if delay_bits and read():
            read(2 * delay_bits + 1)
        if display_delay and read():
            read(4)
    return 0 if equal_interval else time_bits


def _color(profile: int, bits: _Bits) -> float:
    """Return the bytes per pixel of a frame, twice with film grain: AV1 bitstream, section 5.5.2."""
    read = bits.read
    deep = read()
    twelve = profile == 2 and deep and read()
    gray = profile != 1 and read()
    described = read()
    color = read(24) if described else 0
    samples = 3.0
    if gray:
        samples = 1.0
        read()
    elif color == 0x010D00:
        # sRGB has full resolution, and nothing more is stated.
        read()
    else:
        read()
        halved = profile == 0 or (profile == 2 and twelve and read() and read())
        if halved:
            samples = 1.5
            read(2)
        read()
    grain = read()
    return samples * (2 if deep else 1) * (2 if grain else 1)


def _frame_pixels(sequence: _Sequence, bits: _Bits) -> int:
    """Return the pixels of a frame, or a bound if its header states its own size: AV1 bitstream, section 5.9.2."""
    stated = sequence.width * sequence.height
    if sequence.reduced:
        return stated
    read = bits.read
    if read():
        # An earlier frame is shown.
        return 0
    if read(2) or not read():
        # Only shown key frames are read further.
        return sequence.bound
    read(sequence.time_bits)
    read()
    screen_content = read() if sequence.screen_content == _SELECT else sequence.screen_content
    if screen_content and sequence.integer_motion == _SELECT:
        read()
    read(sequence.frame_id_bits)
    return sequence.bound if read() else stated
