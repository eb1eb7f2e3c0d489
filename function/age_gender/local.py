"""The function's own answers on this machine, without a server."""

from __future__ import annotations

from collections.abc import Sequence

from age_gender.answer import Answer, parse
from serving import answers, release
from serving.predictor import Predictor
from serving.problems import Problem
from serving.settings import Settings


class Local:
    """Answers from one release; may be used from many threads."""

    def __init__(self, settings: Settings) -> None:
        """Load the release that `settings` names.

        Raises:
            ReleaseError: it cannot be read or run.
        """
        self.settings = settings
        self._predictor = Predictor(release.load(settings.model_uri, settings.model_sha256))

    @property
    def release(self) -> release.Release:
        """What answers."""
        return self._predictor.release

    def predict(self, pictures: Sequence[bytes]) -> list[Answer]:
        """One answer a picture, in the order given; a picture that cannot be answered has an `error`."""
        try:
            return [parse(each) for each in answers.answer(list(pictures), self._predictor, self.settings)]
        except Problem as problem:
            # Not one was answered: several are listed, one speaks for itself.
            problems = problem.members.get("errors", [problem.details()])
            return [parse({"error": each}) for each in problems]
