"""Counts the answers of many faces, as JSON of the function, into a crowd."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from serving.demographics.answers import read_choice, read_mean_ages
from serving.demographics.confusion import Confusion
from serving.demographics.crowd import NOTHING, Crowd
from serving.heads import AGE
from serving.prediction import PROBABILITIES

# Faces that wait to be counted together, which is a hundred times faster than one by one.
_BLOCK = 4096


class AnswerError(ValueError):
    """An answer cannot be counted. The message says why."""


class MissingProbabilitiesError(AnswerError):
    """An answer was made without probabilities."""


class Tally:
    """Counts answers of one release."""

    def __init__(self, known: Confusion) -> None:
        """Begin with no face."""
        self._known = known
        self._waiting: list[tuple[int, Mapping[str, Sequence[int]]]] = []
        self._crowd: Crowd | None = None

    def add(self, face: Mapping[str, Any]) -> None:
        """Count one face: a prediction of the function with `probabilities`.

        Raises:
            MissingProbabilitiesError: it has none.
            AnswerError: its age or its probabilities are garbled, or other heads than those of the first face.
        """
        if PROBABILITIES not in face:
            raise MissingProbabilitiesError("an answer without probabilities")
        try:
            self.add_values(int(face[AGE]["years"]), face[PROBABILITIES])
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            raise AnswerError(f"an answer that lacks or garbles {error}") from error

    def add_values(self, years: int, probabilities: Mapping[str, Sequence[int]]) -> None:
        """Count one face by its answered age in years and its probabilities by head."""
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
        crowd = self._crowd or Crowd.empty(self._known, tuple(each[0]))
        try:
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
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            raise AnswerError(f"answers that lack or garble {error}") from error
        self._crowd = crowd
