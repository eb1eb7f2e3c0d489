"""Decode images, run the model and check the input, image by image."""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from http import HTTPStatus
from typing import Any

from serving import images, input_check, memory
from serving.heads import AGE
from serving.memory import Budget
from serving.prediction import AgeEstimate, LabelEstimate
from serving.predictor import Predictor
from serving.problems import Problem
from serving.release import ReleaseError
from serving.request_stats import RequestStats
from serving.settings import Settings
from serving.timeouts import Deadline, DeadlineError

PredictionJson = dict[str, Any]
"""A prediction as JSON: the selected heads and `warnings`, or only `error`."""


class InferenceService:
    """Predictions of one release, from any number of threads.

    One image per processor is processed at a time, first come, first served. More would only wait for each other and
    hold more decoded images in memory.
    """

    def __init__(self, predictor: Predictor, settings: Settings) -> None:
        """Use the predictor's release.

        Raises:
            ReleaseError: the release has no valid input check, or lacks a head of `settings.heads`.
        """
        release = predictor.release
        if lacking := [head for head in settings.heads if head not in (AGE, *release.labels)]:
            raise ReleaseError(
                f"HEADS names {', '.join(lacking)}, but release {release.version} has only "
                f"{', '.join((AGE, *release.labels))}; remove it from HEADS, or serve a release that has it"
            )
        self.predictor = predictor
        self._input_check = input_check.of(release)
        self._settings = settings
        processors = len(os.sched_getaffinity(0))
        self._processors = Budget(processors)
        self._decoders = Budget(memory.decode_budget(settings.limits, settings.max_request_bytes))
        self._workers = ThreadPoolExecutor(processors, thread_name_prefix="inference")

    def predict(
        self, encoded: Sequence[bytes | Problem], deadline: Deadline, stats: RequestStats | None = None
    ) -> list[PredictionJson]:
        """Return one prediction per image, in order: the selected heads, or `{"error": problem}`.

        Successful predictions are added to `stats`.

        Raises:
            Problem: every image failed. For several images, the member `errors` lists the problem of each. 503 if the
                deadline passed first.
        """
        if len(encoded) == 1:
            # Processed in this thread, which saves the switch to another one.
            predictions = [self._one(encoded[0], 1, deadline, stats)]
        else:
            predictions = list(
                self._workers.map(lambda image: self._one(image, len(encoded), deadline, stats), encoded)
            )
        problems = [prediction for prediction in predictions if isinstance(prediction, Problem)]
        if len(problems) == len(predictions):
            raise _none(problems)
        return [
            {"error": prediction.details()} if isinstance(prediction, Problem) else prediction
            for prediction in predictions
        ]

    def _one(
        self, image: bytes | Problem, count: int, deadline: Deadline, stats: RequestStats | None
    ) -> PredictionJson | Problem:
        """Predict one image of `count` in the request."""
        if isinstance(image, Problem):
            return image
        size = self.predictor.release.size
        try:
            encoded = images.inspect(image, self._settings.limits, count)
            # Memory first: an image that waits for it does not occupy a processor.
            with (
                self._decoders.reserve(memory.decode_bytes(encoded.memory(size)), deadline),
                self._processors.reserve(1, deadline),
            ):
                face = encoded.read(size)
                (estimates,) = self.predictor.predict(face.pixels[None])
                warnings = self._input_check.warnings(face)
        except images.UnknownFormatError as error:
            return Problem(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, str(error))
        except images.ImageTooLargeError as error:
            return Problem(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, str(error))
        except images.ImageError as error:
            return Problem(HTTPStatus.UNPROCESSABLE_ENTITY, str(error))
        except DeadlineError:
            return busy()
        heads: dict[str, AgeEstimate | LabelEstimate] = {AGE: estimates.age, **estimates.choices}
        prediction: PredictionJson = {head: heads[head]._asdict() for head in self._settings.heads}
        if warnings:
            prediction["warnings"] = [warning._asdict() for warning in warnings]
        if stats is not None:
            stats.add(prediction, face)
        return prediction


def busy() -> Problem:
    """Return the problem of a request that waited until its deadline."""
    return Problem(
        HTTPStatus.SERVICE_UNAVAILABLE,
        "the server is busy, and the request reached its time limit while it waited; try again later, or send fewer "
        "images",
        {"Retry-After": "1"},
    )


def _none(problems: list[Problem]) -> Problem:
    first = problems[0]
    if len(problems) == 1 or all(problem.status == HTTPStatus.SERVICE_UNAVAILABLE for problem in problems):
        return first
    return Problem(
        HTTPStatus.UNPROCESSABLE_ENTITY,
        f"all {len(problems)} images failed",
        members={"errors": [problem.details() for problem in problems]},
    )
