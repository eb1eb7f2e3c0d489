"""The input check: warn about an image that is plainly not one aligned, cropped face.

A two-layer network scores a 16x16 grayscale thumbnail of the model's input. `convert` fits it to separate the training
faces from distorted copies of them: turned, shifted, shrunk, cut and shuffled.
"""

from __future__ import annotations

import base64
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from PIL import Image

from serving import images
from serving.images import THUMBNAIL_SIDE, DecodedImage, Pixels
from serving.prediction import InputWarning
from serving.release import Release, ReleaseError

CODES = ("low_contrast", "low_resolution", "extreme_aspect_ratio", "not_a_face")
"""The values of `InputWarning.code`."""

# Levels of 255. Below this contrast, standardizing would amplify noise.
_LEAST_CONTRAST = 4.0

Floats = npt.NDArray[np.float32]
Thumbnails = npt.NDArray[np.uint8]


class Wording(NamedTuple):
    """How the details of warnings name what the model sees, and what they advise."""

    subject: str
    contrast: str
    light: str
    unlike: str
    mend: str


SENT = Wording(
    "the image",
    "the contrast",
    "send a well-lit image of one face",
    "the image does not look like a face crop",
    "send one upright face that fills the image",
)
"""An image that a client sent as one face."""
FOUND = Wording(
    "the face",
    "the face's contrast",
    "send a better-lit image",
    "the face does not look like the faces that the model knows",
    "it may be turned away, covered or no face",
)
"""A face that the detector found in a whole image."""


class InputCheck(NamedTuple):
    """The fitted network, and the thresholds of the warnings."""

    hidden: Floats
    """Weights of the hidden layer, (THUMBNAIL_SIDE**2, units)."""
    bias: Floats
    """Biases of the hidden layer, (units,)."""
    output: Floats
    """Weights of the output, (units,)."""
    threshold: float
    """Score above which an image is `not_a_face`."""
    low_contrast: float
    """Standard deviation of the thumbnail, in levels of 255, below which an image is `low_contrast`."""
    min_side: int
    """Shorter side in pixels below which an image is `low_resolution`: the age error grows by more than a year."""
    max_aspect_ratio: float
    """Longer side over shorter side from which an image is of `extreme_aspect_ratio`.

    The central square then cuts off so much of a face anywhere in the image that the age error grows by more than a
    year.
    """

    def warnings(self, image: DecodedImage, wording: Wording = SENT) -> list[InputWarning]:
        """Return the warnings for an image, none for most."""
        contrast, score = self._measure(image.thumbnail[None])
        return [*self._of_size(image, wording), *self._of_pixels(float(contrast[0]), float(score[0]), wording)]

    def measure(self, faces: Pixels) -> tuple[Floats, Floats]:
        """Return (N,) contrasts and (N,) scores of (N, size, size, 3) uint8. Higher scores are less like a face."""
        return self._measure(np.stack([thumbnail(face) for face in faces]))

    def _measure(self, thumbnails: Thumbnails) -> tuple[Floats, Floats]:
        rows, contrasts = standardized(thumbnails)
        units = np.maximum(rows @ self.hidden + self.bias, 0)
        return contrasts, units @ self.output

    def _of_size(self, image: DecodedImage, wording: Wording) -> list[InputWarning]:
        short, long = sorted((image.width, image.height))
        found = f"{wording.subject} has {image.width}x{image.height} pixels"
        warned = []
        if short < self.min_side:
            warned.append(
                InputWarning(
                    "low_resolution",
                    f"{found}; below {self.min_side} pixels a side, the age error grows by more than a year",
                )
            )
        if long >= self.max_aspect_ratio * short:
            warned.append(
                InputWarning(
                    "extreme_aspect_ratio", f"{found}, and the model sees only its central square; crop it to the face"
                )
            )
        return warned

    def _of_pixels(self, contrast: float, score: float, wording: Wording) -> list[InputWarning]:
        if contrast < self.low_contrast:
            return [
                InputWarning(
                    "low_contrast",
                    f"{wording.contrast} is too low (standard deviation {contrast:.1f} of 255 levels, faces have at "
                    f"least {self.low_contrast:.1f}); {wording.light}",
                )
            ]
        if score > self.threshold:
            return [
                InputWarning(
                    "not_a_face",
                    f"{wording.unlike} (score {score:.1f}, faces stay below {self.threshold:.1f}); {wording.mend}",
                )
            ]
        return []


def of(release: Release) -> InputCheck:
    """Return the input check of a release.

    Raises:
        ReleaseError: the manifest has no valid section `input_check`.
    """
    try:
        return parse(release.manifest["input_check"])
    except (KeyError, TypeError, ValueError) as error:
        raise ReleaseError(
            f"the manifest of release {release.version} has no valid section input_check: {error}; "
            "publish the release again"
        ) from error


def parse(section: dict[str, Any]) -> InputCheck:
    """Parse the manifest's section `input_check`.

    Raises:
        KeyError, TypeError, ValueError: a member is missing or invalid.
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
    """Return (H, W, 3) uint8 as (THUMBNAIL_SIDE, THUMBNAIL_SIDE) uint8, grayscale."""
    return images.thumbnail(Image.fromarray(pixels))


def standardized(thumbnails: Thumbnails) -> tuple[Floats, Floats]:
    """Return (N, side**2) rows of mean 0 and standard deviation 1, and the original deviations, (N,)."""
    rows = thumbnails.reshape(len(thumbnails), -1).astype(np.float32)
    rows -= rows.mean(axis=1, keepdims=True)
    contrasts = np.sqrt(np.einsum("ij,ij->i", rows, rows) / rows.shape[1])
    return rows / np.maximum(contrasts, _LEAST_CONTRAST)[:, None], contrasts
