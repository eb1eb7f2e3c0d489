"""The two networks that find faces: MediaPipe's BlazeFace (Bazarevsky et al. 2019, arXiv:1907.05047).

`search` sees whole images, `refine` the surroundings of one face. The files are Google's, under the Apache License 2.0:
see NOTICE beside them.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from PIL import Image

from serving import storage
from serving.detection import DetectorError, geometry
from serving.detection.geometry import Points
from serving.runtime import Interpreter

MARGIN = 1.6
"""Side of the square that a network sees of an aligned face, in sides of the aligned crop."""

# Raw scores beyond this give a probability of 0 or 1 in float32.
_LARGEST_LOGIT = 80.0
# Overlap, as intersection over union, from which two candidates of one pass are the same face.
_SAME_FACE = 0.3
_COORDINATES = 16


class NetworkFile(NamedTuple):
    """One of the files, and what its training fixed."""

    name: str
    """Name of the file in this folder."""
    sha256: str
    """Its SHA-256 in hex."""
    size: int
    """Pixels, side of the square input."""
    grids: tuple[tuple[int, int], ...]
    """Cells a side of each anchor grid, and anchors in a cell."""
    template: Points
    """(6, 2) `prediction.LANDMARKS` in an aligned crop, as shares of its side.

    Medians over 799 UTKFace training faces that fill 1 / MARGIN of the input: `python -m tests.fit_templates`.
    """


SEARCH = NetworkFile(
    "face_detection_back.tflite",
    "e376cf6b168d5ece8a3cedb94acc4eb168a136aede125ccc3d903ef38f5beda8",
    256,
    ((16, 2), (8, 6)),
    np.array([[57.6, 58.3], [136.0, 57.8], [95.7, 108.1], [97.0, 145.1], [19.9, 68.7], [177.4, 69.4]]) / 200,
)
REFINE = NetworkFile(
    "face_detection_short_range.tflite",
    "3bc182eb9f33925d9e58b5c8d59308a760f4adea8f282370e428c51212c26633",
    128,
    ((16, 2), (8, 6)),
    np.array([[60.1, 60.5], [138.7, 59.1], [100.4, 105.2], [100.3, 144.1], [18.9, 78.0], [181.3, 75.3]]) / 200,
)
FILES = (SEARCH, REFINE)


class Candidate(NamedTuple):
    """A face in an image."""

    score: float
    """How sure the network is, 0 to 1."""
    center: Points
    """(2,) center of the square box."""
    side: float
    """Side of the box."""
    landmarks: Points
    """(6, 2) in the order of `prediction.LANDMARKS`."""

    @property
    def in_the_middle(self) -> bool:
        """Whether the box contains the middle of the image."""
        return bool(np.abs(self.center - 0.5).max() < self.side / 2)


class Detector:
    """One network, from any number of threads."""

    def __init__(self, file: NetworkFile) -> None:
        """Load the network.

        Raises:
            DetectorError: the file is missing or another one.
        """
        path = Path(__file__).parent / file.name
        try:
            self._model = path.read_bytes()
        except OSError as error:
            raise DetectorError(f"{path} cannot be read ({error.strerror}); deploy the whole function again") from error
        if storage.digest(self._model) != file.sha256:
            raise DetectorError(f"{path} does not have SHA-256 {file.sha256}; deploy the function again")
        self.file = file
        self._anchors = _anchors(file.grids)
        self._idle = [self._interpreter()]

    def find(self, image: Image.Image, least_score: float) -> list[Candidate]:
        """Return the faces in a square RGB image of `file.size`, best first, in shares of its side."""
        scores, coordinates = self._run(image)
        (rows,) = np.nonzero(scores >= least_score)
        rows = rows[np.argsort(-scores[rows], kind="stable")]
        # center, size and landmarks, each relative to the anchor but the size
        points = coordinates[rows].reshape(len(rows), _COORDINATES // 2, 2).astype(np.float64) / self.file.size
        points[:, 0] += self._anchors[rows]
        points[:, 2:] += self._anchors[rows, None]
        return list(_merged(scores[rows].astype(np.float64), points))

    def _run(self, image: Image.Image) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
        """Return (anchors,) scores and (anchors, 16) coordinates."""
        # Two threads must not share an interpreter. pop and append of a list are atomic.
        try:
            interpreter = self._idle.pop()
        except IndexError:
            interpreter = self._interpreter()
        try:
            pixels = np.asarray(image, np.float32)[None] / 127.5 - 1
            interpreter.set_tensor(interpreter.get_input_details()[0]["index"], pixels)
            interpreter.invoke()
            found = [interpreter.get_tensor(output["index"])[0] for output in interpreter.get_output_details()]
        finally:
            self._idle.append(interpreter)
        coordinates, logits = sorted(found, key=lambda values: values.shape[1] != _COORDINATES)
        return 1 / (1 + np.exp(-np.clip(logits[:, 0], -_LARGEST_LOGIT, _LARGEST_LOGIT))), coordinates

    def _interpreter(self) -> Any:
        interpreter = Interpreter(model_content=self._model, num_threads=1)
        interpreter.allocate_tensors()
        return interpreter


def _anchors(grids: tuple[tuple[int, int], ...]) -> Points:
    """Return the (anchors, 2) centers of the grids' cells, in shares of the input's side."""
    found = []
    for cells, repeats in grids:
        at = (np.arange(cells) + 0.5) / cells
        rows, columns = np.meshgrid(at, at, indexing="ij")
        found.append(np.repeat(np.stack([columns.ravel(), rows.ravel()], axis=1), repeats, axis=0))
    return np.concatenate(found)


def _merged(scores: npt.NDArray[np.float64], points: npt.NDArray[np.float64]) -> Iterator[Candidate]:
    """Merge (N, 8, 2) candidates of the same face, best first, each by the mean weighted with its (N,) score.

    Bazarevsky et al. 2019, section 3.3: less jitter than the best candidate alone.
    """
    while len(scores):
        centers, sides = points[:, 0], points[:, 1, 0]
        shared = geometry.shared_areas(centers[0], sides[0], centers, sides)
        same = shared > _SAME_FACE * (sides[0] ** 2 + sides**2 - shared)
        same[0] = True
        center, size, *landmarks = np.average(points[same], axis=0, weights=scores[same])
        yield Candidate(float(scores[0]), center, float(size.mean()), np.array(landmarks))
        scores, points = scores[~same], points[~same]
