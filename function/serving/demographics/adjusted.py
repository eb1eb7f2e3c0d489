"""Adjusted counts of labels: a check of the shares that expectation maximization gives."""

from __future__ import annotations

import numpy as np

from serving.demographics.confusion import DEGREES, Array, HeadCounts


def shares(counted: Array, statistics: HeadCounts) -> Array:
    """Return the shares of the labels that the release's confusion explains the counted shares by.

    Adjusted classify and count (Forman 2008, Data Mining and Knowledge Discovery 17(2)) for L labels: the solution of
    counted = confusion x shares, without negative shares. It takes the validation faces' ages for those of the crowd.

    Args:
        counted: (L,) shares of the answered labels.
        statistics: of the head.

    Returns:
        (L,), which sum to 1.
    """
    answered = statistics.answers.sum(axis=1).reshape(len(counted), len(counted), DEGREES).sum(axis=2)
    confusion = answered / answered.sum(axis=1, keepdims=True)
    found, *_ = np.linalg.lstsq(confusion.T, counted, rcond=None)
    positive = np.clip(found, 0.0, None)
    result: Array = positive / positive.sum()
    return result
