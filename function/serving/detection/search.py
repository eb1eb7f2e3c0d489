"""Find the faces of an image: several passes of the search network, then one of the other network for each face."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt
from PIL import Image

from serving.detection import crops, geometry
from serving.detection.detectors import MARGIN, REFINE, SEARCH, Candidate, Detector
from serving.detection.geometry import Frame, Points

SEARCH_SIDE = 960
"""Pixels of the longer side that a search needs. More would not be seen."""

# Sides of the square that the network sees, in longer sides of the image: a face must not touch the border.
_MARGIN = 1.25
# The same for small images, which are most often one face already.
_CROP_SIDE, _CROP_MARGIN = 384, MARGIN
# A face with this score is upright, and other rotations are not searched. 95 of 100 upright faces reach it, an inverted
# one does not.
_UPRIGHT = 0.8
# How much better a turned search must be than the upright one.
_TURN_GAIN = 0.05
# Tiles of this share of the longer side are searched unless the largest face has that share of it.
_TILE, _LARGE_FACE = 0.5, 0.2
_TILE_OVERLAP = 0.25
# Score from which the search network's candidates are looked at again.
_LEAST_SCORE = 0.2
# The pixels and their mirror image.
_LOOKS = 2
# Landmarks whose sides a mirror exchanges: eyes, and ears.
_MIRRORED_ORDER = [1, 0, 2, 3, 5, 4]
# Candidates that the second network looks at. It takes three milliseconds for each.
_MOST_REFINED = 256
# Overlaps from which two faces are the same: over the union, and over the smaller one.
_SAME_FACE, _SAME_INSIDE = 0.3, 0.6
# Below so many pixels of its input, the search network is too coarse for landmarks.
_COARSE = 64
_QUARTER_TURNS = (Image.Transpose.ROTATE_90, Image.Transpose.ROTATE_180, Image.Transpose.ROTATE_270)


class Options(NamedTuple):
    """What counts as a face."""

    least_score: float = 0.78
    """Score of the second network from which a candidate is a face, 0 to 1."""
    least_side: float = 0.02
    """Least side of a face's box, in longer sides of the image."""


class Face(NamedTuple):
    """A face in an image. Lengths are in pixels of that image."""

    score: float
    """Score of the second network, 0 to 1."""
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


class _Found(NamedTuple):
    """A candidate of the search, in pixels of the image."""

    score: float
    center: complex
    side: float
    frame: Frame
    seen: float
    """Side of its box in pixels of the network's input."""


_Box = TypeVar("_Box", _Found, Face)


class _Window(NamedTuple):
    """A square part of the image, in its pixels."""

    left: float
    top: float
    side: float


