"""Limits on an image and on its faces. Neither decoder nor detector is imported here, so settings load quickly."""

from __future__ import annotations

from typing import NamedTuple

DECODE_BYTES_PER_PIXEL = 13
"""Memory of a full-size decode. A PNG takes 8 bytes a pixel, an AVIF of 10 bits a channel 10 to 13."""
WEBP_BYTES_PER_PIXEL = 12
"""The same for a WebP, which takes its file once more."""
PIXELS_PER_BYTE = 1000
"""Pixels that a byte of a file may stand for. A blank color image reaches a third of that as a PNG."""


class Limits(NamedTuple):
    """Largest and smallest image that is decoded."""

    max_pixels: int = 50_000_000
    """Width x height, checked before anything is decoded."""
    max_full_decode_pixels: int = 16_000_000
    """Width x height of an image that must be decoded at full size: everything except a baseline JPEG."""
    min_image_side: int = 16
    """Pixels of the shorter side."""
    max_aspect_ratio: int = 10
    """Longer side over shorter side. The central square of a narrower strip shows almost nothing of it."""

    @property
    def decode_bytes(self) -> int:
        """Memory that the decode of one image may take, beside its file."""
        return DECODE_BYTES_PER_PIXEL * self.max_full_decode_pixels


class FaceLimits(NamedTuple):
    """What counts as a face of a whole image."""

    max_faces: int = 64
    """Faces listed for an image. The largest are kept."""
    min_face_size: float = 0.02
    """Side of a face's box, as a share of the image's longer side."""
    min_face_score: float = 0.5
    """Detection score of a face, 0 to 1."""
