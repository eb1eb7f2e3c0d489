"""The UTKFace file name -> labels; the heads that choose, with the names and the order of their classes."""

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
    """A head that chooses one of its labels; CONTRIBUTING.md tells how to add one."""

    # a name of serving.heads.CHOICES
    name: str
    # the position of each is the number in the file name and the index in the model's output
    labels: tuple[str, ...]
    # years; what wrong answers to all faces would weigh beside the error of the age where an epoch is chosen
    selection_weight: float
    # what its field in the file name is called
    field: str

    @property
    def width(self) -> int:
        """How many numbers the network answers."""
        return heads.width(self.labels)


GENDERS = ("male", "female")
ETHNICITIES = ("white", "black", "asian", "indian", "other")
# In the order of the fields of a file name, between the age and the date.
CHOICES = (
    Head("gender", GENDERS, selection_weight=20.0, field="gender"),
    Head("ethnicity", ETHNICITIES, selection_weight=10.0, field="race"),
)
# As a release has them.
LABELS = {head.name: head.labels for head in CHOICES}
# In the order of the columns of labels.
COLUMNS = (AGE, *LABELS)
# years; the age head answers a distribution over 0..MAX_AGE
MAX_AGE = 116
AGE_CLASSES = MAX_AGE + 1

# As a sentence shows it.
PATTERN = "_".join([f"[{field}]" for field in (AGE, *(head.field for head in CHOICES), "date&time")]) + ".jpg"
# The rest of the name, a time stamp and a suffix, says nothing about the face and varies in the published set.
_NAME = re.compile(r"(\d{1,3})_" + r"(\d)_" * len(CHOICES) + r"(\d{8,}[^/]*)\.(?:jpe?g|png|webp)", re.IGNORECASE)


@dataclass(frozen=True)
class Labels:
    """What a face is labelled with."""

    # years
    age: int
    # an index into the labels of each of CHOICES
    choices: tuple[int, ...]
    # the date and time in the name, with its suffix: it orders faces by when they were collected
    stamp: str


class LabelError(ValueError):
    """The file name gives no usable labels; the message says what was found and what is expected."""


def parse(name: str) -> Labels:
    """Labels of a file called as PATTERN says (any suffix before the extension).

    Raises:
        LabelError: the name does not parse, or a label is out of range.
    """
    match = _NAME.fullmatch(name)
    if match is None:
        raise LabelError(f"name does not parse: expected {PATTERN}")
    *numbers, stamp = match.groups()
    age, *choices = map(int, numbers)
    _check(AGE, age, MAX_AGE)
    for head, value in zip(CHOICES, choices, strict=True):
        _check(head.field, value, len(head.labels) - 1)
    return Labels(age, tuple(choices), stamp)


def _check(field: str, value: int, largest: int) -> None:
    if value > largest:
        raise LabelError(f"label out of range: {field} is {value}, expected 0 to {largest}")


def missing(found: heads.Labels) -> list[str]:
    """The choices that a release with these labels lacks."""
    return [head for head in LABELS if head not in found]


def by_head(labels: Any) -> dict[str, Any]:
    """(N, len(COLUMNS)) labels, of numpy or TensorFlow -> (N,) of each head: years of age, indices of the others."""
    return {name: labels[:, column] for column, name in enumerate(COLUMNS)}


def band(ages: npt.NDArray[Any]) -> npt.NDArray[np.int64]:
    """Years -> index into serving.request_stats.AGE_BANDS; an answer of 12.6 years counts as 13."""
    # The command line explains itself where nothing is installed.
    import numpy as np

    from serving.request_stats import AGE_BAND_STARTS

    return np.searchsorted(AGE_BAND_STARTS, np.floor(ages + 0.5), side="right") - 1
