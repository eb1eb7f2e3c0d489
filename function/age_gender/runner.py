"""Predict many images on several threads, in the order of their names."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from http import HTTPStatus
from typing import Protocol

from age_gender import image_files
from age_gender.prediction import Prediction, PredictionError

# Images in one request: enough to share its cost, few enough for a visible progress.
PORTION = 16

# The bytes of an image, or why they could not be read.
Content = bytes | PredictionError


class Predictor(Protocol):
    """A client of a server, or a release on this machine."""

    def predict(self, images: Sequence[bytes]) -> list[Prediction]:
        """Return one prediction an image, in order."""


def predict_files(names: Sequence[str], predictor: Predictor, threads: int) -> Iterator[tuple[str, Prediction]]:
    """Yield each name with its prediction, in order; unreadable files have an `error`."""
    portions = [names[start : start + PORTION] for start in range(0, len(names), PORTION)]
    read = reading(image_files.read)
    pool = ThreadPoolExecutor(threads)
    try:
        for portion in pool.map(lambda some: predict(some, map(read, some), predictor), portions):
            yield from portion
    finally:
        pool.shutdown(cancel_futures=True)


def predict(names: Sequence[str], contents: Iterable[Content], predictor: Predictor) -> list[tuple[str, Prediction]]:
    """Predict some images in one request; what could not be read keeps its error."""
    contents = list(contents)
    readable = [content for content in contents if isinstance(content, bytes)]
    predicted = iter(predictor.predict(readable) if readable else [])
    predictions = [
        Prediction(error=content) if isinstance(content, PredictionError) else next(predicted) for content in contents
    ]
    return list(zip(names, predictions, strict=True))


def reading(read: Callable[[str], bytes]) -> Callable[[str], Content]:
    """Return `read` with an error as its result instead of an OSError."""

    def attempt(name: str) -> Content:
        try:
            return read(name)
        except OSError as error:
            status = HTTPStatus.NOT_FOUND if isinstance(error, FileNotFoundError) else HTTPStatus.FORBIDDEN
            return PredictionError(status, status.phrase, f"cannot be read: {error.strerror or error}")

    return attempt
