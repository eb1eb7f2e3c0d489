"""Measured metrics as rows of text, for the terminal, the report and the card.

Shares have Wilson score intervals (Wilson 1927), also those near 0 and 1 and of small groups. The age MAE has the
percentile bootstrap interval of metrics.json. Groups below MIN_SHOWN faces have no metrics.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any, NamedTuple

from serving.heads import AGE
from training.evaluation import baseline
from training.evaluation.metric_table import MEASURED, RANGED, MetricSpec, Unit

# faces; the metrics of a smaller group are chance
MIN_SHOWN = 20
# Key in metrics.json of the number of faces with a range of ages.
RANGE = "age_range"
TOO_FEW = f"n < {MIN_SHOWN}"
METHODS = "Shares have Wilson intervals, the age MAE a bootstrap interval."


class Cell(NamedTuple):
    """A metric and its interval as text."""

    value: str
    interval: str


@dataclass(frozen=True)
class Row:
    """The metrics of one group."""

    names: tuple[str, ...]
    n: int
    """Number of faces."""
    cells: tuple[Cell, ...]
    """One for each of `shown`; empty if the group has fewer than MIN_SHOWN faces."""


class ComparedRow(NamedTuple):
    """A metric of all faces beside the baseline, as text."""

    name: str
    """Name in the metric table."""
    title: str
    """With the number of faces, if not all of them have a label for it."""
    value: str
    interval: str
    baseline: str


def wilson(share: float, n: int, confidence: float) -> tuple[float, float]:
    """Return the Wilson score interval of a share of `n` faces."""
    z = NormalDist().inv_cdf((1 + confidence) / 2)
    center = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    return max(0.0, center - half), min(1.0, center + half)


def shown(measured: dict[str, Any]) -> dict[str, MetricSpec]:
    """Return the metrics that some test face has a label for."""
    return {name: spec for name, spec in {**MEASURED, **RANGED}.items() if name in measured["overall"]}


def labelled(measured: dict[str, Any]) -> str:
    """Return how many test faces have each label; "" if all of them have an exact age and every other label."""
    faces, counts = measured["faces"], dict(measured.get("labelled", {}))
    if all(n == faces for name, n in counts.items() if name != RANGE):
        return ""
    ranged = counts.pop(RANGE)
    ages = [f"{counts.pop(AGE):,} have an exact age", f"{ranged:,} a range of ages"]
    heads = [f"{n:,} a label for {head}" if n else f"none a label for {head}" for head, n in counts.items()]
    return f"Of the {faces:,} test faces, {', '.join([*ages, *heads])}. Each metric rests on the faces with its label."


def rows(measured: dict[str, Any], groups: list[dict[str, Any]], attributes: list[str]) -> list[Row]:
    """Return one row for each group of metrics.json; `attributes` are its members that name it."""
    return [_row(measured, group, tuple(group[attribute] for attribute in attributes)) for group in groups]


def beside_baseline(measured: dict[str, Any], group: str = "overall") -> list[ComparedRow]:
    """Return one row for each metric of "overall" or of a group of ages, by its key."""
    row, constant, found = _row(measured, measured[group], ()), measured["baseline"][group], shown(measured)
    cells = row.cells or (Cell(TOO_FEW, ""),) * len(found)
    return [
        ComparedRow(
            name,
            f"{spec.title}{_of(measured[group], name)}",
            *cell,
            spec.text(constant[name]) if row.cells and name in constant else "",
        )
        for (name, spec), cell in zip(found.items(), cells, strict=True)
    ]


def text(measured: dict[str, Any]) -> str:
    """Return the metrics of all faces as a table for the terminal."""
    head = ComparedRow("", "test metric", "value", interval_title(measured), "baseline")
    compared = beside_baseline(measured)
    width = max(24, *(len(row.title) + 1 for row in compared))
    lines = [f"{row.title:{width}}{row.value:>12}{row.interval:>18}{row.baseline:>14}" for row in (head, *compared)]
    warning, partial = baseline.not_better(measured), labelled(measured)
    remarks = [*([partial] if partial else []), *([f"warning: {warning}"] if warning else [])]
    return "\n".join([*lines, baseline.sentence(measured), *remarks, METHODS])


def interval_title(measured: dict[str, Any]) -> str:
    """Return the heading of a column of intervals."""
    return f"{100 * _confidence(measured):.0f} % interval"


def _row(measured: dict[str, Any], group: dict[str, Any], names: tuple[str, ...]) -> Row:
    n = group["n"]
    return Row(names, n, tuple(_cells(measured, group)) if n >= MIN_SHOWN else ())


def _cells(measured: dict[str, Any], group: dict[str, Any]) -> Iterator[Cell]:
    for name, spec in shown(measured).items():
        metric = group.get(name, {"n": 0})
        n = metric.get("n", group["n"])
        yield _cell(spec, metric, n, _confidence(measured)) if n >= MIN_SHOWN else Cell(TOO_FEW, "")


def _of(group: dict[str, Any], name: str) -> str:
    """Return the number of faces of a metric in brackets; "" if it is that of the group."""
    n = group.get(name, {}).get("n", group["n"])
    return f" (n = {n:,})" if n != group["n"] else ""


def _cell(spec: MetricSpec, metric: dict[str, float], n: int, confidence: float) -> Cell:
    if spec.unit is not Unit.SHARE:
        return Cell(spec.text(metric["value"]), spec.interval(metric["low"], metric["high"]))
    # metrics.json has four decimals. The exact share avoids rounding twice.
    share = round(metric["value"] * n) / n
    return Cell(spec.text(share), spec.interval(*wilson(share, n, confidence)))


def _confidence(measured: dict[str, Any]) -> float:
    return float(measured["config"]["confidence"])
