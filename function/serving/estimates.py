"""The shape of an estimate: one type for the age and one for a label.

The predictor, the HTTP schema, the client, its table and the columns of its files all take their fields from here.
"""

from __future__ import annotations

from typing import NamedTuple


class AgeEstimate(NamedTuple):
    """An age with its interval. The release states the share of people whose age is in the interval."""

    years: int
    """Estimated age in whole years."""
    low: int
    """Lower end of the interval, in whole years."""
    high: int
    """Upper end of the interval, in whole years."""


class LabelEstimate(NamedTuple):
    """The most likely label of a head that classifies."""

    label: str
    """One of the labels that the release lists for the head."""
    probability: float
    """Calibrated probability of the label, from 0 to 1."""


Estimate = AgeEstimate | LabelEstimate
