"""Demographics as text: a table for people, CSV for spreadsheets."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator

from age_gender.summarize import Result, described
from serving.demographics.comparison import MEAN_AGE, Group
from serving.demographics.summary import Figure, Summary
from serving.text import printable, spreadsheet_cell

_NAME = 24
POOR_FIT = (
    "no shares explain these answers well; the images may be of another kind than those that the release "
    "was measured on, and the corrected figures may be wrong"
)
_FOOT = (
    "estimated: corrected for the release's errors, with a 95 % interval; counted: the answers alone. "
    "A person who is in two images is counted twice."
)


def table(result: Result) -> Iterator[str]:
    """Return the lines of a table, of the whole and of each group."""
    yield from _table(f"{result.whole.faces} faces, release {result.release}", result.whole)
    for group, summary in result.groups.items():
        yield ""
        yield from _table(f"{named(result, group)}: {summary.faces} faces", summary)
    if result.columns:
        yield ""
        yield from _differences(result)
    yield ""
    for shares in result.whole.adjusted.values():
        parts = ", ".join(f"{printable(label)} {100 * share:.1f} %" for label, share in shares.items())
        yield f"check, adjusted counts of all ages: {parts}"
    if missed := described(result.not_counted):
        yield f"not counted: {missed}"
    if any(summary.fit.poor for summary in (result.whole, *result.groups.values())):
        yield f"warning: {POOR_FIT}"
    yield _FOOT


def comma_separated(result: Result) -> Iterator[str]:
    """Return the lines of CSV: one figure a row, of the whole and of each group. No cell is a formula."""
    yield _csv_line((*map(spreadsheet_cell, result.columns), "figure", "estimated", "low", "high", "counted"))
    for group, summary in {("",) * len(result.columns): result.whole, **result.groups}.items():
        for name, figure in figures(summary):
            yield _csv_line(
                (*map(spreadsheet_cell, group), spreadsheet_cell(name), *(f"{value:.4f}" for value in figure))
            )


def _table(title: str, summary: Summary) -> Iterator[str]:
    yield printable(title)
    yield f"{'':{_NAME}}{'estimated':>10}{'between':>16}{'counted':>10}"
    for name, figure in figures(summary):
        years = name.endswith("age")
        unit, scale = ("   ", 1) if years else (" %", 100)
        value, low, high, counted = (f"{scale * each:.1f}" for each in figure)
        yield f"{printable(name):{_NAME}}{value:>8}{unit:2}{f'{low} - {high}':>16}{counted:>8}{unit}".rstrip()


def figures(summary: Summary) -> Iterator[tuple[str, Figure]]:
    """Return all figures with their names."""
    for figures in summary.heads.values():
        yield from figures.items()
    yield from summary.bands.items()
    for label, figures in summary.pyramid.items():
        for band, figure in figures.items():
            yield f"{label} {band}", figure
    yield "mean age", summary.mean_age
    yield "median age", summary.median_age


def _differences(result: Result) -> Iterator[str]:
    found = [each for each in result.differences if each.significant]
    if not found:
        yield "no group differs from the others by more than chance explains"
        return
    yield "differences from all other groups that are more than chance (p < 0.05 after Holm's correction):"
    for each in found:
        scale, unit = (1, "years") if each.figure == MEAN_AGE else (100, "points")
        low, high = scale * each.low, scale * each.high
        yield (
            f"  {named(result, each.group)}, {printable(each.figure)}: {scale * each.difference:+.1f} {unit} "
            f"({low:+.1f} to {high:+.1f})"
        )


def named(result: Result, group: Group) -> str:
    """Return the columns of a group with their values."""
    return ", ".join(f"{name} {value}" for name, value in zip(result.columns, map(printable, group), strict=True))


def _csv_line(cells: tuple[str, ...]) -> str:
    line = io.StringIO()
    csv.writer(line, lineterminator="").writerow(cells)
    return line.getvalue()
