"""Names, titles, units and number formats of all metrics: one table for log, gate, reports, card and OpenMetrics."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum

from serving.heads import AGE
from training.evaluation.age_groups import AGE_GROUPS, FROM_13, AgeGroup
from training.labels import CHOICES


class Unit(Enum):
    """How a value is stored and printed."""

    YEARS = "years"
    """Years, two decimals."""
    SHARE = "ratio"
    """A share from 0 to 1, printed in percent."""
    POINTS = "points"
    """A difference of two shares, printed in percentage points."""
    BYTES = "bytes"
    """A whole number of bytes."""
    COUNT = "count"
    """A whole number."""

    @property
    def symbol(self) -> str:
        """The unit as text, after a space; "" for a count."""
        return {Unit.SHARE: " %", Unit.COUNT: ""}.get(self, f" {self.value}")


class Better(Enum):
    """The direction in which a metric improves."""

    LOWER = "lower"
    HIGHER = "higher"
    STATED = "stated"
    """Closer to the value that the release states: more is not better."""


@dataclass(frozen=True)
class MetricSpec:
    """One metric: its name for programs, its title for people, and how to print it."""

    name: str
    """Key in metrics.json, gate.json and MLflow."""
    title: str
    """Name in reports, tables and the terminal."""
    unit: Unit
    better: Better
    head: str = AGE
    """Head whose predictions it measures."""
    gauge: str = ""
    """Name as an OpenMetrics gauge; by default the name with its unit."""

    @property
    def gauge_name(self) -> str:
        """Return the name of the OpenMetrics gauge."""
        return self.gauge or f"{self.name}_{self.unit.value}"

    @property
    def worse_sign(self) -> int:
        """Return the sign of a difference that is a worsening: 1 or -1."""
        return 1 if self.better is Better.LOWER else -1

    def text(self, value: float | None) -> str:
        """Return a value with its unit, for example "4.40 years" or "95.6 %"."""
        return "none" if value is None else f"{self.number(value)}{self.unit.symbol}"

    def interval(self, low: float, high: float) -> str:
        """Return two ends without their unit, for example "94.6 to 96.4"."""
        return f"{self.number(low)} to {self.number(high)}"

    def difference(self, value: float) -> str:
        """Return a signed difference, for example "-0.12 years" or "+2.6 points"."""
        unit = Unit.POINTS.symbol if self.unit is Unit.SHARE else self.unit.symbol
        return f"{self.number(value, '+')}{unit}"

    def number(self, value: float, sign: str = "") -> str:
        """Return the number alone; shares in percent. `sign` is "+" to print the sign of a positive number too."""
        match self.unit:
            case Unit.YEARS:
                return f"{value:{sign}.2f}"
            case Unit.SHARE | Unit.POINTS:
                return f"{100 * value:{sign}.1f}"
            case _:
                return f"{value:{sign},.0f}"


def _accuracy(head: str) -> MetricSpec:
    return MetricSpec(f"{head}_accuracy", f"{head} accuracy", Unit.SHARE, Better.HIGHER, head)


def _calibration_error(head: str) -> MetricSpec:
    return MetricSpec(f"{head}_calibration_error", f"{head} calibration error", Unit.SHARE, Better.LOWER, head)


# Measured over all test faces and over each group, in the order of the columns.
MEASURED = {
    spec.name: spec
    for spec in (
        MetricSpec("age_mae", "age MAE", Unit.YEARS, Better.LOWER),
        MetricSpec("age_within_5", "age within 5 years", Unit.SHARE, Better.HIGHER),
        MetricSpec("age_band_accuracy", "age band accuracy", Unit.SHARE, Better.HIGHER),
        MetricSpec("interval_coverage", "age interval coverage", Unit.SHARE, Better.STATED),
        *(_accuracy(head.name) for head in CHOICES),
    )
}
# Measured over the faces with a range of ages instead of an age.
RANGED = {
    spec.name: spec
    for spec in (
        MetricSpec("age_range_distance", "age distance to the range", Unit.YEARS, Better.LOWER),
        MetricSpec("age_in_range", "age inside the range", Unit.SHARE, Better.HIGHER),
        MetricSpec("interval_overlap", "age interval overlaps the range", Unit.SHARE, Better.STATED),
    )
}
# Compared with the champion. An interval that covers more faces is no better, so the gate has thresholds for it.
COMPARED = {
    name: MEASURED[name] for name in ("age_mae", "age_within_5", *(f"{head.name}_accuracy" for head in CHOICES))
}
COMPARED_RANGES = {name: RANGED[name] for name in ("age_range_distance", "age_in_range")}
# Errors that fall with more training faces, for the learning curve.
LEARNT = {
    name: found
    for name, found in {**COMPARED, **COMPARED_RANGES}.items()
    if name not in ("age_within_5", "age_in_range")
}


def _at_ages(group: AgeGroup) -> MetricSpec:
    of_all = MEASURED[group.metric]
    unit = "" if of_all.unit is Unit.YEARS else f"_{of_all.unit.value}"
    return replace(
        of_all,
        name=f"{group.metric}_{group.name}",
        title=f"{of_all.title}, {group.title}",
        gauge=f"{group.metric}_{group.key}{unit}",
    )


# The metric that each group of ages is known for.
AT_AGES = {group: _at_ages(group) for group in AGE_GROUPS}
FALSE_POSITIVES = MetricSpec(
    "false_positive_rate", "input check false positives", Unit.SHARE, Better.LOWER, gauge="false_positive_ratio"
)
MODEL_BYTES = MetricSpec("bytes", "model file", Unit.BYTES, Better.LOWER, gauge="model_bytes")
CALIBRATION_ERRORS = {head.name: _calibration_error(head.name) for head in CHOICES}
# Every metric that the gate checks.
SPECS = {
    spec.name: spec
    for spec in (
        *MEASURED.values(),
        *RANGED.values(),
        AT_AGES[FROM_13],
        MetricSpec("interval_coverage_error", "age interval coverage error", Unit.POINTS, Better.LOWER),
        MetricSpec("worst_band_coverage", "age interval coverage, worst age band", Unit.SHARE, Better.HIGHER),
        *CALIBRATION_ERRORS.values(),
        FALSE_POSITIVES,
        MetricSpec("worst_subgroup_gap", "gender accuracy gap, worst subgroup", Unit.POINTS, Better.LOWER, "gender"),
        MODEL_BYTES,
        MetricSpec("live_worse", "metrics worse on live faces", Unit.COUNT, Better.LOWER),
        MetricSpec("fair_comparison", "fair comparison with the champion", Unit.COUNT, Better.HIGHER),
    )
}


def spec(name: str) -> MetricSpec:
    """Return the specification of a metric; a name that the table lacks is its own title, and its value is a count."""
    return SPECS.get(name) or MetricSpec(name, name, Unit.COUNT, Better.LOWER)
