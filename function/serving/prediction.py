"""The shape of a prediction, shared by the predictor, the HTTP description and the client.

It needs the standard library only, so that a client can import it without numpy or the runtime.
"""

from __future__ import annotations

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


class FacePrediction(NamedTuple):
    """The prediction for one face."""

    age: AgeEstimate
    choices: dict[str, LabelEstimate]
    """Label estimates by head, in the order of the manifest."""


class InputWarning(NamedTuple):
    """One reason to distrust a prediction."""

    code: str
    """One of `serving.input_check.CODES`, for programs."""
    detail: str
    """What was found and what to send instead, for people."""
