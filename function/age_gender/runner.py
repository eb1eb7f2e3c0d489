"""Predict many images on several threads, in the order of their names."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from http import HTTPStatus

from age_gender import image_files
from age_gender.detection import Result
from age_gender.prediction import PredictionError

# Images in one request: enough to share its cost, few enough for a visible progress.
PORTION = 16

Content = bytes | PredictionError
"""The bytes of an image, or why they could not be read."""

Ask = Callable[[Sequence[bytes]], list[Result]]
"""`predict` or `detect` of a client or of a release on this machine: one result an image, in order."""

Seen = Callable[[str, bytes, Result], None]
"""What a thread does with each result: it gets the image's name and bytes too."""


def predict_files(
    names: Sequence[str], ask: Ask[Result], kind: type[Result], threads: int, seen: Seen[Result] | None = None
) -> Iterator[tuple[str, Result]]:
    """Yield each name with its result, in order; unreadable files have an `error`.

    Args:
        names: files, or the name of standard input.
        ask: takes the bytes of some images.
        kind: of its results.
        threads: requests at once.
        seen: called by a thread for each image without an `error`, before its result is yielded.
    """
    portions = [names[start : start + PORTION] for start in range(0, len(names), PORTION)]
    read = reading(image_files.read)
    pool = ThreadPoolExecutor(threads)
    try:
        for portion in pool.map(lambda some: predict(some, map(read, some), ask, kind, seen), portions):
            yield from portion
    finally:
        pool.shutdown(cancel_futures=True)


def predict(
    names: Sequence[str],
    contents: Iterable[Content],
    ask: Ask[Result],
    kind: type[Result],
    seen: Seen[Result] | None = None,
) -> list[tuple[str, Result]]:
    """Predict some images in one request; what could not be read keeps its error."""
    contents = list(contents)
    readable = [content for content in contents if isinstance(content, bytes)]
    given = iter(ask(readable) if readable else [])
    results = []
    for name, content in zip(names, contents, strict=True):
        result = kind(error=content) if isinstance(content, PredictionError) else next(given)
        if seen and isinstance(content, bytes) and not result.error:
            seen(name, content, result)
        results.append((name, result))
    return results


def reading(read: Callable[[str], bytes]) -> Callable[[str], Content]:
    """Return `read` with an error as its result instead of an OSError."""

    def attempt(name: str) -> Content:
        try:
            return read(name)
        except OSError as error:
            status = HTTPStatus.NOT_FOUND if isinstance(error, FileNotFoundError) else HTTPStatus.FORBIDDEN
            return PredictionError(status, status.phrase, f"cannot be read: {error.strerror or error}")

    return attempt
