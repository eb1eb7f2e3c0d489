"""From a whole image to its faces: at which scale to decode it, and its result as JSON."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from serving import images
from serving.detection import crops
from serving.detection.faces import Face
from serving.detection.search import SEARCH_SIDE
from serving.images import DecodedImage, EncodedImage, UprightImage
from serving.limits import Limits
from serving.prediction import LANDMARKS, TOO_MANY_FACES, FaceBox, InputWarning

BYTES_PER_FACE = 2000
"""Bytes of a file for each face beyond its image's share of a request. A JPEG of a face of 64x64 pixels has as many."""
_DECIMALS = 4


class Photo(NamedTuple):
    """A decoded image with its faces."""

    image: UprightImage
    faces: list[Face]
    """Largest first, in pixels of the decoded image."""


def search_reduction(encoded: EncodedImage) -> int:
    """Return the reduction at which to search an image."""
    return encoded.reduction(max(encoded.container[:2]) / SEARCH_SIDE)


def crop_reduction(encoded: EncodedImage, searched: int, faces: list[Face], limits: Limits) -> int:
    """Return the reduction that leaves the smallest face enough pixels, at most `searched`.

    Args:
        encoded: the image.
        searched: reduction at which the faces were found.
        faces: in pixels of the image at that reduction.
        limits: of one image. No more than `max_full_decode_pixels` are decoded.
    """
    smallest = min((face.frame.side for face in faces), default=crops.ALIGNED_SIDE)
    wanted = encoded.reduction(searched * max(smallest / crops.ALIGNED_SIDE, 1 / searched))
    width, height = encoded.container[:2]
    while wanted < searched and width * height > limits.max_full_decode_pixels * wanted**2:
        wanted *= 2
    return min(wanted, searched)


def face_image(photo: Photo, face: Face, size: int, kind: str) -> DecodedImage:
    """Return a face aligned as the model expects it, `size` pixels a side."""
    aligned = crops.warp(photo.image.pixels, face.frame, crops.ALIGNED_SIDE)
    # The resize of `images.RESIZE_RULE`, from crops of this size, is what the model was trained on.
    aligned = aligned.resize((size, size), Image.Resampling.BILINEAR)
    full = side(photo, face)
    return DecodedImage(np.asarray(aligned, np.uint8), images.thumbnail(aligned), full, full, kind)


def side(photo: Photo, face: Face) -> int:
    """Return the side of a face's aligned crop in pixels of the whole image at full scale."""
    return max(round(face.frame.side * photo.image.width / photo.image.pixels.width), 1)


def face_json(photo: Photo, face: Face) -> dict[str, Any]:
    """Return box, landmarks and score of a face. Positions are shares of the upright image's width and height."""
    width, height = photo.image.pixels.size
    corner = face.center - complex(face.side, face.side) / 2
    box = FaceBox(corner.real / width, corner.imag / height, face.side / width, face.side / height)
    points = (face.landmarks / (width, height)).round(_DECIMALS).tolist()
    return {
        "box": {name: round(value, _DECIMALS) for name, value in box._asdict().items()},
        "landmarks": dict(zip(LANDMARKS, points, strict=True)),
        "score": round(face.score, _DECIMALS),
    }


def most_faces(limit: int, images: int, length: int) -> int:
    """Return the faces that are listed of one image at most.

    Each face costs time, and an image without any costs some, too. Together, small images may list what one lists, and
    more only for more bytes.

    Args:
        limit: of an image that is alone in its request.
        images: in the request.
        length: bytes of the image.
    """
    return min(limit, max(limit // images, 1) + length // BYTES_PER_FACE)


def too_many(found: int, listed: int) -> InputWarning:
    """Return the warning of an image with more faces than the limit."""
    return InputWarning(
        TOO_MANY_FACES,
        f"{found} faces were found, and the {listed} largest are listed; send the image alone, or parts of it",
    )
