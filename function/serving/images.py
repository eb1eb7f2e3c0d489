"""Decode an image and resize it for the model. Training and serving share this code."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from PIL import Image

from serving import avif, containers, formats
from serving.containers import Container
from serving.formats import FORMATS, CostlyFileError
from serving.limits import PIXELS_PER_BYTE, Limits

Pixels = npt.NDArray[np.uint8]

RESIZE_RULE = "pillow-bilinear-center-crop"
"""Name of the resize in a release's manifest. A model is only valid for pixels made the way its training made them."""
DRAFT_MARGIN = 2
"""A JPEG is decoded at a reduced scale while each side keeps this many source pixels for each target pixel."""
THUMBNAIL_SIDE = 16
"""Pixels."""
BACKGROUND = "white"
"""Color behind transparent pixels."""
# The smallest part of a JPEG's side that a decode at a reduced scale makes.
_LEAST_SCALE = 8
# The decoded image, and the copy of it that a crop or a conversion makes.
_COPY_BYTES_PER_PIXEL = 8
# The decoded image, a copy of it, and the mask of its transparency, once the decoder's own memory is free.
_UPRIGHT_BYTES_PER_PIXEL = 9
# Pillow's names for EXIF and XMP, the only metadata with an orientation.
_METADATA = frozenset(("exif", "xmp", "Raw profile type exif"))
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
# The orientations in which the stored rows are columns.
_SIDEWAYS = (5, 6, 7, 8)


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


class UprightImage(NamedTuple):
    """A whole image as viewers show it."""

    pixels: Image.Image
    """RGB, possibly at a reduced scale."""
    width: int
    """Pixels of the whole image at full scale."""
    height: int
    """Pixels of the whole image at full scale."""


class ImageError(Exception):
    """The image cannot be used. The message is for the client."""


class UnknownFormatError(ImageError):
    """The bytes are in none of FORMATS."""


class ImageTooLargeError(ImageError):
    """The image has more pixels than the limits allow."""


