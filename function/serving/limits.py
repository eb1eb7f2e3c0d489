"""Limits on an image's size. The decoder is not imported here, so settings load quickly."""

from __future__ import annotations

from typing import NamedTuple


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
