"""Counts the answers for many faces, JSON of the function, into a crowd."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from serving.demographics.answers import read_choice, read_mean_ages
from serving.demographics.confusion import Confusion
from serving.demographics.crowd import NOTHING, Crowd
from serving.heads import AGE
from serving.prediction import PROBABILITIES, RELEASE, TOO_MANY_FACES

# Faces that wait to be counted together, which is a hundred times faster than one by one.
_BLOCK = 4096
_GARBLED = (KeyError, TypeError, ValueError, OverflowError, IndexError)


class AnswerError(ValueError):
    """An answer cannot be counted. The message says why and what to do."""


class Tally:
    """Counts answers of one release. Faces with a warning are left out: the release was not measured on such images."""

    def __init__(self, known: Confusion, version: str) -> None:
        """Begin with no face.

        Args:
            known: the statistics of the release.
            version: of that release.
        """
        self.warned: Counter[str] = Counter()
        """Faces that were left out, by the code of their first warning."""
        self._known = known
        self._version = version
        self._waiting: list[tuple[int, Mapping[str, Sequence[int]]]] = []
        self._crowd: Crowd | None = None

    def add(self, face: Mapping[str, Any]) -> None:
        """Count one face: a prediction of the function with `probabilities`.

        Raises:
            AnswerError: it has none, another release made it, or its values are garbled.
        """
        # What concerns the whole image says nothing about the face.
        codes = [str(warning["code"]) for warning in face.get("warnings", ())]
        self.add_values(face.get(RELEASE), face.get(AGE, {}).get("years"), face.get(PROBABILITIES), codes)

    def add_values(self, release: Any, years: Any, probabilities: Any, warnings: Sequence[str] = ()) -> None:
        """Count one face by its release, its answered age in years, its probabilities by head, and its warnings.

        Raises:
            AnswerError: as `add`.
        """
        if warnings := [code for code in warnings if code != TOO_MANY_FACES]:
            self.warned[warnings[0]] += 1
            return
        if not probabilities:
            raise AnswerError(
                "has no probabilities: it was made without --probabilities, or by an earlier version; "
                "predict the images again with --probabilities"
            )
        if release != self._version:
            raise AnswerError(
                f"is of release {release}, and the statistics are of release {self._version}: only its own release "
                "can correct an answer; summarize the answers of each release alone, and name it with --model"
            )
        if not isinstance(years, int) or AGE not in probabilities:
            raise AnswerError(f"has no age; predict with HEADS={AGE} and others")
        self._waiting.append((years, probabilities))
        if len(self._waiting) >= _BLOCK:
            self._count()

    def crowd(self) -> Crowd:
        """Return the crowd of all faces so far.

        Raises:
            AnswerError: as `add`.
        """
        self._count()
        return self._crowd or Crowd.empty(self._known, ())

    def _count(self) -> None:
        if not self._waiting:
            return
        years, each = zip(*self._waiting, strict=True)
        self._waiting = []
        try:
            crowd = self._crowd or Crowd.empty(self._known, tuple(each[0]))
            crowd.add(
                self._known,
                np.array(years),
                read_mean_ages([row[AGE] for row in each]),
                {
                    head: read_choice([row[head] for row in each], len(self._known.heads[head].labels))
                    for head in crowd.grids
                    if head != NOTHING
                },
            )
        except _GARBLED as error:
            raise AnswerError(f"or one of the {len(years)} before it lacks or garbles {error}") from error
        self._crowd = crowd
