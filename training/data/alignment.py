"""Photographs -> aligned crops, found and cut out by the function's detector as `POST /detect` does."""

from __future__ import annotations

from typing import Any

from serving import images
from serving.detection import DetectorError, files, photos
from serving.detection.faces import Face
from serving.detection.photos import Photo
from serving.detection.search import FaceFinder, Options
from serving.images import DecodedImage
from serving.limits import FaceLimits, Limits
from training.config import LARGEST_FACE, PrepareConfig
from training.errors import RejectedFileError, StepError

# Those of a function whose settings nobody changed.
_LIMITS, _FACES = Limits(), FaceLimits()


class Aligner:
    """The detector with the function's default settings, and the rule for photographs of several faces."""

    def __init__(self, config: PrepareConfig) -> None:
        """Load the detector.

        Raises:
            StepError: one of its files is missing or damaged.
        """
        try:
            self._finder = FaceFinder()
        except DetectorError as error:
            raise StepError(str(error)) from error
        self._options = Options(_FACES.min_face_score, _FACES.min_face_size)
        self._config = config

    def read(self, data: bytes) -> DecodedImage:
        """Find the face of a photograph and align it. The pixels are those that the function would predict from.

        Raises:
            RejectedFileError: there is no face, there are several, or it is too small.
            ImageError: the image cannot be used.
        """
        encoded = images.inspect(data, _LIMITS)
        searched = photos.search_reduction(encoded)
        photo = Photo(encoded.upright(searched), [])
        found = self._finder.find(photo.image.pixels, self._options)
        photo = photo._replace(faces=found[: photos.most_faces(_FACES.max_faces, 1, len(data))])
        chosen = self._choose(photo)
        # The smallest face decides, also where only the largest is wanted: the function does so.
        reduction = photos.crop_reduction(encoded, searched, photo.faces, _LIMITS)
        if reduction != searched:
            photo = Photo(encoded.upright(reduction), [])
            chosen = chosen.in_larger(searched / reduction)
        return photos.face_image(photo, chosen, self._config.size, encoded.kind)

    def _choose(self, photo: Photo) -> Face:
        """Return the face to cut out. Faces that are too small do not count where another one is large enough."""
        if not photo.faces:
            raise RejectedFileError("no face found")
        least = self._config.min_face_side
        large = [face for face in photo.faces if photos.side(photo, face) >= least]
        if not large:
            raise RejectedFileError(f"face too small: {photos.side(photo, photo.faces[0])} pixels, at least {least}")
        if len(large) > 1 and self._config.faces != LARGEST_FACE:
            raise RejectedFileError(f"several faces: {len(large)}; give --faces largest to take the largest")
        return large[0]


def identity(config: PrepareConfig) -> dict[str, Any]:
    """Return what the pixels of aligned faces depend on, beside the photographs."""
    return {
        "faces": config.faces,
        "min_face_side": config.min_face_side,
        "min_face_score": _FACES.min_face_score,
        "min_face_size": _FACES.min_face_size,
        "detector": files.section(),
    }
