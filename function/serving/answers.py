"""Pictures in, answers out: each decodes, is predicted and answers for itself."""

from __future__ import annotations

from dataclasses import asdict
from http import HTTPStatus
from typing import Any

import numpy as np

from serving import images
from serving.limits import Limits
from serving.predictor import Prediction, Predictor
from serving.problems import Problem
from serving.settings import Settings


def answer(pictures: list[bytes], predictor: Predictor, settings: Settings) -> list[dict[str, Any]]:
    """One answer a picture, in the order given: the heads that are switched on, or `{"error": problem}`.

    Raises:
        Problem: not one picture could be answered; for several pictures its member `errors` lists each.
    """
    decoded = [_decode(picture, predictor.release.size, settings.limits) for picture in pictures]
    problems = [face for face in decoded if isinstance(face, Problem)]
    if len(problems) == len(pictures):
        raise _none(problems)
    faces = [face for face in decoded if not isinstance(face, Problem)]
    predictions = iter(predictor.predict(np.stack(faces)))
    return [
        {"error": face.details()} if isinstance(face, Problem) else _heads(next(predictions), settings.heads)
        for face in decoded
    ]


def _none(problems: list[Problem]) -> Problem:
    if len(problems) == 1:
        return problems[0]
    return Problem(
        HTTPStatus.UNPROCESSABLE_ENTITY,
        f"none of the {len(problems)} pictures could be answered",
        members={"errors": [problem.details() for problem in problems]},
    )


def _decode(picture: bytes, size: int, limits: Limits) -> images.Pixels | Problem:
    try:
        return images.decode(picture, size, limits)
    except images.UnknownFormatError as error:
        return Problem(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, str(error))
    except images.ImageTooLargeError as error:
        return Problem(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, str(error))
    except images.ImageError as error:
        return Problem(HTTPStatus.UNPROCESSABLE_ENTITY, str(error))


def _heads(prediction: Prediction, heads: tuple[str, ...]) -> dict[str, Any]:
    every = asdict(prediction)
    return {head: every[head] for head in heads}
