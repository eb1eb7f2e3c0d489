"""Figures of small groups are withheld, so that a summary tells nothing about single people.

Withheld are groups of fewer people than a limit, by the answers or by the estimate. Shares add up to 1, so a single
withheld one could be calculated from the others: the next smallest is withheld, too (complementary suppression,
Hundepool et al. 2012, Statistical Disclosure Control, 4.4).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from serving.demographics.confusion import DEGREES, Counts
from serving.demographics.crowd import Crowd
from serving.demographics.summary import Figure, Summary
from serving.heads import AGE
from serving.request_stats import AGE_BAND_STARTS

# Decimals of a share or an age: less than a person of ten thousand.
_DIGITS = 4

Figures = Mapping[str, Figure]


def published(summary: Summary, smallest: int) -> dict[str, Any]:
    """Return the figures as JSON, with null for withheld ones.

    Args:
        summary: of at least `smallest` faces.
        smallest: people in the smallest group that is shown.
    """
    shown = summary.as_json()
    # A check for those who see the answers. Here it would tell what is withheld.
    del shown["adjusted"]
    shown["fit"]["poor"] = summary.fit.poor
    for head, figures in summary.heads.items():
        _withhold(shown[head], _withheld(_people(summary, figures), smallest))
    # A band whose people are few, or few of one label: its share tells the difference of those that are shown.
    bands = _people(summary, summary.bands)
    rows = list(summary.pyramid.values())
    least = {band: min([people, *(_number(summary, row[band]) for row in rows)]) for band, people in bands.items()}
    _withhold(shown["age"]["bands"], _withheld(bands, smallest))
    for row in shown["age"]["pyramid"].values():
        _withhold(row, _withheld(least, smallest))
    rounded: dict[str, Any] = _rounded(shown)
    return rounded


def published_shares(found: Mapping[str, Figures], faces: int, smallest: int) -> dict[str, Any]:
    """Return the shares by head as JSON, with null for withheld ones. Those of the age are its bands."""
    shown: dict[str, Any] = {}
    for head, figures in found.items():
        shares: dict[str, Any] = {name: figure._asdict() for name, figure in figures.items()}
        people = {name: faces * min(figure.value, figure.counted) for name, figure in figures.items()}
        _withhold(shares, _withheld(people, smallest))
        shown[head] = {"bands": shares} if head == AGE else shares
    rounded: dict[str, Any] = _rounded(shown)
    return rounded


def histograms(crowd: Crowd) -> tuple[Counts, dict[str, Counts]]:
    """Return the faces of a crowd by answered age band of the request log, and by answered label of each head."""
    by_band = np.add.reduceat(crowd.years.sum(axis=0), AGE_BAND_STARTS)
    labels = {head: grid.sum(axis=0).reshape(-1, DEGREES).sum(axis=1) for head, grid in crowd.grids.items()}
    return by_band, labels


def _withheld(people: Mapping[str, float], smallest: int) -> set[str]:
    """Return the groups that are not shown, of groups that are everybody together."""
    rising = sorted(people, key=lambda name: people[name])
    few = [name for name in rising if people[name] < smallest]
    return set(rising[:2] if len(few) == 1 else few)


def _people(summary: Summary, figures: Figures) -> dict[str, float]:
    return {name: _number(summary, figure) for name, figure in figures.items()}


def _number(summary: Summary, figure: Figure) -> float:
    """Return the people in a group: the fewer of those counted and those estimated."""
    return summary.faces * min(figure.value, figure.counted)


def _rounded(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _rounded(member) for name, member in value.items()}
    return round(value, _DIGITS) if isinstance(value, float) else value


def _withhold(shown: dict[str, Any], names: Iterable[str]) -> None:
    for name in names:
        shown[name] = None
