"""Feedback: live faces with true labels, judged against the release's own test faces."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any, NamedTuple

import numpy as np

from age_gender.prediction import Estimates
from serving.heads import AGE
from serving.prediction import AgeEstimate, FacePrediction
from serving.request_stats import AGE_BANDS
from training.config import FeedbackConfig
from training.evaluation import samples
from training.evaluation.metric_table import MEASURED, Better, MetricSpec, Unit
from training.labels import LABELS, MISSING, NO_BAND, ROW, age_bands
from training.monitoring.live_answers import LiveAnswers, NoAnswerError
from training.monitoring.live_metrics import OVERCONFIDENCE, Estimate, LiveFaces, Mask
from training.monitoring.live_verdict import FeedbackStatus
from training.monitoring.true_labels import TrueLabels

_JUDGED = {
    name: MEASURED[name] for name in ("age_mae", "interval_coverage", *(f"{head}_accuracy" for head in LABELS))
} | {spec.name: spec for spec in OVERCONFIDENCE.values()}
_CALIBRATION = {spec.name for spec in OVERCONFIDENCE.values()}


class Reference(NamedTuple):
    """What the release's test faces lead to expect."""

    value: float
    error: float
    """Standard error."""


@dataclass(frozen=True)
class FeedbackComparison:
    """One metric of live faces, beside what the release's test faces lead to expect."""

    spec: MetricSpec
    group: str
    """Age band, "" for all faces."""
    live: Estimate
    reference: Reference
    level: float
    """Probability of a false alarm in this comparison."""
    config: FeedbackConfig

    @property
    def worsening(self) -> float:
        """Return by how much the live metric is worse. A change in either direction is one if a value is stated."""
        difference = self.live.value - self.reference.value
        if self.spec.name in _CALIBRATION:
            return abs(self.live.value) - self.reference.value
        return abs(difference) if self.spec.better is Better.STATED else self.spec.worse_sign * difference

    @property
    def margin(self) -> float:
        """Return the smallest worsening that counts."""
        if self.spec.name == "interval_coverage":
            return self.config.coverage
        return self.config.years if self.spec.unit is Unit.YEARS else self.config.share

    @property
    def error(self) -> float:
        """Return the standard error of the worsening."""
        return math.hypot(self._live_error, self.reference.error)

    @property
    def _live_error(self) -> float:
        """Return the live standard error, for a share at least that of the expected one: few faces may all be right."""
        if self.spec.unit is not Unit.SHARE:
            return self.live.error
        expected = self.reference.value
        return max(self.live.error, math.sqrt(expected * (1 - expected) / self.live.n))

    @property
    def detectable(self) -> float:
        """Return the smallest worsening that is found with the probability `power`."""
        return max(self.margin, self._reach * self.error)

    @property
    def needed(self) -> int:
        """Return the number of labelled faces from which the smallest worsening that counts is found.

        It cannot be found with any number if the test faces are too few; then this is 0.
        """
        rest = (self.margin / self._reach) ** 2 - self.reference.error**2
        return math.ceil(self.live.n * self._live_error**2 / rest) if rest > 0 else 0

    @property
    def verdict(self) -> FeedbackStatus:
        """Return WORSE if the worsening counts and is not by chance. A few requests do not tell what chance does."""
        if self.live.requests < self.config.requests:
            return FeedbackStatus.TOO_FEW
        if self.worsening >= self.margin and self.worsening > self._quantile * self.error:
            return FeedbackStatus.WORSE
        return FeedbackStatus.NOT_WORSE if self.detectable <= self.margin else FeedbackStatus.TOO_FEW

    @property
    def _quantile(self) -> float:
        sides = 2 if self.spec.better is Better.STATED else 1
        return NormalDist().inv_cdf(1 - self.level / sides)

    @property
    def _reach(self) -> float:
        return self._quantile + NormalDist().inv_cdf(self.config.power)


@dataclass(frozen=True)
class Joined:
    """Labels with their answers."""

    faces: LiveFaces | None
    """None if no label has an answer of the release."""
    missing: Counter[str]
    """Labels without an answer, by reason."""
    unstated: int
    """Answers that do not state their release, and count."""