class EncodedImage(NamedTuple):
    """An image whose structure is read and allowed, and whose pixels are not decoded yet."""

    kind: str
    """One of FORMATS."""
    container: Container

    def memory(self, size: int) -> int:
        """Return the bytes that `read` takes at most."""
        return self._bytes(self._read_reduction(size))

    def upright_memory(self, reduction: int) -> int:
        """Return the bytes that `upright` takes at most."""
        return max(self._bytes(reduction), self.container.size + _UPRIGHT_BYTES_PER_PIXEL * self._pixels(reduction))

    def read(self, size: int) -> DecodedImage:
        """Decode, crop to the central square, resize to `size` and turn upright.

        Raises:
            ImageError: the image is truncated or damaged.
        """
        with _errors(self.kind):
            image, orientation = self._decoded(self._read_reduction(size))
            square = _central_square(image)
            del image
            # Each copy releases the one before.
            square = _three_or_four_channels(square)
            face = square.resize((size, size), Image.Resampling.BILINEAR)
            if face.mode == "RGBA":
                face = Image.alpha_composite(Image.new("RGBA", face.size, BACKGROUND), face)
            if face.mode != "RGB":
                face = face.convert("RGB")
            # Turned last, when few pixels are left.
            if orientation in _UPRIGHT:
                face = face.transpose(_UPRIGHT[orientation])
        width, height = self.container[:2]
        return DecodedImage(np.asarray(face, dtype=np.uint8), thumbnail(face), width, height, self.kind)

    def upright(self, reduction: int) -> UprightImage:
        """Decode the whole image, turn it upright, and put white behind transparent pixels.

        Args:
            reduction: of the sides, one that `reduction` returned.

        Raises:
            ImageError: the image is truncated or damaged.
        """
        with _errors(self.kind):
            image, orientation = self._decoded(reduction)
            # Each copy releases the one before.
            image = _three_or_four_channels(image)
            if image.mode != "RGB":
                image = _over_background(image) if image.mode == "RGBA" else image.convert("RGB")
            width, height = self.container[:2]
            if orientation in _UPRIGHT:
                image = image.transpose(_UPRIGHT[orientation])
                if orientation in _SIDEWAYS:
                    width, height = height, width
        return UprightImage(image, width, height)

    def reduction(self, largest: float) -> int:
        """Return the largest reduction of the sides that the decoder offers, at most `largest`: 1, 2, 4 or 8."""
        if self.kind != "JPEG":
            return 1
        return 1 << min(max(int(largest), 1), _LEAST_SCALE).bit_length() - 1

    def _read_reduction(self, size: int) -> int:
        return self.reduction(min(self.container.width, self.container.height) // (DRAFT_MARGIN * size))

    def _bytes(self, reduction: int) -> int:
        """Return the bytes of the decode and of a copy."""
        container = self.container
        return container.size + container.decoder_bytes + _COPY_BYTES_PER_PIXEL * self._pixels(reduction)

    def _pixels(self, reduction: int) -> int:
        width, height = self.container[:2]
        return -(-width // reduction) * -(-height // reduction)

    def _decoded(self, reduction: int) -> tuple[Image.Image, int]:
        """Return the decoded image and its orientation."""
        data = b"".join(self.container.parts)
        image = formats.webp(data) if self.kind == "WEBP" else self._load(data, reduction)
        image.info.update(self.container.metadata)
        return image, _orientation(image)

    def _load(self, data: bytes, reduction: int) -> Image.Image:
        image = formats.open_image(self.kind, data)
        if image.size != self.container[:2]:
            raise formats.MalformedFileError("the decoder reads another size")
        image.draft("RGB", (image.width // reduction, image.height // reduction))
        image.load()
        # An AVIF's decoder holds its frames.
        vars(image).pop("_decoder", None)
        return image


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
    return inspect(data, limits).read(size)


def inspect(data: bytes, limits: Limits = Limits(), images: int = 1) -> EncodedImage:
    """Read an image's structure and check it against the limits, in little time and memory.

    Args:
        data: the file.
        limits: of one image.
        images: the number of images in the request. Together they may cost what one image of the largest size costs,
            and more only for more bytes.

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
    with _errors(kind):
        container = _READERS[kind](data)
    image = EncodedImage(kind, container)
    _check(image, limits)
    share = limits.max_full_decode_pixels // images + PIXELS_PER_BYTE * len(data)
    if container.width * container.height > share:
        raise ImageTooLargeError(
            f"the image has {container.width}x{container.height} pixels in {len(data)} bytes; the limit for an image "
            f"of that many bytes, in a request of {images}, is {share} pixels; send it alone, or a smaller one"
        )
    return image


@contextmanager
def _errors(kind: str) -> Iterator[None]:
    """Turn what reading a file raises into an ImageError."""
    try:
        yield
    except ImageError:
        raise
    except CostlyFileError as error:
        raise ImageError(f"{error}; save the image again and send the new file") from error
    except Exception as error:
        # Pillow's parsers raise many types on malformed bytes. To the client they all mean the same.
        raise ImageError(f"the {kind} image is damaged or truncated; save it again and send the whole file") from error


def _avif(data: bytes) -> Container:
    found = avif.payloads(data)
    width, height = formats.open_image("AVIF", data).size
    if not found.tiled and found.pixels != width * height:
        raise formats.MalformedFileError("the payload has another size than the container states")
    return Container(width, height, (data,), {}, found.animated, decoder_bytes=found.decoder_bytes)


_READERS = {"JPEG": containers.jpeg, "PNG": containers.png, "WEBP": containers.webp, "AVIF": _avif}


def thumbnail(face: Image.Image) -> Pixels:
    """Return the image as (THUMBNAIL_SIDE, THUMBNAIL_SIDE) uint8, grayscale."""
    side = (THUMBNAIL_SIDE, THUMBNAIL_SIDE)
    return np.asarray(face.convert("L").resize(side, Image.Resampling.BOX))


def _check(image: EncodedImage, limits: Limits) -> None:
    width, height = image.container[:2]
    found = f"the image has {width}x{height} pixels"
    if width * height > limits.max_pixels:
        raise ImageTooLargeError(f"{found}; the limit is {limits.max_pixels}")
    if image.container.full_decode and width * height > limits.max_full_decode_pixels:
        raise ImageTooLargeError(
            f"{found}; the limit is {limits.max_full_decode_pixels}, or {limits.max_pixels} in a baseline JPEG"
        )
    if min(width, height) < limits.min_image_side:
        raise ImageError(f"{found}; each side needs at least {limits.min_image_side}")
    if max(width, height) > limits.max_aspect_ratio * min(width, height):
        raise ImageError(f"{found}; the longer side may be at most {limits.max_aspect_ratio} times the shorter one")
    if image.container.animated:
        raise ImageError(f"the {image.kind} image is animated; send a still image")
    # Other formats stay below this by their number of pixels.
    if image.kind == "AVIF" and image.memory(1) - image.container.size > limits.decode_bytes:
        raise ImageTooLargeError(f"{found}, and the decoder needs too much memory for them; send a JPEG")


def _central_square(image: Image.Image) -> Image.Image:
    width, height = image.size
    side = min(width, height)
    if width == height:
        return image
    left, top = (width - side) // 2, (height - side) // 2
    return image.crop((left, top, left + side, top + side))


def _three_or_four_channels(image: Image.Image) -> Image.Image:
    """Return the image as RGB or RGBX, or as RGBA if it has transparency."""
    if image.mode.startswith("I;16"):
        # Pillow's own conversion clips 16-bit levels instead of scaling them.
        levels = np.asarray(image)
        gray = Image.fromarray((levels >> 8).astype(np.uint8))
        if "transparency" in image.info:
            opaque = (levels != image.info["transparency"]).astype(np.uint8)
            del levels
            return Image.merge("LA", (gray, Image.fromarray(opaque * 255))).convert("RGBA")
        return gray.convert("RGB")
    if image.mode in ("RGB", "RGBX", "RGBA") and "transparency" not in image.info:
        return image
    return image.convert("RGBA" if image.has_transparency_data else "RGB")


def _over_background(image: Image.Image) -> Image.Image:
    """Return an RGBA image as RGB."""
    flat = Image.new("RGB", image.size, BACKGROUND)
    flat.paste(image, mask=image.getchannel("A"))
    return flat


def _orientation(image: Image.Image) -> int:
    """Return the EXIF orientation, 1 to 8; 1 (upright) if there is none or it cannot be read."""
    if _METADATA.isdisjoint(image.info):
        return 1
    try:
        return int(image.getexif().get(_ORIENTATION, 1))
    except Exception:
        # Viewers show an image with invalid metadata too.
        return 1
