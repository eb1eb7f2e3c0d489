"""Noise that hides whether a single face was counted: differential privacy.

The geometric mechanism (Ghosh, Roughgarden and Sundararajan 2012, SIAM Journal on Computing 41(6)) adds whole numbers k
to a count, with a probability proportional to exp(-|k| / scale). One face changes one cell of each histogram by one.
With scale = histograms / epsilon all of them together are epsilon-differentially private (Dwork and Roth 2014, The
Algorithmic Foundations of Differential Privacy, 3.3 and 3.5). Whatever is calculated from them is so, too.
"""

from __future__ import annotations

import numpy as np

from serving.demographics.confusion import Array, Counts


def added(counts: Counts, scale: float) -> Array:
    """Return counts with noise, none below 0.

    Args:
        counts: of any shape.
        scale: number of histograms that a face is in, over epsilon.
    """
    # The difference of two geometric variables has that distribution. The seed comes from the operating system.
    random = np.random.default_rng()
    stop = 1 - np.exp(-1 / scale)
    noise = random.geometric(stop, counts.shape) - random.geometric(stop, counts.shape)
    noisy: Array = np.maximum(counts + noise, 0).astype(np.float64)
    return noisy
