"""Count files of answers, in groups, and estimate the demographics of each."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from age_gender import answer_files
from age_gender.answer_files import AnswersError, Row
from serving.demographics import comparison
from serving.demographics.bands import Band
from serving.demographics.comparison import Difference, Group
from serving.demographics.confusion import Confusion
from serving.demographics.crowd import Crowd
from serving.demographics.summary import Corrector, Summary
from serving.demographics.tally import AnswerError, Tally

# Each group takes memory, and as long as a summary.
_MOST_GROUPS = 200


@dataclass
class NotCounted:
    """Images and faces that are in no figure."""

    errors: int = 0
    """Images with an error in place of a prediction."""
    without_face: int = 0
    """Images in which no face was found."""
    warned: Counter[str] = field(default_factory=Counter)
    """Faces with a warning, by its code."""

    def __add__(self, other: NotCounted) -> NotCounted:
        return NotCounted(
            self.errors + other.errors, self.without_face + other.without_face, self.warned + other.warned
        )

    def as_json(self) -> dict[str, Any]:
        """Return the numbers as JSON."""
        return {"errors": self.errors, "without_face": self.without_face, "warnings": dict(self.warned)}


@dataclass(frozen=True)
class Result:
    """The demographics of files of answers."""

    release: str
    """Version of the release that answered."""
    columns: tuple[str, ...]
    """Columns that the groups differ in; empty without groups."""
    whole: Summary
    groups: dict[Group, Summary]
    differences: list[Difference]
    not_counted: NotCounted

    def as_json(self) -> dict[str, Any]:
        """Return all figures as JSON."""
        found: dict[str, Any] = {
            "release": self.release,
            **self.whole.as_json(),
            "not_counted": self.not_counted.as_json(),
        }
        if self.columns:
            found["groups"] = [
                {**dict(zip(self.columns, group, strict=True)), **summary.as_json()}
                for group, summary in self.groups.items()
            ]
            found["differences"] = [
                {**each._asdict(), "group": dict(zip(self.columns, each.group, strict=True))}
                for each in self.differences
            ]
        return found


def summarize(
    names: Iterable[str], known: Confusion, version: str, bands: tuple[Band, ...], columns: Sequence[str] = ()
) -> Result:
    """Return the demographics of files of answers, read in one pass.

    Args:
        names: .jsonl or .parquet files, - for standard input.
        known: statistics of the release that answered.
        version: of that release.
        bands: of ages.
        columns: of the answers, by which they are grouped.

    Raises:
        AnswersError: a file cannot be read, has no face, mixes releases, or lacks a column or probabilities.
    """
    rows = (row for name in names for row in answer_files.read(name))
    crowds, missed = count(rows, known, version, columns)
    if not crowds:
        raise AnswersError(f"there is no face to count: {described(missed) or 'no image'}")
    return result(crowds, missed, known, version, bands, columns)


def count(
    rows: Iterable[Row], known: Confusion, version: str, columns: Sequence[str] = ()
) -> tuple[dict[Group, Crowd], NotCounted]:
    """Return the crowds of answers that have a face, by group, and what they leave out.

    Raises:
        AnswersError: there is no row, or it is as for `summarize`.
    """
    tallies: dict[Group, Tally] = {}
    missed = NotCounted()
    row: Row | None = None
    for row in rows:
        missed.errors += row.failed
        missed.without_face += not row.faces and not row.failed
        if row.faces:
            tally = _tally(tallies, _group(row, columns), known, version)
            _add(tally, row)
    if row is None:
        raise AnswersError("the files are empty; give what `age-gender predict --json --probabilities` wrote")
    try:
        crowds = {group: tally.crowd() for group, tally in sorted(tallies.items())}
    except AnswerError as error:
        raise AnswersError(f"the last answer {error}") from error
    for tally in tallies.values():
        missed.warned += tally.warned
    return {group: crowd for group, crowd in crowds.items() if crowd.faces}, missed


def result(
    crowds: Mapping[Group, Crowd],
    missed: NotCounted,
    known: Confusion,
    version: str,
    bands: tuple[Band, ...],
    columns: Sequence[str] = (),
) -> Result:
    """Return the demographics of at least one crowd with faces."""
    whole, *others = crowds.values()
    for crowd in others:
        whole = whole + crowd
    corrector = Corrector(known)
    return Result(
        version,
        tuple(columns),
        corrector.summary(whole, bands),
        {group: corrector.summary(crowd, bands) for group, crowd in crowds.items()} if columns else {},
        comparison.differences(corrector, crowds, bands) if columns else [],
        missed,
    )


def described(missed: NotCounted) -> str:
    """Return what was not counted, as text; empty if everything was."""
    parts = [
        (missed.errors, "images with an error"),
        (missed.without_face, "images without a face"),
        *((faces, f"faces with the warning {code}") for code, faces in missed.warned.most_common()),
    ]
    return ", ".join(f"{number} {what}" for number, what in parts if number)


def _group(row: Row, columns: Sequence[str]) -> Group:
    if unknown := [name for name in columns if name not in row.columns]:
        there = ", ".join(answer_files.groupable(row)) or "none"
        raise AnswersError(f"{row.place} has no column {unknown[0]!r} for --by; it has {there}")
    return tuple(str(row.columns[name]) for name in columns)


def _tally(tallies: dict[Group, Tally], group: Group, known: Confusion, version: str) -> Tally:
    if group not in tallies:
        if len(tallies) == _MOST_GROUPS:
            raise AnswersError(f"--by makes more than {_MOST_GROUPS} groups; choose columns with fewer values")
        tallies[group] = Tally(known, version)
    return tallies[group]


def _add(tally: Tally, row: Row) -> None:
    try:
        for face in row.faces:
            tally.add(face)
    except (AnswerError, AttributeError, KeyError, TypeError) as error:
        raise AnswersError(f"{row.place} {error}") from error
