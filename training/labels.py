"""Labels from UTKFace file names, and the classification heads with the names and order of their classes."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from serving import heads
from serving.heads import AGE

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt


@dataclass(frozen=True)
class Head:
    """A classification head. CONTRIBUTING.md explains how to add one."""

    name: str
    """A name in serving.heads.CHOICES."""
    labels: tuple[str, ...]
    """Class names. The index of each is its number in the file name and in the model's output."""
    selection_weight: float
    """Years of age error that an error rate of 1 weighs when the best epoch is selected."""
    field: str
    """Name of the head's field in the file name."""

    @property
    def width(self) -> int:
        """Return the number of outputs of the network."""
        return heads.width(self.labels)


GENDERS = ("male", "female")
ETHNICITIES = ("white", "black", "asian", "indian", "other")
# In the order of the fields of a file name, between the age and the date.
CHOICES = (
    Head("gender", GENDERS, selection_weight=20.0, field="gender"),
    Head("ethnicity", ETHNICITIES, selection_weight=10.0, field="race"),
)
# Class names by head, as in a release.
LABELS = {head.name: head.labels for head in CHOICES}
# Heads in the order of the label columns.
COLUMNS = (AGE, *LABELS)
# The label columns of a face: those of the heads, then the highest age of its range.
AGE_HIGH = f"{AGE}_high"
ROW = (*COLUMNS, AGE_HIGH)
# Largest age in years. The age head predicts a distribution over 0 to MAX_AGE.
MAX_AGE = 116
AGE_CLASSES = MAX_AGE + 1
# An unknown label: an age, or a class index.
MISSING = 255
# The index of no age band: the label does not tell which.
NO_BAND = -1

# The pattern of file names, for messages.
PATTERN = "_".join([f"[{field}]" for field in (AGE, *(head.field for head in CHOICES), "date&time")]) + ".jpg"
# The time stamp and the suffix vary in the published set and say nothing about the face.
_NAME = re.compile(r"(\d{1,3})_" + r"(\d)_" * len(CHOICES) + r"(\d{8,}[^/]*)\.(?:jpe?g|png|webp)", re.IGNORECASE)


@dataclass(frozen=True)
class Labels:
    """The labels of a face."""

    age: int
    """Age in years, the lowest age of a range, or MISSING."""
    age_high: int
    """Highest age of a range, in years. It equals `age` where the age is exact or missing."""
    choices: tuple[int, ...]
    """Class index for each head in CHOICES, or MISSING."""
    stamp: str
    """Date, time and suffix from the file name. It orders faces by the time of collection."""

    @property
    def row(self) -> tuple[int, ...]:
        """Return the labels in the order of ROW."""
        return (self.age, *self.choices, self.age_high)


class LabelError(ValueError):
    """A file name without usable labels. The message says what was found and what is expected."""


def parse(name: str) -> Labels:
    """Return the labels in a file name of the form PATTERN, with any suffix before the extension.

    Raises:
        LabelError: the name does not match, or a label is out of range.
    """
    match = _NAME.fullmatch(name)
    if match is None:
        raise LabelError(f"name does not parse: expected {PATTERN}")
    *numbers, stamp = match.groups()
    age, *choices = map(int, numbers)
    _check(AGE, age, MAX_AGE)
    for head, value in zip(CHOICES, choices, strict=True):
        _check(head.field, value, len(head.labels) - 1)
    return Labels(age, age, tuple(choices), stamp)


def _check(field: str, value: int, largest: int) -> None:
    if value > largest:
        raise LabelError(f"label out of range: {field} is {value}, expected 0 to {largest}")


def missing(found: heads.Labels) -> list[str]:
    """Return the names of the heads that are missing from a release's labels."""
    return [head for head in LABELS if head not in found]


def by_head(labels: Any) -> dict[str, Any]:
    """Split (N, len(ROW)) labels into (N,) for each head: ages in years, class indices of the others, or MISSING.

    The age of a range is its lowest (see `age_range`). Takes arrays of numpy and of TensorFlow.
    """
    return {name: labels[:, column] for column, name in enumerate(COLUMNS)}


def age_range(labels: Any) -> tuple[Any, Any]:
    """Return the lowest and the highest age of (N, len(ROW)) labels, (N,) each in years, or MISSING.

    Both are equal where the age is exact or missing. Takes arrays of numpy and of TensorFlow.
    """
    return labels[:, ROW.index(AGE)], labels[:, ROW.index(AGE_HIGH)]


def exact_ages(labels: Any) -> Any:
    """Return (N,) whether each face has a single age."""
    low, high = age_range(labels)
    return (low == high) & (low != MISSING)


def ranged_ages(labels: Any) -> Any:
    """Return (N,) whether each face has a range of ages."""
    low, high = age_range(labels)
    return low != high


def age_distance(years: npt.NDArray[Any], labels: npt.NDArray[np.uint8]) -> npt.NDArray[np.float64]:
    """Return the years from (N,) predicted ages to the labels: 0 inside a range, NaN where the age is missing."""
    import numpy as np

    low, high = (ages.astype(np.float64) for ages in age_range(labels))
    return np.where(low == MISSING, np.nan, np.maximum(np.maximum(low - years, years - high), 0.0))


def age_bands(labels: npt.NDArray[np.uint8]) -> npt.NDArray[np.int64]:
    """Return the age band of each face (see `band`), or NO_BAND where its age is missing or its range touches two."""
    import numpy as np

    low, high = age_range(labels)
    lowest = band(low)
    return np.where((low != MISSING) & (lowest == band(high)), lowest, NO_BAND)


def band(ages: npt.NDArray[Any]) -> npt.NDArray[np.int64]:
    """Return the index into serving.request_stats.AGE_BANDS for each age. 12.6 years count as 13."""
    # `--help` works where no package is installed.
    import numpy as np

    from serving.request_stats import AGE_BAND_STARTS

    return np.searchsorted(AGE_BAND_STARTS, np.floor(ages + 0.5), side="right") - 1
