"""The groups of ages that an evaluation measures beside all faces, each with the metric that it is known for."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from training.data.shards import LabelArray
from training.labels import MAX_AGE, MISSING, age_range


@dataclass(frozen=True)
class AgeGroup:
    """The faces with a labelled age from `lowest` to `highest`."""

    name: str
    """Last part of the name of its metric, for example "from_13"."""
    title: str
    """Name in reports, tables and the card."""
    lowest: int
    """Years."""
    highest: int
    """Years, included."""
    metric: str
    """Name of the metric that the group is known for."""

    @property
    def key(self) -> str:
        """Return the key in metrics.json."""
        return f"{self.name}_years"

    def mask(self, labels: LabelArray) -> npt.NDArray[np.bool_]:
        """Return (N,) whether each face of (N, len(ROW)) labels belongs to the group: its whole range of ages."""
        low, high = age_range(labels)
        inside: npt.NDArray[np.bool_] = (low != MISSING) & (low >= self.lowest) & (high <= self.highest)
        return inside


# Without children, whose faces show their gender least.
FROM_13 = AgeGroup("from_13", "13 and older", 13, MAX_AGE, "gender_accuracy")
AGE_GROUPS = (
    FROM_13,
    # The ages that papers compare.
    AgeGroup("from_21_to_60", "21 to 60", 21, 60, "age_mae"),
    AgeGroup("from_40", "40 and older", 40, MAX_AGE, "age_mae"),
    AgeGroup("below_13", "below 13", 0, 12, "gender_accuracy"),
)


def measured_groups(measured: dict[str, Any]) -> Iterator[AgeGroup]:
    """Yield the groups that metrics.json has. Earlier versions measured 13 and older alone."""
    yield from (group for group in AGE_GROUPS if group.key in measured)
