"""The function's own answers on this machine, without a server."""

from __future__ import annotations

import threading
from collections.abc import Sequence

from age_gender.prediction import Answer, parse
from serving import release
from serving.inference import Answerer
from serving.predictor import Predictor
from serving.problems import Problem
from serving.settings import Settings
from serving.timeouts import Deadline


class Local:
    """Answers from one release; may be used from many threads."""

    def __init__(self, settings: Settings) -> None:
        """Load the release that `settings` names.

        Raises:
            ReleaseError: it cannot be read or run.
        """
        self._answerer = Answerer(Predictor(release.load(settings.model_uri, settings.model_sha256)), settings)

    @property
    def release(self) -> release.Release:
        """What answers."""
        return self._answerer.predictor.release

    def predict(self, pictures: Sequence[bytes]) -> list[Answer]:
        """One answer a picture, in the order given; a picture that cannot be answered has an `error`."""
        if not pictures:
            return []
        try:
            # Nobody waits at the other end of a line: there is no time limit.
            predictions = self._answerer.answer(list(pictures), Deadline.after(threading.TIMEOUT_MAX))
            return [parse(each) for each in predictions]
        except Problem as problem:
            # Not one was answered: several are listed, one speaks for itself.
            problems = problem.members.get("errors", [problem.details()])
            return [parse({"error": each}) for each in problems]
