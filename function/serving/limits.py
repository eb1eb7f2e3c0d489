"""What an image may measure; apart from the decoder, so that settings are read before it is imported."""

from __future__ import annotations

from typing import NamedTuple


class Limits(NamedTuple):
    """What an image may be at most and at least."""

    # pixels, width x height, before anything is decoded
    max_pixels: int = 50_000_000
    # pixels, where an image cannot be decoded at a reduced scale: all but a JPEG that is not progressive
    max_full_decode_pixels: int = 16_000_000
    # pixels, the shorter side
    min_image_side: int = 16
    # longer side over shorter side; a strip is no face, and its central square shows next to nothing of it
    max_aspect_ratio: int = 10
