"""Look at one face again, upright and large, with the second network."""

from __future__ import annotations

import numpy as np
from PIL import Image

from serving.detection import crops, geometry
from serving.detection.detectors import MARGIN, REFINE, Candidate, Detector
from serving.detection.faces import Face
from serving.detection.geometry import Frame

# Candidates below this score are nothing.
_LEAST_SCORE = 0.1
# The pixels and their mirror image.
_LOOKS = 2
# Landmarks whose sides a mirror exchanges: eyes, and ears.
_MIRRORED_ORDER = [1, 0, 2, 3, 5, 4]


class Refiner:
    """The second network, from any number of threads."""

    def __init__(self) -> None:
        """Load the network.

        Raises:
            DetectorError: its file is missing or damaged.
        """
        self._network = Detector(REFINE)

    def look(self, image: Image.Image, frame: Frame) -> Face | None:
        """Return the face in the middle of the surroundings of `frame`, or None.

        The face is the mean of what the network sees in the pixels and in their mirror image. A false face rarely has a
        high score in both.
        """
        window = frame.scaled(MARGIN)
        pixels = crops.warp(image, window, REFINE.size)
        mirrored = self._in_the_middle(pixels.transpose(Image.Transpose.FLIP_LEFT_RIGHT))
        seen = [each for each in (self._in_the_middle(pixels), mirrored and _mirrored(mirrored)) if each]
        if not seen:
            return None
        landmarks = window.to_image(np.mean([each.landmarks for each in seen], axis=0))
        center = complex(*np.mean([each.center for each in seen], axis=0))
        return Face(
            sum(each.score for each in seen) / _LOOKS,
            window.turn * center + window.origin,
            sum(each.side for each in seen) / len(seen) * window.side,
            landmarks,
            geometry.fit(REFINE.template, landmarks),
        )

    def _in_the_middle(self, pixels: Image.Image) -> Candidate | None:
        found = self._network.find(pixels, _LEAST_SCORE)
        return next((each for each in found if each.in_the_middle), None)


def _mirrored(candidate: Candidate) -> Candidate:
    """Return a candidate of a mirror image as it is in the image."""
    flip, shift = np.array([-1.0, 1.0]), np.array([1.0, 0.0])
    return candidate._replace(
        center=candidate.center * flip + shift, landmarks=(candidate.landmarks * flip + shift)[_MIRRORED_ORDER]
    )
