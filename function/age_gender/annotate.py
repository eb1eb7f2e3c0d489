"""Draw the faces of an image into a copy: a box for each, and its answer beside it."""

from __future__ import annotations

import io
from collections.abc import Sequence
from functools import cache
from typing import NamedTuple

from PIL import Image, ImageDraw, ImageFont

from age_gender.detection import Detection, Face
from age_gender.prediction import Estimates
from age_gender.table import percent
from serving.images import EncodedImage
from serving.text import printable

SUFFIXES = {"JPEG": (".jpg", ".jpeg", ".jpe", ".jfif"), "PNG": (".png",), "WEBP": (".webp",)}
"""Formats of copies, and the suffixes of their names. An image in another format becomes a JPEG."""
_OPTIONS: dict[str, dict[str, int]] = {"JPEG": {"quality": 92}, "PNG": {"compress_level": 1}, "WEBP": {"quality": 92}}
# Pixels. A smaller image is enlarged by a whole factor, because no text would fit.
LEAST_SIDE = 128
# Pixels of a letter's height, and the same as a part of the longer side: a large image is seen reduced.
_LEAST_FONT, _FONT_PART = 12, 72
# The same for the width of each of a box's two lines. One is dark and one is light, so one is seen on any ground.
_LEAST_LINE, _LINE_PART = 1, 640
# Pixels between a label's border and its text.
_PADDING = 2
_DARK, _LIGHT = "black", "#ffe100"
_NOTHING = "no face found"
Font = ImageFont.FreeTypeFont | ImageFont.ImageFont
"""What Pillow's default font is, with and without FreeType."""


class Area(NamedTuple):
    """Pixels, the right and lower ends not included."""

    left: int
    top: int
    right: int
    bottom: int

    def overlap(self, others: Sequence[Area]) -> int:
        """Return how many pixels of others this one covers."""
        return sum(
            max(min(self.right, each.right) - max(self.left, each.left), 0)
            * max(min(self.bottom, each.bottom) - max(self.top, each.top), 0)
            for each in others
        )


def annotated(encoded: EncodedImage, detection: Detection) -> tuple[bytes, str]:
    """Return an image file with the faces drawn in, upright and without metadata, and its format: one of SUFFIXES.

    Raises:
        ImageError: the image is truncated or damaged.
        OSError, ValueError: its format cannot hold so many pixels a side.
    """
    kind = encoded.kind if encoded.kind in SUFFIXES else "JPEG"
    file = io.BytesIO()
    drawn(encoded.upright(1).pixels, detection).save(file, kind, **_OPTIONS[kind])
    return file.getvalue(), kind


def drawn(image: Image.Image, detection: Detection) -> Image.Image:
    """Return the image, RGB, with the faces drawn in. It may be the same one."""
    factor = -(-LEAST_SIDE // min(image.size))
    if factor > 1:
        image = image.resize((factor * image.width, factor * image.height), Image.Resampling.BICUBIC)
    canvas = ImageDraw.Draw(image)
    longer = max(image.size)
    line = max(_LEAST_LINE, longer // _LINE_PART)
    font = _font(max(_LEAST_FONT, longer // _FONT_PART))
    boxes = [_box(face, image.size) for face in detection.faces]
    for box in boxes:
        canvas.rectangle(_corners(box), outline=_DARK, width=line)
        inner = Area(box.left + line, box.top + line, box.right - line, box.bottom - line)
        if inner.left < inner.right and inner.top < inner.bottom:
            canvas.rectangle(_corners(inner), outline=_LIGHT, width=line)
    answers = [(f"{number}: {_answer(face)}", str(number)) for number, face in enumerate(detection.faces, 1)]
    whole = Area(0, 0, *image.size)
    for text, area in labels(canvas, font, answers, boxes) if boxes else labels(canvas, font, [(_NOTHING,)], [whole]):
        canvas.rectangle(_corners(area), fill=_DARK)
        left, top = _extent(canvas, font, text)[:2]
        canvas.multiline_text((area.left + _PADDING - left, area.top + _PADDING - top), text, _LIGHT, font)
    return image


def labels(
    canvas: ImageDraw.ImageDraw, font: Font, texts: Sequence[Sequence[str]], boxes: Sequence[Area]
) -> list[tuple[str, Area]]:
    """Return a text for each face, and where to write it.

    Args:
        canvas: to draw on.
        font: of the texts.
        texts: for each face, the longest first. The first one is taken that has a place beside all earlier labels,
            else the last one.
        boxes: of the faces.
    """
    placed: list[tuple[str, Area]] = []
    for choices, box in zip(texts, boxes, strict=True):
        taken = [area for _, area in placed]
        for text in choices:
            left, top, right, bottom = _extent(canvas, font, text)
            size = right - left + 2 * _PADDING, bottom - top + 2 * _PADDING
            area = _free_place(size, box, canvas.im.size, (boxes, taken))
            if not area.overlap(taken):
                break
        placed.append((text, area))
    return placed


def _extent(canvas: ImageDraw.ImageDraw, font: Font, text: str) -> Area:
    return Area(*map(round, canvas.multiline_textbbox((0, 0), text, font)))


def _free_place(
    size: tuple[int, int], box: Area, image: tuple[int, int], taken: tuple[Sequence[Area], Sequence[Area]]
) -> Area:
    """Return where a label beside a box covers least of other labels, then of faces."""
    width, height = size
    left, top, right, bottom = box
    corners = (
        (left, bottom),
        (left, top - height),
        (right, top),
        (left - width, top),
        (right - width, bottom),
        (right - width, top - height),
        (left, bottom - height),
    )
    areas = [_inside(corner, size, image) for corner in corners]
    boxes, labelled = taken
    return min(areas, key=lambda area: (area.overlap(labelled), area.overlap(boxes)))


def _inside(corner: tuple[int, int], size: tuple[int, int], image: tuple[int, int]) -> Area:
    left, top = (max(min(at, whole - part), 0) for at, part, whole in zip(corner, size, image, strict=True))
    return Area(left, top, left + size[0], top + size[1])


def _box(face: Face, size: tuple[int, int]) -> Area:
    """Return the part of a face's box that lies in the image, at least one pixel."""
    width, height = size
    box = face.box
    left, right = (_within(share, width) for share in (box.left, box.left + box.width))
    top, bottom = (_within(share, height) for share in (box.top, box.top + box.height))
    return Area(min(left, width - 1), min(top, height - 1), max(right, left + 1), max(bottom, top + 1))


def _within(share: float, side: int) -> int:
    return round(min(max(share, 0.0), 1.0) * side)


def _corners(area: Area) -> tuple[int, int, int, int]:
    """Return an area as ImageDraw takes it, the last pixels included."""
    return area.left, area.top, area.right - 1, area.bottom - 1


def _answer(estimates: Estimates) -> str:
    """Return the estimates of a face as lines of text, and the codes of its warnings."""
    age = estimates.age
    lines = [f"{age.years} ({age.low} - {age.high})"] if age else []
    lines += [f"{printable(choice.label)} {percent(choice):.1f} %" for choice in estimates.choices.values()]
    return "\n".join([*lines, *(printable(warning.code) for warning in estimates.warnings)])


@cache
def _font(size: int) -> Font:
    return ImageFont.load_default(size)
