"""Charts of demographics as SVG."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from html import escape

from serving.demographics.summary import Figure
from serving.text import printable

_WIDTH = 720
# The pyramid: height of a band's row, and of its bar; width of the column of names.
_ROW, _BAR, _NAMES = 30, 18, 90
# The trend: its height, and the margins for the axes.
_HEIGHT, _LEFT, _BOTTOM = 220, 60, 28
_TICKS = 4


def pyramid(shares: Mapping[str, Mapping[str, Figure]]) -> str:
    """Return the shares of age bands by two labels, one to each side: youngest at the bottom."""
    (first, left), (second, right) = shares.items()
    bands = [*left][::-1]
    half = (_WIDTH - _NAMES) / 2
    scale = half / max(max(figure.high, figure.counted) for row in (left, right) for figure in row.values())
    parts = [
        _label(half / 2, 14, first, "middle"),
        _label(_WIDTH - half / 2, 14, second, "middle"),
    ]
    for number, band in enumerate(bands):
        top = 24 + number * _ROW
        parts.append(_label(_WIDTH / 2, top + _BAR - 4, band, "middle"))
        parts.append(_bar(left[band], half, -scale, top, "first"))
        parts.append(_bar(right[band], _WIDTH - half, scale, top, "second"))
    return _svg(24 + len(bands) * _ROW, f"Age pyramid of {first} and {second}", parts)


def trend(values: Mapping[date, Figure], scale: float, unit: str) -> str:
    """Return figures over days as a line with intervals. They are multiplied by `scale`."""
    days = [*values]
    first, span = days[0], max(1, (days[-1] - days[0]).days)
    low = scale * min(figure.low for figure in values.values())
    high = max(scale * max(figure.high for figure in values.values()), low + 1e-9)

    def x(day: date) -> float:
        return _LEFT + 10 + (_WIDTH - _LEFT - 40) * (day - first).days / span

    def y(value: float) -> float:
        return 10 + (_HEIGHT - _BOTTOM - 20) * (high - scale * value) / (high - low)

    parts = []
    for tick in range(_TICKS + 1):
        value = low + (high - low) * tick / _TICKS
        at = y(value / scale)
        parts.append(f'<line class="axis" x1="{_LEFT}" y1="{at:.1f}" x2="{_WIDTH}" y2="{at:.1f}"/>')
        parts.append(_label(_LEFT - 6, at + 4, f"{value:.1f} {unit}", "end"))
    line = " ".join(
        f"{'L' if number else 'M'}{x(day):.1f} {y(values[day].value):.1f}" for number, day in enumerate(days)
    )
    parts.append(f'<path class="first" d="{line}"/>')
    for day, figure in values.items():
        parts.append(
            f'<line class="interval" x1="{x(day):.1f}" y1="{y(figure.low):.1f}" x2="{x(day):.1f}" '
            f'y2="{y(figure.high):.1f}"/>'
        )
        parts.append(f'<circle class="first" cx="{x(day):.1f}" cy="{y(figure.value):.1f}" r="4"/>')
    parts += [_label(x(day), _HEIGHT - 6, f"{day}", "middle") for day in dict.fromkeys((days[0], days[-1]))]
    return _svg(_HEIGHT, f"{unit} over days", parts)


def _bar(figure: Figure, base: float, scale: float, top: float, kind: str) -> str:
    """Return a bar from `base` to the right for a positive scale, to the left for a negative one."""

    def rectangle(share: float, kind: str) -> str:
        width = abs(share * scale)
        left = base if scale > 0 else base - width
        return f'<rect class="{kind}" x="{left:.1f}" y="{top}" width="{width:.1f}" height="{_BAR}"/>'

    middle = top + _BAR / 2
    interval = (
        f'<line class="interval" x1="{base + scale * figure.low:.1f}" y1="{middle}" '
        f'x2="{base + scale * figure.high:.1f}" y2="{middle}"/>'
    )
    return rectangle(figure.value, kind) + rectangle(figure.counted, "counted") + interval


def _label(x: float, y: float, text: str, anchor: str) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(printable(text))}</text>'


def _svg(height: int, title: str, parts: list[str]) -> str:
    return (
        f'<svg viewBox="0 0 {_WIDTH} {height}" role="img" xmlns="http://www.w3.org/2000/svg">'
        f"<title>{escape(printable(title))}</title>{''.join(parts)}</svg>"
    )
