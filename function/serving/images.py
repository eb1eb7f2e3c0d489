"""Bytes of a picture -> the pixels the model sees: one decoder and one resize for training and serving."""

from __future__ import annotations

import io
import warnings

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps

from serving.limits import Limits

Pixels = npt.NDArray[np.uint8]

FORMATS = ("JPEG", "PNG", "WEBP")
# The resize rule, as the release's manifest states it: a model is only right for the pixels it was trained on.
RESIZE_RULE = "pillow-bilinear-center-crop"
# A JPEG may be decoded at a reduced scale as long as this many source pixels remain for each target pixel.
DRAFT_MARGIN = 2


class ImageError(Exception):
    """The bytes are not a picture that can be answered for; the message is written for the sender."""


class UnknownFormatError(ImageError):
    """The bytes are none of `FORMATS`."""


class ImageTooLargeError(ImageError):
    """The picture has more pixels than the limits allow."""


def decode(data: bytes, size: int, limits: Limits = Limits()) -> Pixels:
    """Decode, turn upright, crop to the central square and resize.

    Returns:
        (size, size, 3) uint8, RGB.

    Raises:
        UnknownFormatError: not a JPEG, PNG or WebP.
        ImageTooLargeError: more than `limits.max_pixels`.
        ImageError: truncated, damaged or too small.
    """
    image = _open(data, limits)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            image.draft("RGB", (DRAFT_MARGIN * size, DRAFT_MARGIN * size))
            upright = ImageOps.exif_transpose(image)
            square = _crop_to_square(_to_rgb(upright))
            resized = square.resize((size, size), Image.Resampling.BILINEAR)
    except (OSError, SyntaxError, ValueError, IndexError, EOFError, Image.DecompressionBombError) as error:
        raise ImageError(
            f"the {image.format} picture is damaged or truncated and cannot be decoded; send it again whole"
        ) from error
    return np.asarray(resized, dtype=np.uint8)


def _open(data: bytes, limits: Limits) -> Image.Image:
    if not data:
        raise UnknownFormatError("the picture is empty (0 bytes); send a JPEG, PNG or WebP file")
    try:
        with warnings.catch_warnings():
            # The limits below speak for themselves; Pillow's own bomb error stays.
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            image = Image.open(io.BytesIO(data), formats=FORMATS)
    except Image.DecompressionBombError as error:
        raise ImageTooLargeError(f"the picture has far more than the {limits.max_pixels} pixels allowed") from error
    except Exception as error:
        # Pillow's header parsers raise many types on hostile bytes; for the sender they are all one fact.
        raise UnknownFormatError(f"the bytes are not a readable picture; send one of {', '.join(FORMATS)}") from error
    width, height = image.size
    if width * height > limits.max_pixels:
        raise ImageTooLargeError(f"the picture has {width}x{height} pixels; at most {limits.max_pixels} are allowed")
    if min(width, height) < limits.min_side:
        raise ImageError(f"the picture has {width}x{height} pixels; each side needs at least {limits.min_side}")
    if max(width, height) > limits.max_side_ratio * min(width, height):
        raise ImageError(
            f"the picture has {width}x{height} pixels; a side may be at most {limits.max_side_ratio} times the other"
        )
    if getattr(image, "is_animated", False):
        raise ImageError(f"the {image.format} picture is animated; send one still picture")
    return image


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode == "RGB":
        return image
    if image.mode.startswith("I;16") or image.mode == "I":
        # 16-bit grey: Pillow's own conversion clips instead of scaling.
        scaled = np.asarray(image, dtype=np.int64) >> 8
        return Image.fromarray(scaled.clip(0, 255).astype(np.uint8)).convert("RGB")
    if image.has_transparency_data:
        rgba = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", rgba.size, "white"), rgba).convert("RGB")
    return image.convert("RGB")


def _crop_to_square(image: Image.Image) -> Image.Image:
    width, height = image.size
    side = min(width, height)
    if width == height:
        return image
    left, top = (width - side) // 2, (height - side) // 2
    return image.crop((left, top, left + side, top + side))
