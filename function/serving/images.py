"""Bytes of an image -> the pixels the model sees: one decoder and one resize for training and serving."""

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

# The resize rule, as the release's manifest states it: a model is only right for the pixels it was trained on.
RESIZE_RULE = "pillow-bilinear-center-crop"
# A JPEG may be decoded at a reduced scale as long as this many source pixels remain for each target pixel.
DRAFT_MARGIN = 2
# pixels
THUMBNAIL_SIDE = 16
# What shows through where an image is transparent.
BACKGROUND = "white"
# Images that are held whole take up to 16 bytes a pixel while they are decoded. With more pixels than this they take
# turns, so that many at once cannot use up the memory.
_TURN_PIXELS = 1_000_000
_turn = threading.Lock()
# Where EXIF and XMP lie in what Pillow read, the only places that can tell an orientation.
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
    """What the model sees of an image, and how the image came."""

    # (size, size, 3) uint8, RGB
    pixels: Pixels
    # (THUMBNAIL_SIDE, THUMBNAIL_SIDE) uint8, grey
    thumbnail: Pixels
    # pixels, as stored, before it is turned upright
    width: int
    height: int
    # one of FORMATS
    kind: str


class ImageError(Exception):
    """The bytes are not an image that can be answered for; the message is written for the sender."""


class UnknownFormatError(ImageError):
    """The bytes are none of `FORMATS`."""


class ImageTooLargeError(ImageError):
    """The image has more pixels than the limits allow."""


def decode(data: bytes, size: int, limits: Limits = Limits()) -> Pixels:
    """Only the pixels of `read`."""
    return read(data, size, limits).pixels


def read(data: bytes, size: int, limits: Limits = Limits()) -> DecodedImage:
    """Decode, crop to the central square, resize to `size` and turn upright.

    Raises:
        UnknownFormatError: none of `FORMATS`.
        ImageTooLargeError: more pixels than the limits allow.
        ImageError: truncated, damaged, animated, too small or too long.
    """
    kind = formats.name(data)
    if not kind:
        empty = "the image is empty (0 bytes): choose another file, or save this one again"
        found = f"the bytes are {formats.describe(data)}" if data else empty
        raise UnknownFormatError(f"{found}; send one of {', '.join(FORMATS)}")
    try:
        image = formats.read_header(kind, data)
        # draft changes it
        width, height = image.size
        whole = formats.held_whole(image, data)
        _check(image, whole, limits)
        with _turn if whole and width * height > _TURN_PIXELS else nullcontext():
            face = _face(image, size)
        return DecodedImage(np.asarray(face, dtype=np.uint8), thumbnail(face), width, height, kind)
    except ImageError:
        raise
    except Image.DecompressionBombError as error:
        # Pillow looks at a WebP's size before it sets memory aside.
        raise ImageTooLargeError(f"the image has far more than the {limits.max_pixels} pixels allowed") from error
    except formats.CostlyFileError as error:
        raise ImageError(f"{error}; save the image anew and send that") from error
    except Exception as error:
        # Pillow's parsers raise many types on hostile bytes; for the sender they are all one fact.
        raise ImageError(
            f"the {kind} image is damaged or truncated and cannot be decoded; send it again whole"
        ) from error


def thumbnail(face: Image.Image) -> Pixels:
    """(THUMBNAIL_SIDE, THUMBNAIL_SIDE) uint8: what is left of a face to compare it with others."""
    side = (THUMBNAIL_SIDE, THUMBNAIL_SIDE)
    return np.asarray(face.convert("L").resize(side, Image.Resampling.BOX))


def _check(image: ImageFile.ImageFile, whole: bool, limits: Limits) -> None:
    width, height = image.size
    found = f"the image has {width}x{height} pixels"
    if width * height > limits.max_pixels:
        raise ImageTooLargeError(f"{found}; at most {limits.max_pixels} are allowed")
    if whole and width * height > limits.max_full_decode_pixels:
        raise ImageTooLargeError(
            f"{found}; at most {limits.max_full_decode_pixels} are allowed, or {limits.max_pixels} in a JPEG that is "
            "not progressive"
        )
    if min(width, height) < limits.min_image_side:
        raise ImageError(f"{found}; each side needs at least {limits.min_image_side}")
    if max(width, height) > limits.max_aspect_ratio * min(width, height):
        raise ImageError(f"{found}; a side may be at most {limits.max_aspect_ratio} times the other")
    if getattr(image, "is_animated", False):
        raise ImageError(f"the {image.format} image is animated; send one still image")


def _face(image: ImageFile.ImageFile, size: int) -> Image.Image:
    image.draft("RGB", (DRAFT_MARGIN * size, DRAFT_MARGIN * size))
    square = _with_three_or_four_channels(_central_square(image))
    resized = square.resize((size, size), Image.Resampling.BILINEAR)
    if resized.mode == "RGBA":
        resized = Image.alpha_composite(Image.new("RGBA", resized.size, BACKGROUND), resized).convert("RGB")
    # Last, when there are few pixels left to turn.
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
    """RGB, or RGBA where something is transparent."""
    if image.mode.startswith("I;16"):
        # Pillow's own conversion clips 16 bits instead of scaling them.
        levels = np.asarray(image)
        grey = Image.fromarray((levels >> 8).astype(np.uint8)).convert("RGB")
        if "transparency" in image.info:
            grey.putalpha(Image.fromarray((levels != image.info["transparency"]).astype(np.uint8) * 255))
        return grey
    if image.has_transparency_data:
        return image.convert("RGBA")
    return image if image.mode == "RGB" else image.convert("RGB")


def _orientation(image: ImageFile.ImageFile) -> int:
    """EXIF's number for how the camera was held; 1, upright, where none can be read."""
    if _METADATA.isdisjoint(image.info):
        return 1
    try:
        return int(image.getexif().get(_ORIENTATION, 1))
    except Exception:
        # A garbled description of an image does not make the image unreadable; viewers show it too.
        return 1
