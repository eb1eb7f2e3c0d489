"""Other systems for age and gender, each with its own detector, on images in memory. They run in Node.js."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

PROGRAMS = Path(__file__).parent / "peer"
FACE_API = ("face-api-photos.mjs",)
HUMAN = ("human.mjs",)


class PeerEstimate(NamedTuple):
    """An estimate for the face in the middle of an image."""

    years: float
    gender: str


def estimates(program: tuple[str, ...], pixels: list[Image.Image]) -> Iterator[PeerEstimate | None]:
    """Return what a program estimates for the face that it finds in the middle of each image; None if it finds none."""
    sent = b"".join(np.array(image.size, "<u4").tobytes() + image.tobytes() for image in pixels)
    name, *options = program
    done = subprocess.run(["node", str(PROGRAMS / name), *options], input=sent, capture_output=True, check=True)
    lines = [line for line in done.stdout.splitlines() if line.startswith(b"[")]
    for image, line in zip(pixels, lines, strict=True):
        yield _in_the_middle(image, json.loads(line))


def _in_the_middle(image: Image.Image, faces: list[dict[str, Any]]) -> PeerEstimate | None:
    middle = complex(*image.size) / 2
    near = [(apart, face) for face in faces if (apart := distance(complex(*face["center"]), middle)) < face["side"] / 2]
    _, nearest = min(near, key=lambda pair: pair[0], default=(0.0, None))
    return PeerEstimate(nearest["age"], nearest["gender"]) if nearest else None


def distance(first: complex, second: complex) -> float:
    """Return the larger of the horizontal and the vertical distance."""
    apart = first - second
    return max(abs(apart.real), abs(apart.imag))
