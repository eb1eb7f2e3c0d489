"""Cut parts out of an image, at any rotation, without aliasing."""

from __future__ import annotations

from PIL import Image

from serving.detection.geometry import Frame

ALIGNED_SIDE = 200
"""Pixels, side of an aligned crop: that of UTKFace, whose crops the model was trained on."""


def square(image: Image.Image, left: float, top: float, side: float, size: int) -> Image.Image:
    """Return a square part as (size, size) RGB pixels, black beyond the border.

    Args:
        image: RGB.
        left: of the part, in pixels of the image. It may lie outside.
        top: of the part.
        side: of the part.
        size: pixels, side of the result.
    """
    canvas = Image.new("RGB", (size, size))
    x0, y0 = max(left, 0.0), max(top, 0.0)
    x1, y1 = min(left + side, image.width), min(top + side, image.height)
    if x1 <= x0 or y1 <= y0:
        return canvas
    scale = size / side
    width, height = max(round((x1 - x0) * scale), 1), max(round((y1 - y0) * scale), 1)
    inside = image.resize((width, height), Image.Resampling.BILINEAR, (x0, y0, x1, y1), reducing_gap=2.0)
    canvas.paste(inside, (round((x0 - left) * scale), round((y0 - top) * scale)))
    return canvas


def warp(image: Image.Image, frame: Frame, size: int) -> Image.Image:
    """Return what lies in `frame` as (size, size) RGB pixels, black beyond the border."""
    x0, y0, x1, y1 = _bounds(image, frame)
    if x1 <= x0 or y1 <= y0:
        return Image.new("RGB", (size, size))
    reduction = max(int(frame.side / size), 1)
    # Bilinear sampling sees four pixels: a larger reduction must average the others before.
    part = image.reduce(reduction, (x0, y0, x1, y1)) if reduction > 1 else image.crop((x0, y0, x1, y1))
    turn = frame.turn / reduction / size
    origin = (frame.origin - complex(x0, y0)) / reduction
    matrix = (turn.real, -turn.imag, origin.real, turn.imag, turn.real, origin.imag)
    sampling = Image.Resampling.BICUBIC if abs(turn) < 1 else Image.Resampling.BILINEAR
    return part.transform((size, size), Image.Transform.AFFINE, matrix, sampling)


def _bounds(image: Image.Image, frame: Frame) -> tuple[int, int, int, int]:
    """Return the part of the image that a frame needs: left, top, right and bottom."""
    # A frame at 45 degrees reaches sqrt(2) times as far as its side. The rest is for the sampling.
    reach = (abs(frame.turn.real) + abs(frame.turn.imag)) / 2 + 4
    center = frame.center
    return (
        max(int(center.real - reach), 0),
        max(int(center.imag - reach), 0),
        min(int(center.real + reach) + 1, image.width),
        min(int(center.imag + reach) + 1, image.height),
    )
