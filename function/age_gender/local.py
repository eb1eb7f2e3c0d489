"""Predictions on this machine, without a server."""

from __future__ import annotations

import threading
from collections.abc import Sequence

from age_gender.prediction import Prediction, parse
from serving import release
from serving.inference import InferenceService
from serving.predictor import Predictor
from serving.problems import Problem
from serving.settings import Settings
from serving.timeouts import Deadline


class LocalPredictor:
    """The function's own decoder, model and calibration in this process. Safe for several threads."""

    def __init__(self, settings: Settings) -> None:
        """Load the release that `settings` names.

        Raises:
            ReleaseError: it cannot be read or run.
        """
        self._inference = InferenceService(Predictor(release.load(settings.model_uri, settings.model_sha256)), settings)

    @property
    def release(self) -> release.Release:
        """The loaded release."""
        return self._inference.predictor.release

    def predict(self, images: Sequence[bytes]) -> list[Prediction]:
        """Return one prediction an image, in order; an image without one has an `error`."""
        if not images:
            return []
        try:
            # No caller waits on a connection, so there is no time limit.
            predictions = self._inference.predict(list(images), Deadline.after(threading.TIMEOUT_MAX))
            return [parse(each) for each in predictions]
        except Problem as problem:
            # Every image failed. Several are listed in `errors`; a single one is the problem itself.
            problems = problem.members.get("errors", [problem.details()])
            return [parse({"error": each}) for each in problems]
