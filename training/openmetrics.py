"""Metrics in the OpenMetrics text format, for GitLab's metrics reports and Prometheus."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple


class Gauge(NamedTuple):
    """A metric of type gauge."""

    name: str
    """Name of the metric."""
    meaning: str
    """Help text."""
    values: Iterable[tuple[dict[str, str], float]]
    """Labels and value of each sample."""


def render(gauges: Iterable[Gauge]) -> str:
    """Return the whole exposition (OpenMetrics 1.0, section 3.2)."""
    return "".join(_lines(gauge) for gauge in gauges) + "# EOF\n"


def _lines(gauge: Gauge) -> str:
    head = f"# TYPE {gauge.name} gauge\n# HELP {gauge.name} {gauge.meaning}\n"
    return head + "".join(f"{gauge.name}{_labels(labels)} {value:.12g}\n" for labels, value in gauge.values)


def _labels(labels: dict[str, str]) -> str:
    pairs = ",".join(f'{name}="{_escaped(value)}"' for name, value in labels.items())
    return f"{{{pairs}}}" if pairs else ""


def _escaped(text: str) -> str:
    return text.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
