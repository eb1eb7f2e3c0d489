"""`POST /summarize`: shares of gender and age in many images, or in earlier answers. Only aggregates leave.

Imported on the first request, because the statistics take time and memory that predictions do not need.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from http import HTTPStatus
from typing import Any

from flask import Request, Response, g

from serving import memory, request_parsing
from serving.access import Handler
from serving.demographics import bands, confusion, disclosure
from serving.demographics.bands import Band, BandsError
from serving.demographics.confusion import Confusion
from serving.demographics.crowd import Crowd
from serving.demographics.summary import Corrector
from serving.demographics.tally import AnswerError, Tally
from serving.heads import AGE
from serving.inference import InferenceService, PredictionJson, busy
from serving.prediction import PROBABILITIES
from serving.problems import Problem, json_text
from serving.release import ReleaseError
from serving.request_parsing import JSON_TYPE
from serving.request_stats import RequestStats
from serving.routes import Reserve
from serving.settings import Settings
from serving.timeouts import Deadline, DeadlineError

BANDS = "bands"
"""Name of the query parameter with the age bands."""
PREDICTIONS = "predictions"
"""Member of a JSON body with earlier answers: the member of the same name of earlier responses."""
NOT_COUNTED = ("failed", "without_face", "warned")
"""Why an image or a face is not counted: an error, no face in the image, a warning about the face."""
MAX_VALUES = 100_000
"""Limit of the JSON values of one body with earlier answers: some 2,000 faces. They take 4 MB."""

# Enough for the ends of an interval, in half the memory of `summary.REPLICATES`.
_REPLICATES = 100

_EXPECTED = (
    f'expected {{"{PREDICTIONS}": […], "model": {{…}}}} as a response with {PROBABILITIES}=true has them, or images as '
    "/predict takes them"
)


def handler(settings: Settings, inference: InferenceService, reserve: Reserve) -> Handler:
    """Return the handler.

    Raises:
        Problem: 501, the release has no statistics to correct counts with, or the ages are off.
    """
    release = inference.predictor.release
    if AGE not in settings.heads:
        raise Problem(HTTPStatus.NOT_IMPLEMENTED, f"HEADS is without {AGE}, which every summary needs; add it")
    try:
        known = confusion.parse(release.manifest, release.labels)
    except ReleaseError as error:
        raise Problem(HTTPStatus.NOT_IMPLEMENTED, str(error)) from error

    def answers(request: Request, deadline: Deadline) -> list[PredictionJson]:
        if request.mimetype == JSON_TYPE:
            data = request_parsing.body(request, settings)
            content = request_parsing.parse_json(data, _EXPECTED, MAX_VALUES)
            if isinstance(content, dict) and PREDICTIONS in content:
                g.stats = RequestStats(0)
                return _earlier(content, release.identity())
            asked = request_parsing.from_json(request, content, settings)
        else:
            asked = request_parsing.read(request, settings)
        g.stats = RequestStats(len(asked.images))
        infer = inference.detect if asked.detect else inference.predict
        return infer(asked.images, deadline, g.stats, probabilities=True)

    def summarize(request: Request) -> Response:
        wanted, left_out = _bands(request), Counter[str]()
        with reserve(request) as deadline:
            crowd = _crowd(known, _faces(answers(request, deadline), left_out), settings.heads)
            if crowd.faces < settings.min_group:
                raise Problem(
                    HTTPStatus.UNPROCESSABLE_ENTITY,
                    f"{crowd.faces} faces were counted, and groups of fewer than {settings.min_group} people are not "
                    f"shown{_reasons(left_out)}; send more",
                )
            shown = figures(crowd, wanted, deadline)
        body = {
            "summary": shown,
            "not_counted": {name: left_out[name] for name in NOT_COUNTED},
            "min_group": settings.min_group,
            "model": release.identity(),
        }
        return Response(json_text(body), mimetype=JSON_TYPE)

    def figures(crowd: Crowd, wanted: tuple[Band, ...], deadline: Deadline) -> dict[str, Any]:
        # Nothing of the correction is kept: an instance's memory is for images.
        try:
            with inference.reserved(memory.SUMMARY, deadline):
                found = Corrector(known, _REPLICATES).summary(crowd, wanted)
        except DeadlineError as error:
            raise busy() from error
        finally:
            memory.trim()
        return disclosure.published(found, settings.min_group)

    return summarize


def _crowd(known: Confusion, faces: Iterable[PredictionJson], heads: tuple[str, ...]) -> Crowd:
    tally = Tally(known)
    try:
        for face in faces:
            tally.add(_enabled(face, heads))
        return tally.crowd()
    except AnswerError as error:
        raise Problem(
            HTTPStatus.BAD_REQUEST, f"{error}; ask for answers with {PROBABILITIES}=true, all with the same heads"
        ) from error


def _bands(request: Request) -> tuple[Band, ...]:
    text = request.args.get(BANDS)
    try:
        return bands.DEFAULT if text is None else bands.parse(text)
    except BandsError as error:
        raise Problem(HTTPStatus.BAD_REQUEST, f"the query has {BANDS}={text!r:.80}: {error}") from error


def _earlier(content: dict[str, Any], model: dict[str, str]) -> list[PredictionJson]:
    """Return the earlier answers of a body. Those of another release cannot be corrected with this one's errors."""
    stated = content.get("model")
    if stated is not None and (not isinstance(stated, dict) or stated.get("sha256") != model["sha256"]):
        version = stated.get("version") if isinstance(stated, dict) else stated
        raise Problem(
            HTTPStatus.CONFLICT,
            f"the answers are of release {version!r:.60}, and this server corrects those of {model['version']}; send "
            "them to a server of their release",
        )
    found = content[PREDICTIONS]
    if not isinstance(found, list) or not all(isinstance(each, dict) for each in found):
        raise Problem(HTTPStatus.BAD_REQUEST, f'"{PREDICTIONS}" is no list of objects; {_EXPECTED}')
    return found


def _faces(results: Iterable[PredictionJson], left_out: Counter[str]) -> Iterator[PredictionJson]:
    """Return the faces that count, and count the others by their reason."""
    for result in results:
        if "error" in result:
            left_out["failed"] += 1
            continue
        faces = result.get("faces", [result])
        if not faces:
            left_out["without_face"] += 1
        for face in faces:
            if face.get("warnings"):
                left_out["warned"] += 1
            else:
                yield face


def _enabled(face: PredictionJson, heads: tuple[str, ...]) -> PredictionJson:
    """Return a face without the probabilities of other heads: an earlier answer may have more than this server."""
    stated = face.get(PROBABILITIES)
    if not isinstance(stated, dict):
        return face
    return {**face, PROBABILITIES: {head: stated[head] for head in heads if head in stated}}


def _reasons(left_out: Counter[str]) -> str:
    found = [f"{left_out[name]} {name.replace('_', ' ')}" for name in NOT_COUNTED if left_out[name]]
    return f" (not counted: {', '.join(found)})" if found else ""
