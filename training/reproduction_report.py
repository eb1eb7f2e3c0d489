"""Two makings of one release, compared: the same faces, the same file, the same metrics?"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from serving.release import MANIFEST, parse_manifest
from training.evaluation import metrics


@dataclass(frozen=True)
class Metric:
    """One metric of the release, its bootstrap interval, and the same of the repetition."""

    name: str
    published: float
    low: float
    high: float
    repeated: float

    @property
    def inside(self) -> bool:
        """Whether the repetition lies in the interval of what was published."""
        return self.low <= self.repeated <= self.high

    def __str__(self) -> str:
        apart = "inside" if self.inside else "OUTSIDE"
        interval = f"{self.published:8.4f}  ({self.low:.4f} to {self.high:.4f})"
        return f"{self.name:20} {interval}  again {self.repeated:8.4f}  {apart}"


@dataclass(frozen=True)
class ReproductionReport:
    """What a repetition came to."""

    same_model: bool
    metrics: list[Metric]
    # what was not as it was then, in words
    changes: list[str]

    @property
    def holds(self) -> bool:
        """Whether the release was made again, to the bit or within its own uncertainty."""
        return self.same_model or all(metric.inside for metric in self.metrics)

    def __str__(self) -> str:
        lines = [*map(str, self.metrics)]
        if self.same_model:
            return "\n".join([*lines, "the same model file, to the bit"])
        because = "; ".join(self.changes) or "nothing known differs; GPUs and interrupted trainings are not exact"
        verdict = "all metrics inside their intervals" if self.holds else "metrics outside their intervals"
        return "\n".join([*lines, f"another model file ({because}), {verdict}"])


def compare(manifest: dict[str, Any], folder: Path) -> ReproductionReport:
    """The release's `manifest`, which has metrics once it is published, against the one made again in `folder`.

    Raises:
        StepError: that one was not evaluated.
    """
    again = parse_manifest((folder / MANIFEST).read_text(encoding="utf-8"))
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