class FaceFinder:
    """Both networks, loaded once and used from any number of threads."""

    def __init__(self) -> None:
        """Load the networks.

        Raises:
            DetectorError: a file is missing or damaged.
        """
        self._search = Detector(SEARCH)
        self._refine = Detector(REFINE)

    def find(self, image: Image.Image, options: Options) -> list[Face]:
        """Return the faces of an RGB image that is upright by its metadata, largest first."""
        longer = max(image.size)
        faces, turn = self._whole(image)
        if max((face.side for face in _sure(faces, options)), default=0.0) < _LARGE_FACE * longer:
            found = [each for tile in _tiles(image) for each in self._pass(image, tile, turn)]
            faces += self._refined(image, found)
        large = [face for face in _sure(faces, options) if face.side >= options.least_side * longer]
        return sorted(_distinct(large), key=lambda face: -face.side)

    def _whole(self, image: Image.Image) -> tuple[list[Face], int]:
        """Search the whole image, turned if only that finds a face. Return the faces and the quarter turns."""
        longer = max(image.size)
        side = longer * (_CROP_MARGIN if longer <= _CROP_SIDE else _MARGIN)
        window = _Window((image.width - side) / 2, (image.height - side) / 2, side)
        upright = self._refined(image, self._pass(image, window, 0))
        if _best(upright) >= _UPRIGHT:
            return upright, 0
        turned = [self._refined(image, self._pass(image, window, turn)) for turn in (1, 2, 3)]
        turn = max((1, 2, 3), key=lambda turn: _best(turned[turn - 1]))
        if _best(turned[turn - 1]) > _best(upright) + _TURN_GAIN:
            return turned[turn - 1], turn
        return upright, 0

    def _pass(self, image: Image.Image, window: _Window, turn: int) -> list[_Found]:
        """Search one window, turned counterclockwise by `turn` quarters."""
        pixels = crops.square(image, *window, SEARCH.size)
        if turn:
            pixels = pixels.transpose(_QUARTER_TURNS[turn - 1])
        scale = window.side * 1j**turn
        # The turn is about the window's center.
        placed = Frame(scale, complex(window.left, window.top) + (0.5 + 0.5j) * (window.side - scale))
        return [
            _Found(
                each.score,
                placed.turn * complex(*each.center) + placed.origin,
                each.side * window.side,
                geometry.fit(SEARCH.template, placed.to_image(each.landmarks)),
                each.side * SEARCH.size,
            )
            for each in self._search.find(pixels, _LEAST_SCORE)
        ]

    def _refined(self, image: Image.Image, found: list[_Found]) -> list[Face]:
        """Return the candidates that the second network finds, too."""
        faces = [self._looked_at(image, each) for each in _distinct(found)[:_MOST_REFINED]]
        return [face for face in faces if face]

    def _looked_at(self, image: Image.Image, found: _Found) -> Face | None:
        """Look at a candidate with the second network, upright and large."""
        face = self._look(image, found.frame)
        if not face:
            return None
        if found.seen < _COARSE:
            return self._look(image, face.frame) or face
        return face._replace(frame=geometry.mean(face.frame, found.frame))

    def _look(self, image: Image.Image, frame: Frame) -> Face | None:
        """Return the face in the middle of the surroundings of `frame`, if the second network finds it.

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
        found = self._refine.find(pixels, _LEAST_SCORE)
        return next((each for each in found if np.abs(each.center - 0.5).max() < each.side / 2), None)


def _mirrored(candidate: Candidate) -> Candidate:
    """Return a candidate of a mirror image as it is in the image."""
    flip, shift = np.array([-1.0, 1.0]), np.array([1.0, 0.0])
    return candidate._replace(
        center=candidate.center * flip + shift, landmarks=(candidate.landmarks * flip + shift)[_MIRRORED_ORDER]
    )


def _tiles(image: Image.Image) -> Iterator[_Window]:
    side = _TILE * max(image.size)
    for top in _starts(image.height, side):
        for left in _starts(image.width, side):
            yield _Window(left, top, side)


def _starts(length: int, side: float) -> npt.NDArray[np.float64]:
    """Return the starts of overlapping tiles that cover a length, none of them beyond its ends if it is longer."""
    if length <= side:
        return np.array([(length - side) / 2])
    return np.linspace(0, length - side, 1 + math.ceil((length - side) / (side * (1 - _TILE_OVERLAP))))


def _best(faces: list[Face]) -> float:
    return max((face.score for face in faces), default=0.0)


def _sure(faces: list[Face], options: Options) -> list[Face]:
    return [face for face in faces if face.score >= options.least_score]


def _distinct(found: list[_Box]) -> list[_Box]:
    """Drop all candidates but the best of each face."""
    kept: list[_Box] = []
    for each in sorted(found, key=lambda each: -each.score):
        if not any(_same(each, better) for better in kept):
            kept.append(each)
    return kept


def _same(first: _Box, second: _Box) -> bool:
    """Return whether two boxes are of one face: they overlap, or one lies in the other."""
    apart = first.center - second.center
    reach, smaller = (first.side + second.side) / 2, min(first.side, second.side)
    common = [min(max(reach - abs(distance), 0.0), smaller) for distance in (apart.real, apart.imag)]
    area = common[0] * common[1]
    union = first.side**2 + second.side**2 - area
    return area > _SAME_FACE * union or area > _SAME_INSIDE * smaller**2
