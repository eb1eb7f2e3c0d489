"""Compare a release with its reproduction: model file, metrics and environment."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from serving.release import MANIFEST, parse_manifest
from training.evaluation import metrics
from training.evaluation.metric_table import spec


@dataclass(frozen=True)
class Metric:
    """A published metric with its bootstrap interval, and the reproduced value."""

    name: str
    """Name of the metric."""
    published: float
    """Published value."""
    low: float
    """Lower end of the published interval."""
    high: float
    """Upper end of the published interval."""
    repeated: float
    """Value of the reproduction."""

    @property
    def inside(self) -> bool:
        """Whether the reproduced value is in the published interval."""
        return self.low <= self.repeated <= self.high

    def __str__(self) -> str:
        known, apart = spec(self.name), "inside" if self.inside else "OUTSIDE"
        interval = f"{known.text(self.published):>11}  ({known.interval(self.low, self.high)})"
        return f"{known.title:24} {interval}  reproduced {known.text(self.repeated):>11}  {apart}"


@dataclass(frozen=True)
class ReproductionReport:
    """Result of a reproduction."""

    same_model: bool
    """Whether both model files are equal, byte for byte."""
    metrics: list[Metric]
    """Metrics that both have."""
    changes: list[str]
    """Differences of the environment, in words."""

    @property
    def holds(self) -> bool:
        """Whether the model file is the same, or every metric is in its published interval."""
        return self.same_model or all(metric.inside for metric in self.metrics)

    def __str__(self) -> str:
        lines = [*map(str, self.metrics)]
        if self.same_model:
            return "\n".join([*lines, "the model files are identical"])
        because = "; ".join(self.changes) or "no known difference; GPUs and interrupted trainings are not deterministic"
        verdict = "all metrics are inside their intervals" if self.holds else "metrics are outside their intervals"
        return "\n".join([*lines, f"the model files differ ({because}); {verdict}"])


def compare(manifest: dict[str, Any], folder: Path) -> ReproductionReport:
    """Compare a published release with its reproduction.

    Args:
        manifest: of the published release.
        folder: of the reproduction.

    Raises:
        StepError: the reproduction was not evaluated.
    """
    again = parse_manifest((folder / MANIFEST).read_bytes())
    overall = metrics.load(folder)["overall"]
    compared = [
        Metric(name, metric["value"], metric["low"], metric["high"], overall[name]["value"])
        for name, metric in manifest.get("metrics", {}).items()
        if isinstance(metric, dict) and name in overall
    ]
    same = manifest["model"]["sha256"] == again["model"]["sha256"]
    return ReproductionReport(same, compared, list(_changes(manifest["provenance"], again["provenance"])))


def _changes(then: dict[str, Any], now: dict[str, Any]) -> Iterator[str]:
    trainings = then.get("trained", {}).get("on", [])
    if len(trainings) > 1:
        yield f"the training was interrupted {len(trainings) - 1} times"
    if then.get("devices", 1) != now.get("devices", 1):
        yield f"{then['devices']} devices then, {now['devices']} now"
    places = [(trainings or [then])[-1], (now.get("trained", {}).get("on") or [now])[-1]]
    for part in ("tools", "machine", "lock"):
        before, after = (place.get(part, {}) for place in places)
        for name in before.keys() & after.keys():
            if before[name] != after[name]:
                yield f"{name} {before[name]} then, {after[name]} now"
