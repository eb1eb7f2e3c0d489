"""`POST /summarize`: shares of gender and age in many images, or in earlier answers. Only aggregates leave.

Imported on the first request, because the statistics take time and memory that predictions do not need.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from http import HTTPStatus
from typing import Any

from flask import Request, Response, g

from serving import memory, request_parsing
from serving.demographics import bands, confusion, disclosure, margins, noise
from serving.demographics.bands import Band, BandsError
from serving.demographics.crowd import Crowd
from serving.demographics.margins import NoBandsError
from serving.demographics.summary import Corrector, Summary
from serving.demographics.tally import AnswerError, Tally
from serving.heads import AGE
from serving.inference import InferenceService, PredictionJson, busy
from serving.prediction import PROBABILITIES, RELEASE
from serving.problems import Problem, json_text
from serving.release import ReleaseError
from serving.request_parsing import JSON_TYPE
from serving.request_stats import RequestStats
from serving.routes import Reserve
from serving.settings import Settings
from serving.timeouts import Deadline, DeadlineError

BANDS = "bands"
"""Name of the query parameter with the age bands."""
EPSILON = "epsilon"
"""Name of the query parameter that asks for noise, and of the member that states it."""
EPSILONS = (0.1, 10.0)
"""Smallest and largest epsilon: below, the noise is larger than most crowds, and above it hides nobody."""
PREDICTIONS = "predictions"
"""Member of a JSON body with earlier answers: the member of the same name of earlier responses."""
NOT_COUNTED = ("failed", "without_face", "warned")
"""Why an image or a face is not counted: an error, no face in the image, a warning about the face."""
MAX_VALUES = 100_000
"""Limit of the JSON values of one body with earlier answers: some 2,000 faces. They take 4 MB."""

_EXPECTED = (
    f'expected {{"{PREDICTIONS}": […], "model": {{…}}}} as a response with {PROBABILITIES}=true has them, or images as '
    "/predict takes them"
)


class Summaries:
    """The handler of `POST /summarize` for one release. Nothing of a crowd is kept."""

    def __init__(self, settings: Settings, inference: InferenceService, reserve: Reserve) -> None:
        """Read the release's statistics.

        Raises:
            Problem: 501, the release has none, or the ages are off.
        """
        self._settings, self._inference, self._reserve = settings, inference, reserve
        self._release = inference.predictor.release
        if AGE not in settings.heads:
            raise Problem(HTTPStatus.NOT_IMPLEMENTED, f"HEADS is without {AGE}, which every summary needs; add it")
        try:
            self._known = confusion.parse(self._release.manifest, self._release.labels)
        except ReleaseError as error:
            raise Problem(HTTPStatus.NOT_IMPLEMENTED, str(error)) from error

    def summarize(self, request: Request) -> Response:
        """Respond with the figures of the faces in a request.

        Raises:
            Problem: the request is none of images or of answers, of too few faces, or reached its deadline.
        """
        wanted, epsilon, left_out = _bands(request), _epsilon(request), Counter[str]()
        smallest = self._settings.min_group
        with self._reserve(request) as deadline:
            crowd = self._crowd(self._answers(request, deadline), left_out)
            if epsilon is not None:
                return self._private(crowd, epsilon, deadline)
            if crowd.faces < smallest:
                raise Problem(
                    HTTPStatus.UNPROCESSABLE_ENTITY,
                    f"{crowd.faces} faces were counted, and groups of fewer than {smallest} people are not shown"
                    f"{_reasons(left_out)}; send more",
                )
            shown = disclosure.published(self._figures(crowd, wanted, deadline), smallest)
        body = {
            "summary": shown,
            "not_counted": {name: left_out[name] for name in NOT_COUNTED},
            "min_group": smallest,
            "model": self._release.identity(),
        }
        return Response(json_text(body), mimetype=JSON_TYPE)

    def _answers(self, request: Request, deadline: Deadline) -> list[PredictionJson]:
        """Return the earlier answers in a request, or the answers for its images."""
        if request.mimetype == JSON_TYPE:
            data = request_parsing.body(request, self._settings)
            content = request_parsing.parse_json(data, _EXPECTED, MAX_VALUES)
            if isinstance(content, dict) and PREDICTIONS in content:
                g.stats = RequestStats(0)
                return _earlier(content, self._release.identity())
            asked = request_parsing.from_json(request, content, self._settings)
        else:
            asked = request_parsing.read(request, self._settings)
        g.stats = RequestStats(len(asked.images))
        infer = self._inference.detect if asked.detect else self._inference.predict
        found = infer(asked.images, deadline, g.stats, probabilities=True)
        # A summary tells of no single face, and its line in the log does neither.
        g.stats.keep([])
        return found

    def _crowd(self, results: Iterable[PredictionJson], left_out: Counter[str]) -> Crowd:
        tally = Tally(self._known, self._release.version)
        try:
            for face in _faces(results, left_out):
                tally.add({RELEASE: self._release.version, **_enabled(face, self._settings.heads)})
            crowd = tally.crowd()
        except AnswerError as error:
            raise Problem(HTTPStatus.BAD_REQUEST, f"an answer {error}") from error
        left_out["warned"] = tally.warned.total()
        return crowd

    def _private(self, crowd: Crowd, epsilon: float, deadline: Deadline) -> Response:
        """Respond with figures of noisy counts alone. No noise hides what was left out, so that is not said."""
        scale = (1 + len(crowd.grids)) / epsilon
        bands, labels = disclosure.histograms(crowd)
        noisy = noise.added(bands, scale)
        shown: dict[str, Any] = {"faces": round(noisy.sum())}
        smallest = self._settings.min_group
        if shown["faces"] < smallest:
            raise Problem(
                HTTPStatus.UNPROCESSABLE_ENTITY,
                f"with noise fewer than {smallest} faces were counted; send more, or a larger {EPSILON}",
            )
        heads = {head: noise.added(counts, scale) for head, counts in labels.items()}
        with self._corrector(deadline) as corrector:
            try:
                found = margins.figures(noisy, heads, corrector, scale)
            except NoBandsError as error:
                raise Problem(HTTPStatus.NOT_IMPLEMENTED, f"{error}; evaluate and publish it again") from error
        shown |= disclosure.published_shares(found, shown["faces"], smallest)
        body = {"summary": shown, EPSILON: epsilon, "min_group": smallest, "model": self._release.identity()}
        return Response(json_text(body), mimetype=JSON_TYPE)

    def _figures(self, crowd: Crowd, wanted: tuple[Band, ...], deadline: Deadline) -> Summary:
        with self._corrector(deadline) as corrector:
            return corrector.summary(crowd, wanted)

    @contextmanager
    def _corrector(self, deadline: Deadline) -> Iterator[Corrector]:
        """Reserve memory for a corrector. It is not kept: an instance's memory is for images.

        Raises:
            Problem: 503, the memory was not free before the deadline.
        """
        try:
            with self._inference.reserved(memory.SUMMARY, deadline):
                yield Corrector(self._known)
        except DeadlineError as error:
            raise busy() from error
        finally:
            memory.trim()


def _bands(request: Request) -> tuple[Band, ...]:
    text = request.args.get(BANDS)
    try:
        return bands.DEFAULT if text is None else bands.parse(text)
    except BandsError as error:
        raise Problem(HTTPStatus.BAD_REQUEST, f"the query has {BANDS}={text!r:.80}: {error}") from error


def _epsilon(request: Request) -> float | None:
    text = request.args.get(EPSILON)
    if text is None:
        return None
    try:
        epsilon = float(text)
    except ValueError:
        epsilon = math.nan
    if not EPSILONS[0] <= epsilon <= EPSILONS[1]:
        smallest, largest = EPSILONS
        detail = f"the query has {EPSILON}={text!r:.40}; use a number from {smallest:g} to {largest:g}"
        raise Problem(HTTPStatus.BAD_REQUEST, detail)
    if BANDS in request.args:
        raise Problem(
            HTTPStatus.BAD_REQUEST, f"with {EPSILON} the bands are those of the request log; leave {BANDS} out"
        )
    return epsilon


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
    """Return all faces, and count the images without one by their reason."""
    for result in results:
        if "error" in result:
            left_out["failed"] += 1
            continue
        faces = result.get("faces", [result])
        left_out["without_face"] += not faces
        yield from faces


def _enabled(face: PredictionJson, heads: tuple[str, ...]) -> PredictionJson:
    """Return a face without the probabilities of heads that are off: an earlier answer may have them."""
    stated = face.get(PROBABILITIES)
    if not isinstance(stated, dict):
        return face
    return {**face, PROBABILITIES: {head: stated[head] for head in heads if head in stated}}


def _reasons(left_out: Counter[str]) -> str:
    found = [f"{left_out[name]} {name.replace('_', ' ')}" for name in NOT_COUNTED if left_out[name]]
    return f" (not counted: {', '.join(found)})" if found else ""
