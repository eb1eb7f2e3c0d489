"""The UTKFace file name -> labels; the names and the order of the classes."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from serving.tally import AGE_BAND_STARTS

# The position in each tuple is the number in the file name and the index in the model's output.
GENDERS = ("male", "female")
ETHNICITIES = ("white", "black", "asian", "indian", "other")
# years; the age head answers a distribution over 0..MAX_AGE
MAX_AGE = 116
AGE_CLASSES = MAX_AGE + 1

# The rest of the name, a time stamp and a suffix, says nothing about the face and varies in the published set.
_NAME = re.compile(
    r"(?P<age>\d{1,3})_(?P<gender>\d)_(?P<ethnicity>\d)_(?P<stamp>\d{8,}[^/]*)\.(?:jpe?g|png|webp)", re.IGNORECASE
)


@dataclass(frozen=True)
class Labels:
    """What a face is labelled with: age in years, and indices into GENDERS and ETHNICITIES."""

    age: int
    gender: int
    ethnicity: int
    # the date and time in the name, with its suffix: it orders faces by when they were collected
    stamp: str


class LabelError(ValueError):
    """The file name gives no usable labels; the message says what was found and what is expected."""


def parse(name: str) -> Labels:
    """Labels of a file called `[age]_[gender]_[race]_[date&time].jpg` (any suffix before the extension).

    Raises:
        LabelError: the name does not parse, or a label is out of range.
    """
    match = _NAME.fullmatch(name)
    if match is None:
        raise LabelError("name does not parse: expected [age]_[gender]_[race]_[date&time].jpg")
    labels = Labels(int(match["age"]), int(match["gender"]), int(match["ethnicity"]), match["stamp"])
    for field, value, largest in (
        ("age", labels.age, MAX_AGE),
        ("gender", labels.gender, len(GENDERS) - 1),
        ("race", labels.ethnicity, len(ETHNICITIES) - 1),
    ):
        if value > largest:
            raise LabelError(f"label out of range: {field} is {value}, expected 0 to {largest}")
    return labels


def band(ages: npt.NDArray[Any]) -> npt.NDArray[np.int64]:
    """Years -> index into serving.tally.AGE_BANDS; an answer of 12.6 years counts as 13."""
    return np.searchsorted(AGE_BAND_STARTS, np.floor(ages + 0.5), side="right") - 1
