"""Demographics as one HTML page that needs no other file."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import date
from html import escape

from age_gender import charts
from age_gender.summarize import Result, described
from age_gender.summary_text import POOR_FIT, figures, named
from serving.demographics.comparison import MEAN_AGE, Difference
from serving.demographics.summary import Figure, Summary
from serving.text import printable

_STYLE = """
:root { color-scheme: light dark; --ink: light-dark(#1c2330, #e6e9ef); --soft: light-dark(#5b6575, #a3adbd);
  --line: light-dark(#d8dee8, #39414f); --first: light-dark(#2f6fb2, #6ea8e6); --second: light-dark(#a34a7e, #e08fbd); }
body { font: 16px/1.5 system-ui, sans-serif; color: var(--ink); background: light-dark(#fff, #14181f);
  max-width: 52rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.6rem; } h2 { font-size: 1.2rem; margin-top: 2.2rem; }
table { border-collapse: collapse; width: 100%; } th, td { padding: .25rem .6rem; text-align: right;
  border-bottom: 1px solid var(--line); } th:first-child, td:first-child { text-align: left; }
figure { margin: 1rem 0; overflow-x: auto; } figcaption, .soft { color: var(--soft); font-size: .9rem; }
.warning { border-left: 4px solid #c77700; padding-left: .8rem; }
svg { width: 100%; height: auto; font: 12px system-ui, sans-serif; } svg text { fill: var(--ink); }
.first { fill: var(--first); stroke: var(--first); } .second { fill: var(--second); stroke: var(--second); }
.interval { stroke: var(--ink); stroke-width: 1.5; } .counted { fill: none; stroke: var(--ink); stroke-dasharray: 3 2; }
.axis { stroke: var(--line); } path.first, path.second { fill: none; stroke-width: 2; }
"""
# Sentences that every reader needs, in the order of their weight.
_CAVEATS = (
    "The figures are estimates. In 95 of 100 crowds the interval contains the true value, if the images are like those "
    "that the release was measured on.",
    "Other cameras, light, angles or an unusual public can shift the figures beyond their intervals. Compare only "
    "places with like cameras.",
    "“Counted” is what the predictions alone give. A classifier reports too much of what is rare. “Estimated” corrects "
    "this with the errors that were measured for the release.",
    "Faces are counted, not people. Who is in two images is counted twice. Nobody is recognized.",
    "Gender is the label that annotators would choose for the face. It is not what a person says of themselves.",
)


def page(result: Result) -> Iterator[str]:
    """Return the lines of the page."""
    title = f"Demographics of {result.whole.faces:,} faces"
    yield '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">'
    yield '<meta name="viewport" content="width=device-width, initial-scale=1">'
    yield f'<title>{title}</title>\n<link rel="icon" href="data:,">\n<style>{_STYLE}</style>\n</head>\n<body>\n<main>'
    yield f"<h1>{title}</h1>\n<p>Predicted by release {_text(result.release)}.</p>"
    if any(summary.fit.poor for summary in (result.whole, *result.groups.values())):
        yield f'<p class="warning">{POOR_FIT}.</p>'
    yield from _whole(result.whole)
    if result.columns:
        yield from _groups(result)
    yield "<h2>Not counted</h2>"
    yield f"<p>{_text(described(result.not_counted)) or 'Everything was counted.'}</p>"
    yield "<h2>What these figures mean</h2>\n<ul>"
    yield from (f"<li>{sentence}</li>" for sentence in _CAVEATS)
    yield "</ul>\n</main>\n</body>\n</html>"


def _whole(summary: Summary) -> Iterator[str]:
    if len(summary.pyramid) == 2:
        yield "<h2>Age pyramid</h2>"
        yield from _figure(
            charts.pyramid(summary.pyramid),
            "Share of all faces. Bar: estimated. Thin line: 95 % interval. Dashed: counted.",
        )
    yield "<h2>Shares and ages</h2>"
    yield from _table(("figure", "estimated", "95 % interval", "counted"), map(_row, figures(summary)))


def _groups(result: Result) -> Iterator[str]:
    by = ", ".join(map(_text, result.columns))
    days = _days(result)
    if days:
        yield f"<h2>By {by}</h2>"
        for name in [*next(iter(result.whole.heads.values()), {})][-1:]:
            over_time = {day: next(iter(summary.heads.values()))[name] for day, summary in days.items()}
            yield from _figure(charts.trend(over_time, 100, "%"), f"Share of {_text(name)}, with 95 % intervals.")
        ages = {day: summary.mean_age for day, summary in days.items()}
        yield from _figure(charts.trend(ages, 1, "years"), "Mean age, with 95 % intervals.")
    for group, summary in result.groups.items():
        yield f"<h2>{_text(named(result, group))}: {summary.faces:,} faces</h2>"
        marginal = (each for each in figures(summary) if not _in_pyramid(each[0], summary))
        yield from _table(("figure", "estimated", "95 % interval", "counted"), map(_row, marginal))
    yield "<h2>Differences</h2>"
    found = [each for each in result.differences if each.significant]
    if not found:
        yield "<p>No group differs from the others by more than chance explains.</p>"
        return
    yield "<p>From all other groups together, more than chance: p &lt; 0.05 after Holm's correction.</p>"
    yield from _table(
        ("group", "figure", "difference", "95 % interval"),
        ((named(result, each.group), each.figure, *_difference(each)) for each in found),
    )


def _days(result: Result) -> dict[date, Summary]:
    """Return the groups by day, in order, if their only column has a date each; else nothing."""
    if len(result.columns) != 1 or len(result.groups) < 2:
        return {}
    try:
        return dict(sorted((date.fromisoformat(group[0][:10]), each) for group, each in result.groups.items()))
    except (ValueError, TypeError):
        return {}


def _in_pyramid(name: str, summary: Summary) -> bool:
    return any(name == f"{label} {band}" for label, bands in summary.pyramid.items() for band in bands)


def _figure(svg: str, caption: str) -> Iterator[str]:
    yield f"<figure>\n{svg}\n<figcaption>{caption}</figcaption>\n</figure>"


def _table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> Iterator[str]:
    yield "<table>\n<thead><tr>" + "".join(f'<th scope="col">{title}</th>' for title in head) + "</tr></thead>\n<tbody>"
    for row in rows:
        yield "<tr>" + "".join(f"<td>{_text(cell)}</td>" for cell in row) + "</tr>"
    yield "</tbody>\n</table>"


def _row(named_figure: tuple[str, Figure]) -> tuple[str, str, str, str]:
    name, figure = named_figure
    scale, unit = (1, "years") if name.endswith("age") else (100, "%")
    value, low, high, counted = (f"{scale * each:.1f}" for each in figure)
    return name, f"{value} {unit}", f"{low} to {high}", f"{counted} {unit}"


def _difference(each: Difference) -> tuple[str, str]:
    scale, unit = (1, "years") if each.figure == MEAN_AGE else (100, "points")
    return f"{scale * each.difference:+.1f} {unit}", f"{scale * each.low:+.1f} to {scale * each.high:+.1f}"


def _text(value: str) -> str:
    """Return a text from files as HTML."""
    return escape(printable(value))
