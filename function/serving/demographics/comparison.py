"""Differences between groups of a crowd, and whether they are more than chance."""

from __future__ import annotations

from collections.abc import Mapping
from math import erfc, sqrt
from typing import NamedTuple

import numpy as np

from serving.demographics.bands import Band
from serving.demographics.confusion import Array
from serving.demographics.crowd import NOTHING, Crowd
from serving.demographics.summary import Corrector, Estimate, mean_age

SIGNIFICANT = 0.05
"""Adjusted p-value below which a difference is more than chance."""
MEAN_AGE = "mean age"

Group = tuple[str, ...]


class Difference(NamedTuple):
    """One figure of a group, against all other groups together."""

    group: Group
    figure: str
    """A label, an age band, or MEAN_AGE."""
    difference: float
    """Share from -1 to 1, or years: the group minus the others."""
    low: float
    """Lower end of its 95 % interval."""
    high: float
    """Upper end."""
    p_value: float
    """Adjusted for all comparisons of the call by Holm (1979, Scandinavian Journal of Statistics 6(2))."""

    @property
    def significant(self) -> bool:
        """Whether it is more than chance."""
        return self.p_value < SIGNIFICANT


def differences(corrector: Corrector, groups: Mapping[Group, Crowd], bands: tuple[Band, ...]) -> list[Difference]:
    """Compare each group with all others together, in each label, age band, and in the mean age.

    The replicates of both have the same responses, so what the release gets wrong in both does not count as difference.

    Args:
        corrector: of the release.
        groups: crowds with faces, by name. Of two groups, only the first is compared: the second is its opposite.
        bands: of ages.
    """
    found = []
    compared = {1: 0, 2: 1}.get(len(groups), len(groups))
    for name in [*groups][:compared]:
        first, *rest = (crowd for each, crowd in groups.items() if each != name)
        others = first
        for crowd in rest:
            others = others + crowd
        found += _between(name, corrector, groups[name], others, bands)
    return _holm(found)


def _between(
    name: Group, corrector: Corrector, crowd: Crowd, others: Crowd, bands: tuple[Band, ...]
) -> list[Difference]:
    found = []
    for number, head in enumerate(crowd.grids):
        pair = [corrector.estimate(each, head) for each in (crowd, others)]
        labels = () if head == NOTHING else corrector.known.heads[head].labels
        values = [_figures(each, labels, bands if number == 0 else ()) for each in pair]
        for figure, (point, replicates) in values[0].items():
            other_point, other_replicates = values[1][figure]
            difference, deviation = point - other_point, float(np.std(replicates - other_replicates))
            p_value = erfc(abs(difference) / max(deviation, 1e-9) / sqrt(2))
            half = 1.96 * deviation
            found.append(Difference(name, figure, difference, difference - half, difference + half, p_value))
    return found


def _figures(found: Estimate, labels: tuple[str, ...], bands: tuple[Band, ...]) -> dict[str, tuple[float, Array]]:
    """Return each figure with its replicates. The second of two labels is the first's complement, and is left out."""
    ages, many = found.shares.sum(axis=0), found.replicates.sum(axis=1)
    shown = labels[1:] if len(labels) == 2 else labels
    figures = {
        label: (
            float(found.shares[labels.index(label)].sum()),
            found.replicates[:, labels.index(label)].sum(axis=1),
        )
        for label in shown
    }
    figures |= {band.name: (float(band.share(ages)), band.share(many)) for band in bands}
    return figures | ({MEAN_AGE: (float(mean_age(ages)), mean_age(many))} if bands else {})


def _holm(found: list[Difference]) -> list[Difference]:
    order = sorted(range(len(found)), key=lambda row: found[row].p_value)
    adjusted, largest = dict[int, float](), 0.0
    for rank, row in enumerate(order):
        largest = max(largest, min(1.0, found[row].p_value * (len(found) - rank)))
        adjusted[row] = largest
    return [each._replace(p_value=adjusted[row]) for row, each in enumerate(found)]