def join(labels: TrueLabels, answers: LiveAnswers, release: str) -> Joined:
    """Return the labels that the release answered, with its answers."""
    missing: Counter[str] = Counter()
    requests: dict[str, int] = {}
    rows, found, numbers = [], [], []
    unstated = 0
    for place, row in labels.rows.items():
        try:
            estimates = answers.find(place)
        except NoAnswerError as error:
            missing[str(error)] += 1
            continue
        version = answers.releases[place.name]
        if version not in ("", release):
            missing["answered by another release"] += 1
            continue
        unstated += not version
        rows.append(_answered(row, estimates))
        found.append(FacePrediction(estimates.age or AgeEstimate(0, 0, 0), dict(estimates.choices)))
        numbers.append(requests.setdefault(place.name, len(requests)))
    if not found:
        return Joined(None, missing, unstated)
    scored = samples.collect(found, np.array(rows, np.uint8))
    return Joined(LiveFaces(scored, np.array(numbers)), missing, unstated)


def _answered(row: tuple[int, ...], estimates: Estimates) -> tuple[int, ...]:
    """Return labels without those of heads that the answer lacks."""
    known = {*estimates.estimates}
    age = () if AGE in known else (AGE, f"{AGE}_high")
    return tuple(
        MISSING if name in age or (name in LABELS and name not in known) else value
        for name, value in zip(ROW, row, strict=True)
    )


def judge(faces: LiveFaces, measured: dict[str, Any], config: FeedbackConfig) -> list[FeedbackComparison]:
    """Compare live faces with a release's test faces, over all faces and in each age band.

    The probability of a false alarm is shared by all comparisons (Bonferroni), also by those of age bands with too few
    requests, which are left out. So more labels do not make it smaller.

    Args:
        faces: with labels.
        measured: content of the release's metrics.json.
        config: the thresholds.
    """
    bands = age_bands(faces.scored.labels)
    groups = [("", np.ones(len(bands), np.bool_)), *((name, bands == number) for number, name in enumerate(AGE_BANDS))]
    values = faces.contributions()
    known = [spec for name, spec in _JUDGED.items() if not np.isnan(values[name]).all()]
    # The test faces' calibration error is known for all ages together only.
    pairs = [(spec, *group) for spec in known for group in (groups[:1] if spec.name in _CALIBRATION else groups)]
    found = []
    for spec, group, mask in pairs:
        live = faces.estimate(values[spec.name], mask)
        if live is None or (group and live.requests < config.requests):
            continue
        reference = _reference(spec, faces, mask & ~np.isnan(values[spec.name]), measured)
        if reference:
            found.append(FeedbackComparison(spec, group, live, reference, config.false_alarms / len(pairs), config))
    return found


def _reference(spec: MetricSpec, faces: LiveFaces, counted: Mask, measured: dict[str, Any]) -> Reference | None:
    """Return what the test faces lead to expect for faces of these ages; None where the release was not measured."""
    if spec.name in _CALIBRATION:
        error = measured["calibration_error"].get(spec.head)
        return None if error is None else Reference(float(error), 0.0)
    if spec.name not in measured["overall"]:
        return None
    bands = age_bands(faces.scored.labels)[counted]
    # The width of a stated interval in standard errors.
    width = 2 * NormalDist().inv_cdf((1 + measured["config"]["confidence"]) / 2)
    total = Reference(0.0, 0.0)
    for share, row in _shares(bands, spec.name, measured):
        figure = row[spec.name]
        error = (figure["high"] - figure["low"]) / width
        total = Reference(total.value + share * figure["value"], math.hypot(total.error, share * error))
    return total


def _shares(bands: Any, metric: str, measured: dict[str, Any]) -> Iterator[tuple[float, dict[str, Any]]]:
    """Yield the share of the live faces in each age band with the band's test metrics.

    Users of other ages make a metric better or worse without any change of the model. Faces without a known band are
    compared with all test faces.
    """
    rest = float(np.mean(bands == NO_BAND))
    for number, row in enumerate(measured["by_age_band"]):
        share = float(np.mean(bands == number))
        if metric in row:
            yield share, row
        else:
            rest += share
    yield rest, measured["overall"]


def verdict(comparisons: list[FeedbackComparison]) -> FeedbackStatus:
    """Return the verdict over all comparisons: NOT_WORSE needs enough labels for each metric over all faces."""
    if any(each.verdict is FeedbackStatus.WORSE for each in comparisons):
        return FeedbackStatus.WORSE
    whole = [each for each in comparisons if not each.group]
    enough = bool(whole) and all(each.verdict is FeedbackStatus.NOT_WORSE for each in whole)
    return FeedbackStatus.NOT_WORSE if enough else FeedbackStatus.TOO_FEW
