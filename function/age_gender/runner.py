"""Many images through one source of answers, on several threads, in the order of their names."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from http import HTTPStatus
from typing import Protocol

from age_gender import image_files
from age_gender.prediction import Prediction, PredictionError

# Images answered together: enough to share the cost of a request, few enough for the progress to be seen.
TOGETHER = 16

# The bytes of an image, or why it could not be read.
Content = bytes | PredictionError


class Source(Protocol):
    """A client of a server, or a release on this machine."""

    def predict(self, images: Sequence[bytes]) -> list[Prediction]:
        """One answer an image, in the order given."""


def ask(names: Sequence[str], source: Source, threads: int) -> Iterator[tuple[str, Prediction]]:
    """Each name with its answer, in the order given; what cannot be read has an `error`."""
    portions = [names[start : start + TOGETHER] for start in range(0, len(names), TOGETHER)]
    read = reading(image_files.read)
    pool = ThreadPoolExecutor(threads)
    try:
        for portion in pool.map(lambda some: predict(some, map(read, some), source), portions):
            yield from portion
    finally:
        pool.shutdown(cancel_futures=True)


def predict(names: Sequence[str], contents: Iterable[Content], source: Source) -> list[tuple[str, Prediction]]:
    """Some images, answered together; what could not be read passes through."""
    whole = list(contents)
    readable = [content for content in whole if isinstance(content, bytes)]
    predicted = iter(source.predict(readable) if readable else [])
    predictions = [
        Prediction(error=content) if isinstance(content, PredictionError) else next(predicted) for content in whole
    ]
    return list(zip(names, predictions, strict=True))


def reading(read: Callable[[str], bytes]) -> Callable[[str], Content]:
    """`read`, with a failure in place of an OSError."""

    def attempt(name: str) -> Content:
        try:
            return read(name)
        except OSError as error:
            status = HTTPStatus.NOT_FOUND if isinstance(error, FileNotFoundError) else HTTPStatus.FORBIDDEN
            return PredictionError(status, status.phrase, f"cannot be read: {error.strerror or error}")

    return attempt
