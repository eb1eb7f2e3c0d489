"""Small files and bodies that would take far more memory or time than their size, if nothing bounded it."""

from __future__ import annotations

import json
import random
import struct
import threading
import zlib
from base64 import b64encode
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from itertools import cycle, islice

import httpx
import psutil
from PIL import Image

from tests.function.bad_images import avif_of_another_size, header, png, saved, webp_with_large_canvas
from tests.photos import photo
from tests.server import Server

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


def jpeg_with_spread_exif(size: int = BODY - 2**18) -> bytes:
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
    return b'{"instances": [{"b64": "' + b"A" * (size - 80) + b'"}], "x": "' + "\U0001f600".encode() + b'"}'


def json_of_short_lines(size: int = BODY) -> bytes:
    """Return a JSON body of `size` bytes: base64 in lines of four characters."""
    return b'{"instances": [{"b64": "' + b"AAAA\\n" * ((size - 40) // 6) + b'"}]}'


def form(image: bytes) -> bytes:
    """Return a form with one image."""
    head = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="image"; filename="a"\r\n\r\n'
    return head.encode() + image + f"\r\n--{BOUNDARY}--\r\n".encode()


def form_with_long_header(size: int = 16 * 2**20) -> bytes:
    """Return a form with a part whose header has `size` bytes."""
    return f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="'.encode() + b"\r\nX: " * (size // 5)


CLIENTS = 8
"""The concurrency that README deploys the function with."""


class Memory(threading.Thread):
    """Samples the memory of a server's processes."""

    def __init__(self, server: Server) -> None:
        super().__init__(daemon=True)
        self._server = psutil.Process(server.process.pid)
        self._ended = threading.Event()
        self.peak = 0

    def run(self) -> None:
        while not self._ended.wait(0.05):
            self.peak = max(self.peak, self.now())

    def now(self) -> int:
        """Return the proportional set size of all processes, in bytes."""
        processes = (self._server, *self._server.children(recursive=True))
        return sum(process.memory_full_info().pss for process in processes)

    def __enter__(self) -> Memory:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self.join()


def _rounds() -> dict[str, list[tuple[bytes, str]]]:
    """Return requests by name. Those of one name are sent at once."""
    photo = saved(Image.effect_noise((3000, 3000), 60).convert("RGB"), "JPEG", quality=95)
    photo += bytes(BODY * 3 // 4 - 100 - len(photo))
    forms = (form(webp(4000, BODY - 2**16)), FORM)
    json_types = {
        "one photo in JSON": json_body(photo),
        "empty objects": json_of_empty_objects(),
        "wide characters": json_of_wide_characters(),
        "short lines": json_of_short_lines(),
        "32 WebPs": json_body(*[webp()] * 32),
    }
    images_ = {
        "texts": png_with_texts(),
        "damaged texts": png_with_damaged_texts(),
        "spread EXIF": jpeg_with_spread_exif(),
        "fill bytes": jpeg_with_long_fill(),
        "WebP": webp(),
        "padded JPEG": photo,
        "large canvas": webp_with_large_canvas(),
        "AVIF of another size": avif_of_another_size(),
        "16 megapixels of transparent PNG": saved(Image.new("RGBA", (4000, 3999), (9, 9, 9, 9)), compress_level=1),
        "16 megapixels of progressive CMYK": saved(Image.new("CMYK", (4000, 3999)), "JPEG", progressive=True),
        "16 megapixels of AVIF": saved(Image.effect_noise((4000, 3999), 9).convert("RGB"), "AVIF", speed=10),
    }
    named = {name: (body, "application/json") for name, body in json_types.items()}
    named |= {name: (body, "image/jpeg") for name, body in images_.items()}
    named |= {"WebPs in forms": forms, "a long header": (form_with_long_header(), FORM)}
    return {name: [request] * CLIENTS for name, request in named.items()} | {
        "a mix": [named[name] for name in ("WebPs in forms", "one photo in JSON", "padded JPEG", "texts")] * 2
    }


def post(server: Server, body: bytes, content_type: str, path: str = "/predict") -> int:
    """Return the status. The time limit is above the function's own."""
    headers = {"Content-Type": content_type, "Connection": "close"}
    return httpx.post(f"{server.url}{path}", content=body, headers=headers, timeout=60).status_code


def send_all(server: Server, path: str = "/predict") -> Iterator[tuple[str, set[int]]]:
    """Send the requests of each name at once. Yield the name and the statuses of the responses."""
    with ThreadPoolExecutor(CLIENTS) as clients:
        for name, requests in _rounds().items():
            yield name, set(clients.map(lambda request: post(server, request[0], request[1], path), requests))


PHOTO_CLIENTS = 64
"""Clients that send whole photographs at once: the function's threads."""


@cache
def photographs() -> list[bytes]:
    """Return photographs of 0.3 to 16 megapixels in every format, with faces of several sizes."""
    sizes = ((640, 480), (1600, 1200), (3000, 2000), (4600, 3450))
    found = []
    for number, (width, height) in enumerate(sizes):
        unit = width // 20
        image = photo((2 * unit, 3 * unit, 6 * unit), (12 * unit, 5 * unit, 3 * unit), size=(width, height))
        found.append(saved(image, "JPEG", quality=90))
        found.append(saved(image, "JPEG", quality=90, progressive=True))
        if number < 3:
            found.append(saved(image, "PNG", compress_level=1))
            found.append(saved(image, "WEBP", method=0))
    large = photo((300, 400, 1200), size=(4000, 3999))
    exif = Image.Exif()
    exif[0x0112] = 6
    found.append(saved(large.convert("RGBA"), "WEBP", method=0, exif=exif))
    found.append(saved(large, "AVIF", speed=10, exif=exif))
    return found


def send_photographs(server: Server, requests: int = 2 * PHOTO_CLIENTS) -> set[int]:
    """Send photographs to /detect from PHOTO_CLIENTS clients at once. Return the statuses of the responses."""
    sent = islice(cycle(photographs()), requests)
    with ThreadPoolExecutor(PHOTO_CLIENTS) as clients:
        return set(clients.map(lambda body: post(server, body, "image/jpeg", "/detect"), sent))
