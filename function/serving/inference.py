"""Images in, answers out: each decodes, is predicted and answers for itself."""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from http import HTTPStatus
from typing import Any

from serving import images, input_check
from serving.heads import AGE
from serving.predictor import AgeEstimate, LabelEstimate, Predictor
from serving.problems import Problem
from serving.release import ReleaseError
from serving.request_stats import RequestStats
from serving.settings import Settings
from serving.timeouts import Deadline, DeadlineError, FifoSemaphore

PredictionJson = dict[str, Any]


class InferenceService:
    """Answers of one release, for any number of threads.

    As many images are worked on at once as there are processors, in the order in which they came: more would only
    wait for each other, and hold more decoded images in memory.
    """

    def __init__(self, predictor: Predictor, settings: Settings) -> None:
        """Take over the predictor's release.

        Raises:
            ReleaseError: it does not say what to warn of, or lacks a head that is switched on.
        """
        release = predictor.release
        if lacking := [head for head in settings.heads if head not in (AGE, *release.labels)]:
            raise ReleaseError(
                f"HEADS asks for {', '.join(lacking)}, release {release.version} answers "
                f"{', '.join((AGE, *release.labels))}; leave it out of HEADS, or serve a release that was trained on it"
            )
        self.predictor = predictor
        self._input_check = input_check.of(release)
        self._settings = settings
        processors = len(os.sched_getaffinity(0))
        self._semaphore = FifoSemaphore(processors)
        self._workers = ThreadPoolExecutor(processors, thread_name_prefix="inference")

    def predict(
        self, encoded: Sequence[bytes | Problem], deadline: Deadline, stats: RequestStats | None = None
    ) -> list[PredictionJson]:
        """One answer an image, in the order given: the heads that are switched on, or `{"error": problem}`.

        Those that are answered are added to `stats`.

        Raises:
            Problem: not one image could be answered; for several images its member `errors` lists each. 503 when
                the deadline passed before.
        """
        if len(encoded) == 1:
            # Its own thread will do, and spares it the way to another one.
            predictions = [self._one(encoded[0], deadline, stats)]
        else:
            predictions = list(self._workers.map(lambda image: self._one(image, deadline, stats), encoded))
        problems = [prediction for prediction in predictions if isinstance(prediction, Problem)]
        if len(problems) == len(predictions):
            raise _none(problems)
        return [
            {"error": prediction.details()} if isinstance(prediction, Problem) else prediction
            for prediction in predictions
        ]

    def _one(self, image: bytes | Problem, deadline: Deadline, stats: RequestStats | None) -> PredictionJson | Problem:
        if isinstance(image, Problem):
            return image
        try:
            with self._semaphore.turn(deadline):
                face = images.read(image, self.predictor.release.size, self._settings.limits)
                (estimates,) = self.predictor.predict(face.pixels[None])
                warnings = self._input_check.warnings(face)
        except images.UnknownFormatError as error:
            return Problem(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, str(error))
        except images.ImageTooLargeError as error:
            return Problem(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, str(error))
        except images.ImageError as error:
            return Problem(HTTPStatus.UNPROCESSABLE_ENTITY, str(error))
        except DeadlineError:
            return Problem(
                HTTPStatus.SERVICE_UNAVAILABLE,
                "there was no time left to answer, others were before it; try again later or send less at once",
                {"Retry-After": "1"},
            )
        heads: dict[str, AgeEstimate | LabelEstimate] = {AGE: estimates.age, **estimates.choices}
        prediction: PredictionJson = {head: heads[head]._asdict() for head in self._settings.heads}
        if warnings:
            prediction["warnings"] = [warning._asdict() for warning in warnings]
        if stats is not None:
            stats.add(prediction, face)
        return prediction


def _none(problems: list[Problem]) -> Problem:
    first = problems[0]
    if len(problems) == 1 or all(problem.status == HTTPStatus.SERVICE_UNAVAILABLE for problem in problems):
        return first
    return Problem(
        HTTPStatus.UNPROCESSABLE_ENTITY,
        f"none of the {len(problems)} images could be answered",
        members={"errors": [problem.details() for problem in problems]},
    )
