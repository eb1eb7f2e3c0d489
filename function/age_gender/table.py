"""Predictions as lines of text: a table for people, JSON for programs."""

from __future__ import annotations

import json
from collections.abc import Sequence

from age_gender.prediction import Prediction
from serving.prediction import LabelEstimate

# Characters. Longer names lose their beginning, because the names in a folder differ at their end.
_MAX_NAME = 48
# Characters of a label with its probability.
_CHOICE = 14


def json_line(name: str, prediction: Prediction) -> str:
    """Return one prediction, or its error, as one line of JSON."""
    return json.dumps({"file": name, **prediction.as_json()})


class Table:
    """Aligned lines, one prediction at a time. The first prediction with estimates decides the columns."""

    def __init__(self, names: Sequence[str]) -> None:
        self._width = min(max(map(len, names)), _MAX_NAME)
        self._heads: tuple[str, ...] = ()

    def lines(self, name: str, prediction: Prediction) -> list[str]:
        """Return the line of one prediction, after the column names where those change."""
        shown = shortened(name, self._width).ljust(self._width)
        if prediction.error:
            return [f"{shown}  no prediction: {prediction.error.detail}"]
        cells = [shown, *_cells(prediction), *(f"warning: {warning.detail}" for warning in prediction.warnings)]
        return [*self._head(prediction), "  ".join(cells)]

    def _head(self, prediction: Prediction) -> list[str]:
        age = [f"{'age':>4}  {'between':>9}"] if prediction.age else []
        heads = (*age, *(head.rjust(_CHOICE) for head in prediction.choices))
        if heads == self._heads:
            return []
        self._heads = heads
        return ["  ".join(["file".ljust(self._width), *heads])]


def shortened(name: str, width: int) -> str:
    """Return the end of a name in at most `width` characters."""
    return name if len(name) <= width else "…" + name[len(name) - width + 1 :]


def _cells(prediction: Prediction) -> list[str]:
    cells = []
    if prediction.age:
        between = f"{prediction.age.low} - {prediction.age.high}"
        cells.append(f"{prediction.age.years:4}  {between:>9}")
    return [*cells, *(_choice(choice) for choice in prediction.choices.values())]


def _choice(choice: LabelEstimate) -> str:
    return f"{choice.label} {100 * choice.probability:5.1f} %".rjust(_CHOICE)
