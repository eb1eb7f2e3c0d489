"""Decode an image and resize it for the model. Training and serving share this code."""

from __future__ import annotations

import threading
from contextlib import nullcontext
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageFile

from serving import formats
from serving.formats import FORMATS
from serving.limits import Limits

Pixels = npt.NDArray[np.uint8]

RESIZE_RULE = "pillow-bilinear-center-crop"
"""Name of the resize in a release's manifest. A model is only valid for pixels made the way its training made them."""
DRAFT_MARGIN = 2
"""A JPEG is decoded at a reduced scale while each side keeps this many source pixels for each target pixel."""
THUMBNAIL_SIDE = 16
"""Pixels."""
BACKGROUND = "white"
"""Color behind transparent pixels."""
# A full-size decode takes up to 16 bytes a pixel. Decodes of more pixels than this run one at a time, which bounds the
# memory of many at once.
_TURN_PIXELS = 1_000_000
_turn = threading.Lock()
# Pillow's names for EXIF and XMP, the only metadata with an orientation.
_METADATA = frozenset(("exif", "xmp", "XML:com.adobe.xmp", "Raw profile type exif"))
_ORIENTATION = 0x0112
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


class DecodedImage(NamedTuple):
    """The model's input, and properties of the image it was made from."""

    pixels: Pixels
    """(size, size, 3) uint8, RGB."""
    thumbnail: Pixels
    """(THUMBNAIL_SIDE, THUMBNAIL_SIDE) uint8, grayscale."""
    width: int
    """Pixels as stored, before the image is turned upright."""
    height: int
    """Pixels as stored, before the image is turned upright."""
    kind: str
    """One of FORMATS."""


class ImageError(Exception):
    """The image cannot be used. The message is for the client."""


class UnknownFormatError(ImageError):
    """The bytes are in none of FORMATS."""


class ImageTooLargeError(ImageError):
    """The image has more pixels than the limits allow."""


def decode(data: bytes, size: int, limits: Limits = Limits()) -> Pixels:
    """Return the pixels of `read`."""
    return read(data, size, limits).pixels


def read(data: bytes, size: int, limits: Limits = Limits()) -> DecodedImage:
    """Decode, crop to the central square, resize to `size` and turn upright.

    Raises:
        UnknownFormatError: the bytes are in none of FORMATS.
        ImageTooLargeError: the image has more pixels than the limits allow.
        ImageError: the image is truncated, damaged, animated, too small or too narrow.
    """
    kind = formats.name(data)
    if not kind:
        empty = "the image is empty (0 bytes): choose another file, or save this one again"
        found = f"the data is {formats.describe(data)}" if data else empty
        raise UnknownFormatError(f"{found}; send one of {', '.join(FORMATS)}")
    try:
        image = formats.read_header(kind, data)
        # draft() changes image.size.
        width, height = image.size
        whole = formats.needs_full_decode(image, data)
        _check(image, whole, limits)
        with _turn if whole and width * height > _TURN_PIXELS else nullcontext():
            face = _face(image, size)
        return DecodedImage(np.asarray(face, dtype=np.uint8), thumbnail(face), width, height, kind)
    except ImageError:
        raise
    except Image.DecompressionBombError as error:
        # Pillow checks a WebP's size before it allocates memory.
        raise ImageTooLargeError(f"the image has far more than the limit of {limits.max_pixels} pixels") from error
    except formats.CostlyFileError as error:
        raise ImageError(f"{error}; save the image again and send the new file") from error
    except Exception as error:
        # Pillow's parsers raise many types on malformed bytes. To the client they all mean the same.
        raise ImageError(f"the {kind} image is damaged or truncated; save it again and send the whole file") from error


def thumbnail(face: Image.Image) -> Pixels:
    """Return the image as (THUMBNAIL_SIDE, THUMBNAIL_SIDE) uint8, grayscale."""
    side = (THUMBNAIL_SIDE, THUMBNAIL_SIDE)
    return np.asarray(face.convert("L").resize(side, Image.Resampling.BOX))


def _check(image: ImageFile.ImageFile, whole: bool, limits: Limits) -> None:
    width, height = image.size
    found = f"the image has {width}x{height} pixels"
    if width * height > limits.max_pixels:
        raise ImageTooLargeError(f"{found}; the limit is {limits.max_pixels}")
    if whole and width * height > limits.max_full_decode_pixels:
        raise ImageTooLargeError(
            f"{found}; the limit is {limits.max_full_decode_pixels}, or {limits.max_pixels} in a baseline JPEG"
        )
    if min(width, height) < limits.min_image_side:
        raise ImageError(f"{found}; each side needs at least {limits.min_image_side}")
    if max(width, height) > limits.max_aspect_ratio * min(width, height):
        raise ImageError(f"{found}; the longer side may be at most {limits.max_aspect_ratio} times the shorter one")
    if getattr(image, "is_animated", False):
        raise ImageError(f"the {image.format} image is animated; send a still image")


def _face(image: ImageFile.ImageFile, size: int) -> Image.Image:
    image.draft("RGB", (DRAFT_MARGIN * size, DRAFT_MARGIN * size))
    square = _with_three_or_four_channels(_central_square(image))
    resized = square.resize((size, size), Image.Resampling.BILINEAR)
    if resized.mode == "RGBA":
        resized = Image.alpha_composite(Image.new("RGBA", resized.size, BACKGROUND), resized).convert("RGB")
    # Turned last, when few pixels are left.
    turn = _UPRIGHT.get(_orientation(image))
    return resized if turn is None else resized.transpose(turn)


def _central_square(image: Image.Image) -> Image.Image:
    width, height = image.size
    side = min(width, height)
    if width == height:
        return image
    left, top = (width - side) // 2, (height - side) // 2
    return image.crop((left, top, left + side, top + side))


def _with_three_or_four_channels(image: Image.Image) -> Image.Image:
    """Return the image as RGB, or as RGBA if it has transparency."""
    if image.mode.startswith("I;16"):
        # Pillow's own conversion clips 16-bit levels instead of scaling them.
        levels = np.asarray(image)
        grey = Image.fromarray((levels >> 8).astype(np.uint8)).convert("RGB")
        if "transparency" in image.info:
            grey.putalpha(Image.fromarray((levels != image.info["transparency"]).astype(np.uint8) * 255))
        return grey
    if image.has_transparency_data:
        return image.convert("RGBA")
    return image if image.mode == "RGB" else image.convert("RGB")


def _orientation(image: ImageFile.ImageFile) -> int:
    """Return the EXIF orientation, 1 to 8; 1 (upright) if there is none or it cannot be read."""
    if _METADATA.isdisjoint(image.info):
        return 1
    try:
        return int(image.getexif().get(_ORIENTATION, 1))
    except Exception:
        # Viewers show an image with invalid metadata too.
        return 1
