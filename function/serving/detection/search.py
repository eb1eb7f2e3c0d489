"""Find the faces of an image: several passes of the search network, then one of the other network for each face."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from operator import attrgetter
from typing import NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt
from PIL import Image

from serving.detection import crops, geometry
from serving.detection.detectors import MARGIN, SEARCH, Candidate, Detector
from serving.detection.faces import Face
from serving.detection.geometry import Frame, Points
from serving.detection.refinement import Refiner

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
_TURN_GAIN = 0.1
# Tiles of this share of the longer side are searched unless the largest face has that share of it.
_TILE, _LARGE_FACE = 0.5, 0.2
_TILE_OVERLAP = 0.25
# Score from which the search network's candidates are looked at again.
_LEAST_SCORE = 0.2
# Candidates that are looked at again, of the whole image and of all tiles. Each takes three to eight milliseconds.
_MOST_LOOKS = 100
# Candidates that tell how the image is turned.
_FEW = 5
# Overlaps from which two faces are the same: over the union, and over the smaller one.
_SAME_FACE, _SAME_INSIDE = 0.3, 0.6
# Below so many pixels of its input, the search network is too coarse for landmarks, and is often wrong.
_COARSE = 64
# How much more often a small candidate is no face than one.
_SMALL_FACE_ODDS = 3.5
_QUARTER_TURNS = (Image.Transpose.ROTATE_90, Image.Transpose.ROTATE_180, Image.Transpose.ROTATE_270)


_Item = TypeVar("_Item")


class Options(NamedTuple):
    """What counts as a face."""

    least_score: float
    """Score from which a candidate is a face, 0 to 1."""
    least_side: float
    """Least side of a face's box, in longer sides of the image."""


class _Found(NamedTuple):
    """A candidate of the search."""

    face: Face
    seen: float
    """Side of its box in pixels of the network's input."""


_FACE = attrgetter("face")


class _Judged(NamedTuple):
    """A candidate after the second look."""

    face: Face
    agreement: float
    """Mean score of both networks: it tells an upright face from a turned one."""


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
        self._network = Detector(SEARCH)
        self._refiner = Refiner()

    def find(self, image: Image.Image, options: Options) -> list[Face]:
        """Return the faces of an RGB image that is upright by its metadata, largest first."""
        longer = max(image.size)
        judged, turn = self._whole(image)
        largest = max((face.side for face in _sure(judged, options)), default=0.0)
        # A smaller image has no pixels that the first pass did not see.
        if largest < _LARGE_FACE * longer and longer > SEARCH.size:
            found = [each for tile in _tiles(image) for each in self._pass(image, tile, turn)]
            judged += self._judge(image, _best_of_each(found, _FACE))
        large = [face for face in _sure(judged, options) if face.side >= options.least_side * longer]
        return sorted(_best_of_each(large, lambda face: face, len(large)), key=lambda face: -face.side)

    def _whole(self, image: Image.Image) -> tuple[list[_Judged], int]:
        """Search the whole image, turned if only that finds a face. Return the faces and the quarter turns."""
        longer = max(image.size)
        side = longer * (_CROP_MARGIN if longer <= _CROP_SIDE else _MARGIN)
        window = _Window((image.width - side) / 2, (image.height - side) / 2, side)
        found, turn = self._pass(image, window, 0), 0
        judged = self._judge(image, found[:_FEW])
        if _best(judged) < _UPRIGHT:
            least = _best(judged) + _TURN_GAIN
            for other in (1, 2, 3):
                turned = self._pass(image, window, other)
                few = self._judge(image, turned[:_FEW])
                if _best(few) > least:
                    found, turn, judged, least = turned, other, few, _best(few)
        return judged + self._judge(image, found[_FEW:]), turn

    def _pass(self, image: Image.Image, window: _Window, turn: int) -> list[_Found]:
        """Search one window, turned counterclockwise by `turn` quarters. Return the candidates, best first."""
        pixels = crops.square(image, *window, SEARCH.size)
        if turn:
            pixels = pixels.transpose(_QUARTER_TURNS[turn - 1])
        scale = window.side * 1j**turn
        # The turn is about the window's center.
        placed = Frame(scale, complex(window.left, window.top) + (0.5 + 0.5j) * (window.side - scale))
        found = self._network.find(pixels, _LEAST_SCORE)
        return _best_of_each([_Found(_placed(each, placed), each.side * SEARCH.size) for each in found], _FACE)

    def _judge(self, image: Image.Image, found: list[_Found]) -> list[_Judged]:
        """Look at candidates again."""
        return [self._looked_at(image, *each) for each in found]

    def _looked_at(self, image: Image.Image, found: Face, seen: float) -> _Judged:
        look, small = self._refiner.look(image, found.frame), seen < _COARSE
        if look and small:
            look = self._refiner.look(image, look.frame) or look
        if not look:
            return _Judged(found._replace(score=0.0 if small else found.score / 2), found.score / 2)
        agreement = (found.score + look.score) / 2
        if small:
            return _Judged(look._replace(score=_posterior(look.score)), agreement)
        frame = geometry.mean(found.frame, look.frame, look.score / (found.score + look.score))
        return _Judged(look._replace(score=agreement, frame=frame), agreement)


def _posterior(score: float) -> float:
    """Return the score of a face that the search network hardly sees.

    The second look must be clear: among thousands of places, one looks like a face by chance. This is Bayes' rule with
    the odds of that.
    """
    return score / (score + _SMALL_FACE_ODDS * (1 - score))


def _placed(candidate: Candidate, placed: Frame) -> Face:
    """Return a candidate, whose lengths are shares of what the network saw, where that lies in the image."""
    landmarks = placed.to_image(candidate.landmarks)
    center = placed.turn * complex(*candidate.center) + placed.origin
    return Face(
        candidate.score, center, candidate.side * placed.side, landmarks, geometry.fit(SEARCH.template, landmarks)
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


def _best(judged: list[_Judged]) -> float:
    return max((each.agreement for each in judged), default=0.0)


def _sure(judged: list[_Judged], options: Options) -> list[Face]:
    return [each.face for each in judged if each.face.score >= options.least_score]


def _best_of_each(items: list[_Item], face_of: Callable[[_Item], Face], most: int = _MOST_LOOKS) -> list[_Item]:
    """Drop all items but the best of each face. Return at most `most`, best first."""
    items = sorted(items, key=lambda item: -face_of(item).score)
    centers = np.array([(face_of(item).center.real, face_of(item).center.imag) for item in items])
    sides = np.array([face_of(item).side for item in items])
    left = np.arange(len(items))
    kept: list[_Item] = []
    while len(left) and len(kept) < most:
        best, left = left[0], left[1:]
        kept.append(items[best])
        left = left[~_same(centers[best], sides[best], centers[left], sides[left])]
    return kept


def _same(center: Points, side: float, centers: Points, sides: Points) -> npt.NDArray[np.bool_]:
    """Return (N,) whether a box is of the same face as others: they overlap, or one lies in the other."""
    shared = geometry.shared_areas(center, side, centers, sides)
    same: npt.NDArray[np.bool_] = shared > _SAME_FACE * (side**2 + sides**2 - shared)
    return same | (shared > _SAME_INSIDE * np.minimum(side, sides) ** 2)
