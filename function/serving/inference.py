"""Decode images, run the model and check the input, image by image."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from functools import cached_property
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from serving import images, input_check, memory
from serving.heads import AGE
from serving.images import DecodedImage
from serving.input_check import Wording
from serving.memory import Budget
from serving.prediction import PROBABILITIES, RELEASE, AgeEstimate, LabelEstimate
from serving.predictor import Predictor
from serving.problems import Problem
from serving.release import DETECTOR, ReleaseError
from serving.request_stats import RequestStats
from serving.settings import Settings
from serving.timeouts import Deadline, DeadlineError

if TYPE_CHECKING:
    from serving.detection.photos import Photo
    from serving.detection.search import FaceFinder, Options

PredictionJson = dict[str, Any]
"""A prediction as JSON: the selected heads and `warnings`, or only `error`. For a whole image, its faces."""


class InferenceService:
    """Predictions of one release, from any number of threads.

    One image per processor is processed at a time, first come, first served. More would only wait for each other and
    hold more decoded images in memory.
    """

    def __init__(self, predictor: Predictor, settings: Settings) -> None:
        """Use the predictor's release.

        Raises:
            ReleaseError: the release has no valid input check, lacks a head of `settings.heads`, or was made with
                another detector.
        """
        release = predictor.release
        if lacking := [head for head in settings.heads if head not in (AGE, *release.labels)]:
            raise ReleaseError(
                f"HEADS names {', '.join(lacking)}, but release {release.version} has only "
                f"{', '.join((AGE, *release.labels))}; remove it from HEADS, or serve a release that has it"
            )
        if DETECTOR in release.manifest:
            # Imported only then: the start of another release does not pay for it.
            from serving.detection import files

            files.check(release)
        self.predictor = predictor
        self._input_check = input_check.of(release)
        self._settings = settings
        processors = len(os.sched_getaffinity(0))
        self._processors = Budget(processors)
        self._decoders = Budget(memory.decode_budget(settings.limits, settings.max_request_bytes))
        self._searches = Budget(1)
        self._workers = ThreadPoolExecutor(processors, thread_name_prefix="inference")

    def predict(
        self,
        encoded: Sequence[bytes | Problem],
        deadline: Deadline,
        stats: RequestStats | None = None,
        *,
        probabilities: bool = False,
    ) -> list[PredictionJson]:
        """Return one prediction per image, in order: the selected heads, or `{"error": problem}`.

        Successful predictions are added to `stats`. With `probabilities`, each has what it was chosen from.

        Raises:
            Problem: every image failed. For several images, the member `errors` lists the problem of each. 503 if the
                deadline passed first.
        """
        results = self._each(encoded, lambda image: self._aligned(image, len(encoded), deadline, stats), stats)
        return results if probabilities else [_without_probabilities(each) for each in results]

    def detect(
        self,
        encoded: Sequence[bytes | Problem],
        deadline: Deadline,
        stats: RequestStats | None = None,
        *,
        probabilities: bool = False,
    ) -> list[PredictionJson]:
        """Find the faces of whole images: one result per image, in order, or `{"error": problem}`.

        Errors are those of `predict`. An image without a face is no error.
        """
        try:
            results = self._each(encoded, lambda image: self._detected(image, len(encoded), deadline, stats), stats)
            return results if probabilities else [_photo_without_probabilities(each) for each in results]
        finally:
            memory.trim()

    def preload(self) -> None:
        """Load the detector now instead of at its first use.

        Raises:
            DetectorError: one of its files is missing or damaged.
        """
        _ = self._finder

    @cached_property
    def _finder(self) -> FaceFinder:
        # Imported on the first use: whoever never detects does not pay for it.
        from serving.detection.search import FaceFinder

        return FaceFinder()

    @cached_property
    def _options(self) -> Options:
        from serving.detection.search import Options

        return Options(self._settings.min_face_score, self._settings.min_face_size)

    def _each(
        self,
        encoded: Sequence[bytes | Problem],
        process: Callable[[bytes], PredictionJson],
        stats: RequestStats | None,
    ) -> list[PredictionJson]:
        if len(encoded) == 1:
            # Processed in this thread, which saves the switch to another one.
            results = [_attempt(process, encoded[0])]
        else:
            results = list(self._workers.map(lambda image: _attempt(process, image), encoded))
        problems = [result for result in results if isinstance(result, Problem)]
        if len(problems) == len(results):
            raise _none(problems)
        found = [{"error": result.details()} if isinstance(result, Problem) else result for result in results]
        if stats is not None:
            stats.keep(found)
        return found

    def _aligned(self, image: bytes, count: int, deadline: Deadline, stats: RequestStats | None) -> PredictionJson:
        """Predict one aligned face of `count` in the request."""
        size = self.predictor.release.size
        encoded = images.inspect(image, self._settings.limits, count)
        with self.reserved(encoded.memory(size), deadline):
            face = encoded.read(size)
            prediction = self._prediction(face, input_check.SENT)
        if stats is not None:
            stats.add(prediction, face)
        return prediction

    def _detected(self, image: bytes, count: int, deadline: Deadline, stats: RequestStats | None) -> PredictionJson:
        """Find the faces of one image of `count` in the request, and predict each."""
        from serving.detection import photos

        limits = self._settings.limits
        encoded = images.inspect(image, limits, count)
        most = photos.most_faces(self._settings.max_faces, count, len(image))
        searched = photos.search_reduction(encoded)
        # One search at a time: its networks take 20 MB. It is reserved before a processor, so a wait occupies none.
        with self.reserved(encoded.upright_memory(searched), deadline, self._searches) as end_of_search:
            photo = photos.Photo(encoded.upright(searched), [])
            found = self._finder.find(photo.image.pixels, self._options)
            end_of_search()
            photo = photo._replace(faces=found[:most])
            reduction = photos.crop_reduction(encoded, searched, photo.faces, limits)
            if reduction == searched:
                return self._photo(photo, len(found), encoded.kind, deadline, stats)
            del photo
        # The faces need more pixels than the search. Memory is reserved anew, never twice at once.
        with self.reserved(encoded.upright_memory(reduction), deadline):
            larger = encoded.upright(reduction)
            faces = [face.in_larger(searched / reduction) for face in found[:most]]
            return self._photo(photos.Photo(larger, faces), len(found), encoded.kind, deadline, stats)

    def _photo(
        self, photo: Photo, found: int, kind: str, deadline: Deadline, stats: RequestStats | None
    ) -> PredictionJson:
        """Predict the faces of one image, of which `found` were found.

        Raises:
            DeadlineError: the deadline passed before the last face.
        """
        from serving.detection import photos

        size = self.predictor.release.size
        faces, decoded = [], []
        for face in photo.faces:
            deadline.require()
            crop = photos.face_image(photo, face, size, kind)
            prediction = self._prediction(crop, input_check.FOUND)
            faces.append({**photos.face_json(photo, face), **prediction})
            decoded.append((prediction, crop))
        if stats is not None:
            stats.add_photo(decoded)
        result: PredictionJson = {"width": photo.image.width, "height": photo.image.height, "faces": faces}
        if found > len(faces):
            result["warnings"] = [photos.too_many(found, len(faces))._asdict()]
        return result

    @contextmanager
    def reserved(self, needed: int, deadline: Deadline, also: Budget | None = None) -> Iterator[Callable[[], None]]:
        """Reserve memory, one unit of `also`, and a processor. Return what ends the reservation of `also` early.

        Args:
            needed: bytes, of those for decoding.
            deadline: of the request.
            also: another budget.

        Raises:
            DeadlineError: the deadline passed first.

        Everybody reserves in this order, so nobody blocks another.
        """
        # Memory first: an image that waits for it does not occupy a processor.
        with self._decoders.reserve(memory.decode_bytes(needed), deadline), ExitStack() as early:
            if also:
                early.enter_context(also.reserve(1, deadline))
            with self._processors.reserve(1, deadline):
                yield early.close

    def _prediction(self, face: DecodedImage, wording: Wording) -> PredictionJson:
        (estimates,) = self.predictor.predict(face.pixels[None])
        warnings = self._input_check.warnings(face, wording)
        heads: dict[str, AgeEstimate | LabelEstimate] = {AGE: estimates.age, **estimates.choices}
        prediction: PredictionJson = {head: heads[head]._asdict() for head in self._settings.heads}
        prediction[PROBABILITIES] = {head: estimates.probabilities[head] for head in self._settings.heads}
        prediction[RELEASE] = self.predictor.release.version
        if warnings:
            prediction["warnings"] = [warning._asdict() for warning in warnings]
        return prediction


def _without_probabilities(prediction: PredictionJson) -> PredictionJson:
    return {name: member for name, member in prediction.items() if name not in (PROBABILITIES, RELEASE)}


def _photo_without_probabilities(photo: PredictionJson) -> PredictionJson:
    if "faces" not in photo:
        return photo
    return {**photo, "faces": [_without_probabilities(face) for face in photo["faces"]]}


def _attempt(process: Callable[[bytes], PredictionJson], image: bytes | Problem) -> PredictionJson | Problem:
    """Return the result of one image, or its problem."""
    if isinstance(image, Problem):
        return image
    try:
        return process(image)
    except images.UnknownFormatError as error:
        return Problem(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, str(error))
    except images.ImageTooLargeError as error:
        return Problem(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, str(error))
    except images.ImageError as error:
        return Problem(HTTPStatus.UNPROCESSABLE_ENTITY, str(error))
    except DeadlineError:
        return busy()


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
