"""Pictures in, answers out: each decodes, is predicted and answers for itself."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from http import HTTPStatus
from typing import Any

from serving import images, input_check
from serving.heads import AGE
from serving.predictor import Age, Choice, Predictor
from serving.problems import Problem
from serving.release import ReleaseError
from serving.request_stats import Tally
from serving.settings import Settings
from serving.timeouts import Deadline, DeadlineError, Turns

Answer = dict[str, Any]


class Answerer:
    """Answers of one release, for any number of threads.

    As many pictures are worked on at once as there are processors, in the order in which they came: more would only
    wait for each other, and hold more decoded pictures in memory.
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
        self._likeness = input_check.of(release)
        self._settings = settings
        processors = len(os.sched_getaffinity(0))
        self._turns = Turns(processors)
        self._workers = ThreadPoolExecutor(processors, thread_name_prefix="answers")

    def answer(self, pictures: list[bytes], deadline: Deadline, tally: Tally | None = None) -> list[Answer]:
        """One answer a picture, in the order given: the heads that are switched on, or `{"error": problem}`.

        Those that are answered are added to `tally`.

        Raises:
            Problem: not one picture could be answered; for several pictures its member `errors` lists each. 503 when
                the deadline passed before.
        """
        if len(pictures) == 1:
            # Its own thread will do, and spares it the way to another one.
            answers = [self._one(pictures[0], deadline, tally)]
        else:
            answers = list(self._workers.map(lambda picture: self._one(picture, deadline, tally), pictures))
        problems = [answer for answer in answers if isinstance(answer, Problem)]
        if len(problems) == len(answers):
            raise _none(problems)
        return [{"error": answer.details()} if isinstance(answer, Problem) else answer for answer in answers]

    def _one(self, picture: bytes, deadline: Deadline, tally: Tally | None) -> Answer | Problem:
        try:
            with self._turns.turn(deadline):
                face = images.read(picture, self.predictor.release.size, self._settings.limits)
                (prediction,) = self.predictor.predict(face.pixels[None])
                warnings = self._likeness.warnings(face)
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
        heads: dict[str, Age | Choice] = {AGE: prediction.age, **prediction.choices}
        answer: Answer = {head: heads[head]._asdict() for head in self._settings.heads}
        if warnings:
            answer["warnings"] = [warning._asdict() for warning in warnings]
        if tally is not None:
            tally.add(answer, face)
        return answer


def _none(problems: list[Problem]) -> Problem:
    first = problems[0]
    if len(problems) == 1 or all(problem.status == HTTPStatus.SERVICE_UNAVAILABLE for problem in problems):
        return first
    return Problem(
        HTTPStatus.UNPROCESSABLE_ENTITY,
        f"none of the {len(problems)} pictures could be answered",
        members={"errors": [problem.details() for problem in problems]},
    )
