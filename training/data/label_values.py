"""Cells of a table of labels: ages and ranges of ages, class indices, and what a missing label looks like."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache

from serving.heads import AGE
from training.labels import MAX_AGE, MISSING, Head, LabelError

AgeRange = tuple[int, int]

# Different cells that are understood once.
_CELLS = 1024

# Words for a missing label, without regard to case. Adience writes `u` and `None`, pandas `nan` and `<NA>`.
_MISSING_WORDS = frozenset(("", "nan", "none", "null", "na", "n/a", "<na>", "unknown", "u", "?", "-"))
# Words for a class beside its name and its number, by head.
_WORDS: dict[str, dict[str, str]] = {
    "gender": {"m": "male", "man": "male", "boy": "male", "f": "female", "woman": "female", "girl": "female"},
    "ethnicity": {
        "others": "other",
        # FairFace has seven races, this project five.
        "east asian": "asian",
        "southeast asian": "asian",
        "middle eastern": "other",
        "latino hispanic": "other",
    },
}

_A, _B = r"(?P<a>\d{1,4})(?:\.\d+)?", r"(?P<b>\d{1,4})(?:\.\d+)?"
_YEARS = r"(?: ?(?:years?|yrs?)(?: old)?)?"
_PAIR = rf" ?{_A} ?, ?{_B} ?"
_EXACT = re.compile(rf"(?P<sign>-?){_A}{_YEARS}")
# Pattern of a range, and a function from its one or two numbers to the lowest and the highest age.
_RANGES: tuple[tuple[str, Callable[[int, int], AgeRange]], ...] = (
    (rf"{_A} ?(?:-|–|—|to) ?{_B}{_YEARS}", lambda a, b: (a, b)),  # noqa: RUF001 - dashes of word processors
    # Adience writes (25, 32).
    (rf"\({_PAIR}\)", lambda a, b: (a, b)),
    (rf"\[{_PAIR}\]", lambda a, b: (a, b)),
    # `pandas.cut` writes intervals with one end outside.
    (rf"\({_PAIR}\]", lambda a, b: (a + 1, b)),
    (rf"\[{_PAIR}\)", lambda a, b: (a, b - 1)),
    (rf"{_A}{_YEARS} ?(?:\+|(?:and|or) (?:over|older|above|more))", lambda a, _: (a, MAX_AGE)),
    # FairFace writes `more than 70` for 70 and older.
    (rf"(?:more than|over|older than|from|>=) ?{_A}{_YEARS}", lambda a, _: (a, MAX_AGE)),
    (rf"> ?{_A}{_YEARS}", lambda a, _: (a + 1, MAX_AGE)),
    (rf"(?:under|below|less than|younger than|<) ?{_A}{_YEARS}", lambda a, _: (0, a - 1)),
    (rf"(?:up to|<=) ?{_A}{_YEARS}", lambda a, _: (0, a)),
)
_DATE = re.compile(r"\d{4}[-/.]\d{1,2}[-/.]\d{1,2}(?!\d).*|\d{1,2}[-/.]\d{1,2}[-/.]\d{2,4}(?!\d).*")
_YEARS_OF_BIRTH = range(1800, 2200)


# Cells repeat from row to row.
@lru_cache(_CELLS)
def age(cell: str) -> AgeRange:
    """Return the lowest and the highest age that a cell states, in years. Both are MISSING where it states none.

    Raises:
        LabelError: the cell is a date, a year, negative, too high, or not understood.
    """
    text = normal(cell)
    if text in _MISSING_WORDS or text in ("-1", "-1.0"):
        return MISSING, MISSING
    low, high = _bounds(text)
    if low > high:
        raise LabelError(f"age range is reversed: {cell!r}")
    if low > MAX_AGE:
        raise LabelError(f"label out of range: {AGE} is {low}, expected 0 to {MAX_AGE}")
    return low, min(high, MAX_AGE)


@lru_cache(_CELLS)
def choice(head: Head, cell: str) -> int:
    """Return the class index that a cell states, or MISSING.

    Raises:
        LabelError: the cell is no class of the head.
    """
    text = normal(cell.replace("_", " "))
    if text in _MISSING_WORDS:
        return MISSING
    text = _WORDS.get(head.name, {}).get(text, text)
    if text in head.labels:
        return head.labels.index(text)
    if (number := _index(text)) is not None and number < len(head.labels):
        return number
    raise LabelError(
        f"{head.name} not understood: {cell!r}, expected {', '.join(head.labels)} or 0 to {len(head.labels) - 1}; "
        "--values maps other words"
    )


def normal(cell: str) -> str:
    """Return a cell for comparison: case and spaces make no difference."""
    return " ".join(cell.split()).casefold()


def is_missing(cell: str) -> bool:
    """Return whether a cell holds a word for a missing value."""
    return normal(cell) in _MISSING_WORDS


def _bounds(text: str) -> AgeRange:
    if match := _EXACT.fullmatch(text):
        return (_exact(text, int(match["sign"] + match["a"])),) * 2
    for pattern, bounds in _RANGES:
        if match := re.fullmatch(pattern, text):
            return bounds(int(match["a"]), int(match.groupdict().get("b", 0)))
    if _DATE.fullmatch(text):
        raise LabelError(
            f"age is a date: {text!r}; a date of birth gives an age only together with the date of the photograph, so "
            "give a column with ages"
        )
    raise LabelError(
        f"age not understood: {text!r}, expected a number (25), a range (20-29) or an open one (70+); --values maps "
        "other words"
    )


def _exact(text: str, years: int) -> int:
    if text.startswith("-"):
        raise LabelError(f"label out of range: {AGE} is {text}, expected 0 to {MAX_AGE}; -1 or an empty cell is no age")
    if years in _YEARS_OF_BIRTH:
        raise LabelError(
            f"age is a year: {text!r}; a year of birth gives an age only together with the year of the photograph, so "
            "give a column with ages"
        )
    return years


def _index(cell: str) -> int | None:
    """Return the whole number that a cell holds, None for anything else. pandas writes 1 as 1.0 beside empty cells."""
    match = re.fullmatch(r"(\d{1,3})(?:\.0+)?", cell.strip())
    return int(match[1]) if match else None
