"""Predictions on this machine, without a server."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from tempfile import TemporaryFile

from age_gender.detection import Detection, Result, detect_all
from age_gender.image_files import Image, contents
from age_gender.prediction import Prediction
from serving import release
from serving.inference import InferenceService, PredictionJson
from serving.predictor import Predictor
from serving.problems import Problem
from serving.settings import Settings
from serving.timeouts import Deadline


class LocalPredictor:
    """The function's own decoder, model and calibration in this process. Safe for several threads."""

    def __init__(self, settings: Settings, *, probabilities: bool = False) -> None:
        """Load the release that `settings` names. With `probabilities`, each prediction has what it was chosen from.

        Raises:
            ReleaseError: it cannot be read or run.
        """
        loaded = release.load(settings.model_uri, settings.pins)
        with _without_notes():
            inference = InferenceService(Predictor(loaded), settings)
        self._inference = inference
        self._predict = partial(inference.predict, probabilities=probabilities)
        self._find = partial(inference.detect, probabilities=probabilities)

    @property
    def release(self) -> release.Release:
        """The loaded release."""
        return self._inference.predictor.release

    def predict(self, images: Image | Iterable[Image]) -> list[Prediction]:
        """Return one prediction an image of one aligned face, in order; an image without one has an `error`.

        Args:
            images: one image or several. Each is its bytes, the path of its file, or a file opened in binary mode.

        Raises:
            TypeError: something is no image.
            OSError: a file cannot be read.
        """
        return _results(list(contents(images)), self._predict, Prediction)

    def detect(self, images: Image | Iterable[Image]) -> list[Detection]:
        """Return the faces of each image, in order; an image that could not be searched has an `error`.

        An image without a face is no error: its `faces` are empty.

        Args:
            images: one image or several. Each is its bytes, the path of its file, or a file opened in binary mode.

        Raises:
            DetectorError: a file of the detector is missing or damaged.
            TypeError: something is no image.
            OSError: a file cannot be read.
        """
        return detect_all(list(contents(images)), self._detect)

    def _detect(self, images: list[bytes]) -> list[Detection]:
        return _results(images, self._find, Detection)


def _results(
    images: list[bytes],
    infer: Callable[[Sequence[bytes], Deadline], list[PredictionJson]],
    kind: type[Result],
) -> list[Result]:
    if not images:
        return []
    try:
        # No caller waits on a connection, so there is no time limit.
        return [kind.parse(each) for each in infer(images, Deadline.after(threading.TIMEOUT_MAX))]
    except Problem as problem:
        # Every image failed. Several are listed in `errors`; a single one is the problem itself.
        problems = problem.members.get("errors", [problem.details()])
        return [kind.parse({"error": each}) for each in problems]


@contextmanager
def _without_notes() -> Iterator[None]:
    """Drop the lines that the runtime's C++ code marks as INFO on standard error, and pass on all others."""
    sys.stderr.flush()
    try:
        captured = TemporaryFile()  # noqa: SIM115 - closed below
    except OSError:
        # No folder can be written. Notes do no harm.
        yield
        return
    kept = os.dup(2)
    with captured:
        os.dup2(captured.fileno(), 2)
        try:
            yield
        finally:
            os.dup2(kept, 2)
            os.close(kept)
            captured.seek(0)
            os.write(2, b"".join(line for line in captured if not line.startswith(b"INFO: ")))
