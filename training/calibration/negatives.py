"""Counterexamples for the input check: images that are no aligned, cropped face, made from faces."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
from PIL import Image

# Side in pixels: large enough to rotate and crop, small enough for tens of thousands of images in seconds.
SIDE = 32
_BILINEAR, _BICUBIC, _BOX = Image.Resampling.BILINEAR, Image.Resampling.BICUBIC, Image.Resampling.BOX

# (SIDE, SIDE) uint8
Grey = npt.NDArray[np.uint8]
Random = np.random.Generator


def counterexample(face: Grey, random: Random) -> Grey:
    """Return a counterexample of a random kind."""
    return _KINDS[random.integers(len(_KINDS))](face, random)


def loosely_aligned(face: Grey, random: Random) -> Grey:
    """Return the face slightly rotated, moved and scaled, mirrored half of the time. It is still a good image."""
    image = Image.fromarray(face if random.random() < 0.5 else face[:, ::-1])
    side = SIDE * random.uniform(0.88, 1.12)
    x, y = (SIDE - side) / 2 + random.uniform(-0.08, 0.08, 2) * SIDE
    turned = image.rotate(random.uniform(-12, 12), _BILINEAR, fillcolor=_edge(face))
    # The edge is repeated around a face that is scaled down.
    wide = Image.fromarray(np.pad(np.asarray(turned), SIDE // 4, mode="edge"))
    left, top = x + SIDE // 4, y + SIDE // 4
    return np.asarray(wide.resize((SIDE, SIDE), _BILINEAR, box=(left, top, left + side, top + side)))


def _edge(face: Grey) -> int:
    return int(np.median(face[[0, -1]]))


def _quarter_turn(face: Grey, random: Random) -> Grey:
    return np.rot90(face, int(random.integers(1, 4)))


def _turned(face: Grey, random: Random) -> Grey:
    angle = random.uniform(40, 320)
    return np.asarray(Image.fromarray(face).rotate(angle, _BILINEAR, fillcolor=int(random.integers(256))))


def _shrunk(face: Grey, random: Random) -> Grey:
    """Return a small face on a plain or cloudy background."""
    even = np.full((SIDE, SIDE), random.choice(np.array((0, 255, random.integers(256)))), np.uint8)
    ground = clouds(random, int(random.integers(2, 10))) if random.random() < 0.4 else even
    side = int(SIDE * random.uniform(0.25, 0.75))
    top, left = random.integers(0, SIDE - side + 1, 2)
    ground[top : top + side, left : left + side] = np.asarray(Image.fromarray(face).resize((side, side), _BOX))
    return ground


def _part(face: Grey, random: Random) -> Grey:
    side = int(SIDE * random.uniform(0.25, 0.7))
    top, left = random.integers(0, SIDE - side + 1, 2)
    return np.asarray(Image.fromarray(face[top : top + side, left : left + side]).resize((SIDE, SIDE), _BILINEAR))


def _shifted(face: Grey, random: Random) -> Grey:
    far = random.integers(SIDE // 3, SIDE - SIDE // 4, 2) * random.choice((-1, 1), 2)
    if random.random() < 0.5:
        far[random.integers(2)] = 0
    return np.roll(face, far, (0, 1))


def _shuffled(face: Grey, random: Random) -> Grey:
    blocks = face.reshape(4, 8, 4, 8).swapaxes(1, 2).reshape(16, 8, 8)[random.permutation(16)]
    return blocks.reshape(4, 4, 8, 8).swapaxes(1, 2).reshape(SIDE, SIDE)


def _no_face(_: Grey, random: Random) -> Grey:
    """Return clouds, from a gradient to noise."""
    ground = clouds(random, int(random.integers(2, 2 * SIDE))) * random.uniform(0.2, 1)
    noise = random.normal(0, random.uniform(0, 60), (SIDE, SIDE))
    return (ground + noise).clip(0, 255).astype(np.uint8)


def clouds(random: Random, cells: int) -> Grey:
    """Return values that change slowly between cells. Two cells give a gradient."""
    spots = Image.fromarray(random.integers(0, 256, (cells, cells), np.uint8))
    return np.array(spots.resize((SIDE, SIDE), _BICUBIC))


_KINDS: tuple[Callable[[Grey, Random], Grey], ...] = (
    _quarter_turn,
    _turned,
    _shrunk,
    _shrunk,
    _part,
    _shifted,
    _shuffled,
    _no_face,
)
