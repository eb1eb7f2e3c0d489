"""The shape of a prediction, shared by the predictor, the HTTP description and the client.

It needs the standard library only, so that a client can import it without numpy or the runtime.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple


class AgeEstimate(NamedTuple):
    """An age in whole years, with its calibrated interval."""

    years: int
    """The estimate."""
    low: int
    """Lower end of the interval, at most `years`."""
    high: int
    """Upper end of the interval, at least `years`."""


class LabelEstimate(NamedTuple):
    """The most likely label of a classification head."""

    label: str
    """One of the head's labels in the release's manifest."""
    probability: float
    """Calibrated probability of that label, 0 to 1."""


PROBABILITIES = "probabilities"
"""Optional member of a prediction: calibrated probabilities by head. The member RELEASE comes with it."""
RELEASE = "release"
"""Member of a prediction with probabilities: the version of the release, which alone can correct them."""
PARTS = 10_000
"""Unit of the probabilities: a part in 10,000."""


class FacePrediction(NamedTuple):
    """The prediction for one face."""

    age: AgeEstimate
    choices: dict[str, LabelEstimate]
    """Label estimates by head, in the order of the manifest."""
    probabilities: Mapping[str, list[int]] = MappingProxyType({})
    """What the estimates were chosen from, by head, in parts of PARTS. See `serving.demographics.answers`."""


class InputWarning(NamedTuple):
    """One reason to distrust a prediction."""

    code: str
    """One of `serving.input_check.CODES` or TOO_MANY_FACES, for programs."""
    detail: str
    """What was found and what to send instead, for people."""


LANDMARKS = ("right_eye", "left_eye", "nose", "mouth", "right_ear", "left_ear")
"""Points of a detected face. Right and left are those of the person."""
TOO_MANY_FACES = "too_many_faces"
"""`InputWarning.code` of an image with more faces than are listed."""


class FaceBox(NamedTuple):
    """Where a detected face is, in shares of the upright image's width and height. It may reach beyond the image."""

    left: float
    top: float
    width: float
    height: float
