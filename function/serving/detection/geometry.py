"""Similarity transforms between an aligned crop and the image that it is cut from."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Points = npt.NDArray[np.float64]
"""(N, 2) x and y."""


class Frame(NamedTuple):
    """Where an aligned crop lies in an image: crop coordinates z (0 to 1, as x + iy) -> `turn` * z + `origin`.

    Complex numbers express a rotation and a scale as one product.
    """

    turn: complex
    """Its length is the side of the crop in image pixels, its angle the rotation of the face."""
    origin: complex
    """Image pixels of the crop's upper left corner."""

    @property
    def side(self) -> float:
        """Side of the crop in image pixels."""
        return abs(self.turn)

    @property
    def center(self) -> complex:
        """Image pixels of the crop's center."""
        return self.turn * (0.5 + 0.5j) + self.origin

    def scaled(self, factor: float) -> Frame:
        """Return the frame with the same center and rotation, and `factor` times the side."""
        turn = self.turn * factor
        return Frame(turn, self.center - turn * (0.5 + 0.5j))

    def in_larger(self, factor: float) -> Frame:
        """Return the frame in an image with `factor` times the pixels a side."""
        return Frame(self.turn * factor, self.origin * factor)

    def to_image(self, points: Points) -> Points:
        """Map (N, 2) crop coordinates to image pixels."""
        found = self.turn * _complex(points) + self.origin
        return np.stack([found.real, found.imag], axis=1)


def fit(template: Points, points: Points) -> Frame:
    """Return the frame that maps (N, 2) crop coordinates to (N, 2) image points with the least squared error.

    Umeyama 1991, without reflections. For two dimensions it is a linear fit of complex numbers.
    """
    source, target = _complex(template), _complex(points)
    spread = source - source.mean()
    turn = complex(np.vdot(spread, target - target.mean()) / np.vdot(spread, spread))
    return Frame(turn, complex(target.mean() - turn * source.mean()))


def mean(first: Frame, second: Frame, share: float) -> Frame:
    """Return the frame between two similar ones: `share` of the second, the rest of the first."""
    turn = first.turn + share * (second.turn - first.turn)
    return Frame(turn, first.origin + share * (second.origin - first.origin))


def shared_areas(center: Points, side: float, centers: Points, sides: Points) -> npt.NDArray[np.float64]:
    """Return the areas (N,) that a square shares with others, whose (N, 2) centers and (N,) sides are given."""
    reach = np.minimum((side + sides[:, None]) / 2 - np.abs(centers - center), np.minimum(side, sides)[:, None])
    areas: npt.NDArray[np.float64] = np.maximum(reach, 0).prod(axis=1)
    return areas


def _complex(points: Points) -> npt.NDArray[np.complex128]:
    found: npt.NDArray[np.complex128] = points[:, 0] + 1j * points[:, 1]
    return found
