"""A face in an image, as the networks find it and as the crop needs it."""

from __future__ import annotations

from typing import NamedTuple

from serving.detection.geometry import Frame, Points


class Face(NamedTuple):
    """A face in an image. Lengths are in pixels of that image."""

    score: float
    """How sure the detector is, 0 to 1."""
    center: complex
    """Center of the square box, x + iy."""
    side: float
    """Side of the box."""
    landmarks: Points
    """(6, 2), in the order of `prediction.LANDMARKS`."""
    frame: Frame
    """Where the aligned crop lies."""

    def in_larger(self, factor: float) -> Face:
        """Return the face in an image with `factor` times the pixels a side."""
        return Face(
            self.score, self.center * factor, self.side * factor, self.landmarks * factor, self.frame.in_larger(factor)
        )
