"""Bands of ages, such as 0-17,18-24,25+."""

from __future__ import annotations

import re
from typing import NamedTuple

from serving.demographics.confusion import YEARS, Array
from serving.request_stats import AGE_BANDS

_BAND = re.compile(r"(\d{1,3})(?:-(\d{1,3})|(\+))")
# A band that begins later has no years in `confusion.YEARS`.
_OLDEST = YEARS - 1


class BandsError(ValueError):
    """The text names no bands. The message says what was found and what is expected."""


class Band(NamedTuple):
    """Ages of one band, in whole years."""

    name: str
    first: int
    last: int
    """The last band has everybody from `first` on: its last year is the last of `confusion.YEARS`."""

    def share(self, ages: Array) -> Array:
        """Return the share in this band of (..., YEARS) shares."""
        share: Array = ages[..., self.first : self.last + 1].sum(axis=-1)
        return share


def parse(text: str) -> tuple[Band, ...]:
    """Return the bands of a text such as 0-17,18-24,25+.

    Raises:
        BandsError: a band is no pair of ages, two overlap, or an age is in none.
    """
    bands: list[Band] = []
    for name in (part.strip() for part in text.split(",")):
        match = _BAND.fullmatch(name)
        if match is None:
            raise BandsError(f"the band {name!r} is neither two ages like 18-24 nor the last one like 65+")
        first, last = int(match[1]), int(match[2] or _OLDEST)
        _check(bands, name, first, last)
        bands.append(Band(name, first, _OLDEST if match[3] else last))
    if not name.endswith("+"):
        raise BandsError(f"no band has ages above {bands[-1].last}; let the last one be {bands[-1].first}+")
    return tuple(bands)


def _check(bands: list[Band], name: str, first: int, last: int) -> None:
    if last < first or last > _OLDEST:
        raise BandsError(f"the band {name} must rise, and end at {_OLDEST} at most; write {first}+ for the last one")
    if bands and bands[-1].name.endswith("+"):
        raise BandsError(f"the band {bands[-1].name} has everybody from {bands[-1].first} on, so {name} overlaps it")
    expected = bands[-1].last + 1 if bands else 0
    if first < expected:
        raise BandsError(f"the bands {bands[-1].name} and {name} overlap at {first}; begin with {expected}")
    if first > expected:
        raise BandsError(f"no band has the ages {expected} to {first - 1}; let {name} begin with {expected}")


DEFAULT = parse(",".join(AGE_BANDS))
"""The bands of the request log."""
