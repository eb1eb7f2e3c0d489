"""Whether an image is plainly not one aligned, cropped face: what an answer warns of.

A network of two layers sees a 16x16 grey thumbnail of the pixels that the model sees. `convert` fits it to tell the
training faces from images made of them that are no such face: turned, shifted, shrunk, cut out, shuffled.
"""

from __future__ import annotations

import base64
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from PIL import Image

from serving import images
from serving.images import THUMBNAIL_SIDE, DecodedImage, Pixels
from serving.release import Release, ReleaseError

CODES = ("low_contrast", "low_resolution", "extreme_aspect_ratio", "not_a_face")

# Levels of 255: contrast below which noise would be blown up.
_LEAST_CONTRAST = 4.0

Floats = npt.NDArray[np.float32]
Thumbnails = npt.NDArray[np.uint8]


class InputWarning(NamedTuple):
    """One reason to doubt an answer: one of `CODES` for programs, `detail` for people."""

    code: str
    detail: str


class InputCheck(NamedTuple):
    """The fitted network and the bounds from which it warns."""

    # (THUMBNAIL_SIDE**2, units)
    hidden: Floats
    # (units,)
    bias: Floats
    # (units,)
    output: Floats
    # score above which an image is unlike the training faces
    threshold: float
    # levels of 255, standard deviation of a thumbnail's pixels below which an image is of low contrast
    low_contrast: float
    # pixels; the shorter side below which age is answered more than a year worse
    min_side: int
    # longer side over shorter side, from which the central square cuts a face that lies anywhere in the image so far
    # that its age is answered more than a year worse
    max_aspect_ratio: float

    def warnings(self, image: DecodedImage) -> list[InputWarning]:
        """What there is to doubt about an image; mostly nothing."""
        contrast, score = self._measure(image.thumbnail[None])
        return [*self._of_size(image), *self._of_pixels(float(contrast[0]), float(score[0]))]

    def measure(self, faces: Pixels) -> tuple[Floats, Floats]:
        """(N, size, size, 3) uint8 -> (N,) contrasts and (N,) scores, higher for what is less like a face."""
        return self._measure(np.stack([thumbnail(face) for face in faces]))

    def _measure(self, thumbnails: Thumbnails) -> tuple[Floats, Floats]:
        rows, contrasts = standardized(thumbnails)
        units = np.maximum(rows @ self.hidden + self.bias, 0)
        return contrasts, units @ self.output

    def _of_size(self, image: DecodedImage) -> list[InputWarning]:
        short, long = sorted((image.width, image.height))
        found = f"the image has {image.width}x{image.height} pixels"
        warned = []
        if short < self.min_side:
            warned.append(
                InputWarning(
                    "low_resolution", f"{found}; below {self.min_side} a side, age is answered more than a year worse"
                )
            )
        if long >= self.max_aspect_ratio * short:
            warned.append(
                InputWarning(
                    "extreme_aspect_ratio", f"{found} and only its central square is looked at; crop it to the face"
                )
            )
        return warned

    def _of_pixels(self, contrast: float, score: float) -> list[InputWarning]:
        if contrast < self.low_contrast:
            return [
                InputWarning(
                    "low_contrast",
                    f"the image is nearly of one brightness (it varies by {contrast:.1f} of 255, faces by "
                    f"{self.low_contrast:.1f} and more); send a well-lit image of one face",
                )
            ]
        if score > self.threshold:
            return [
                InputWarning(
                    "not_a_face",
                    f"the image is unlike the faces that the model knows (score {score:.1f}, faces stay below "
                    f"{self.threshold:.1f}); send one face, upright, that fills the image",
                )
            ]
        return []


def of(release: Release) -> InputCheck:
    """What the release's manifest says of the input check.

    Raises:
        ReleaseError: it says nothing, or nothing usable.
    """
    try:
        return parse(release.manifest["input_check"])
    except (KeyError, TypeError, ValueError) as error:
        raise ReleaseError(
            f"the manifest of release {release.version} lacks or garbles its section input_check: {error}; "
            "publish the release again"
        ) from error


def parse(section: dict[str, Any]) -> InputCheck:
    """The manifest's section `input_check`.

    Raises:
        KeyError, TypeError, ValueError: it lacks or garbles something.
    """
    scale = np.array(section["scale"], np.float32)
    levels = np.frombuffer(base64.b64decode(section["hidden"], validate=True), np.int8)
    return InputCheck(
        hidden=levels.reshape(THUMBNAIL_SIDE**2, len(scale)) * scale,
        bias=np.array(section["bias"], np.float32).reshape(scale.shape),
        output=np.array(section["output"], np.float32).reshape(scale.shape),
        threshold=float(section["threshold"]),
        low_contrast=float(section["low_contrast"]),
        min_side=int(section["min_side"]),
        max_aspect_ratio=float(section["max_aspect_ratio"]),
    )


def thumbnail(pixels: Pixels) -> Thumbnails:
    """(H, W, 3) uint8 -> (THUMBNAIL_SIDE, THUMBNAIL_SIDE) grey."""
    return images.thumbnail(Image.fromarray(pixels))


def standardized(thumbnails: Thumbnails) -> tuple[Floats, Floats]:
    """(N, side, side) -> (N, side**2) of mean 0 and deviation 1, and the deviations that they had."""
    rows = thumbnails.reshape(len(thumbnails), -1).astype(np.float32)
    rows -= rows.mean(axis=1, keepdims=True)
    contrasts = np.sqrt(np.einsum("ij,ij->i", rows, rows) / rows.shape[1])
    return rows / np.maximum(contrasts, _LEAST_CONTRAST)[:, None], contrasts
