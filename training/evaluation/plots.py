"""The plots of a report, as matplotlib figures."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from training.calibration.intervals import covered
from training.evaluation import metrics
from training.evaluation.learning_curve import MORE, Curve
from training.evaluation.metric_table import Unit
from training.evaluation.samples import Array, ScoredSamples
from training.evaluation.tables import MIN_SHOWN
from training.labels import CHOICES, age_range, exact_ages, ranged_ages

# years; width of the age bins of the error and coverage plots
_STEP = 10
_OLDEST = 100


def learning_curves(history: list[dict[str, float]]) -> Figure:
    """Plot training and validation metrics over the epochs of `history`, Keras's logs of at least one epoch."""
    figure = Figure(figsize=(9, 3), layout="constrained")
    titles = {
        "age_error": "age MAE, years",
        **{f"{head.name}_accuracy": f"{head.name} accuracy" for head in CHOICES},
    }
    # Without a labelled face, a metric is NaN in every epoch.
    columns = [column for column in titles if not math.isnan(history[-1][f"val_{column}"])] or ["age_error"]
    panels = figure.subplots(1, len(columns), squeeze=False)[0]
    epochs = [row["epoch"] for row in history]
    for axes, column in zip(panels, columns, strict=True):
        axes.plot(epochs, [row[column] for row in history], label="training")
        axes.plot(epochs, [row[f"val_{column}"] for row in history], label="validation")
        axes.set(title=titles[column], xlabel="epoch")
    panels[0].legend()
    return figure


def training_faces(faces: list[int], curves: list[Curve]) -> Figure:
    """Plot metrics over the number of training faces, and the trend to MORE times as many where they improve.

    Args:
        faces: (P,) training faces of each network.
        curves: at least one.
    """
    figure = Figure(figsize=(3 * max(2, len(curves)), 3), layout="constrained")
    for axes, each in zip(figure.subplots(1, len(curves), squeeze=False)[0], curves, strict=True):
        axes.errorbar(faces, each.values, _lengths(each.values, each.low, each.high), fmt="o-", capsize=3)
        ticks = [*faces, MORE * faces[-1]] if each.improves else faces
        if each.improves:
            _trend(axes, faces, each)
        axes.set_xscale("log")
        axes.set_xticks(ticks, [f"{count:,}" for count in ticks], rotation=30)
        axes.minorticks_off()
        unit = each.spec.unit.symbol.replace(" ", ", ") if each.spec.unit is Unit.YEARS else ""
        if each.spec.unit is Unit.SHARE:
            axes.yaxis.set_major_formatter(lambda share, _: f"{100 * share:.4g} %")
        axes.set(title=f"{each.spec.title}{unit}", xlabel="training faces")
    return figure


def _trend(axes: Axes, faces: list[int], found: Curve) -> None:
    """Plot the power law of a curve up to MORE times as many faces, with the interval there."""
    at = np.geomspace(faces[0], MORE * faces[-1])
    law = [found.expected(faces, count) for count in at.tolist()]
    axes.plot(at, law, "--", color="grey", label="trend")
    sign = found.spec.worse_sign
    low, high = sorted(law[-1] + sign * (found.gain - gain) for gain in (found.gain_low, found.gain_high))
    axes.errorbar(at[-1:], law[-1:], _lengths(law[-1:], [low], [high]), color="grey", capsize=3)
    axes.legend()


def _lengths(values: Sequence[float], low: Sequence[float], high: Sequence[float]) -> Array:
    """Return (2, N) lengths of error bars. Rounding can put an end on the wrong side of its value."""
    return np.maximum([np.subtract(values, low), np.subtract(high, values)], 0.0)


def age_scatter(faces: ScoredSamples) -> Figure:
    """Plot predicted against labelled age, one dot per face; a line for a range of ages."""
    figure, axes = _figure()
    (low, high), exact, ranged = age_range(faces.labels), exact_ages(faces.labels), ranged_ages(faces.labels)
    axes.hlines(faces.years[ranged], low[ranged], high[ranged], linewidth=1, alpha=0.1)
    axes.scatter(low[exact], faces.years[exact], s=4, alpha=0.3)
    axes.plot([0, _OLDEST], [0, _OLDEST], color="grey", linewidth=1)
    axes.set(title="Age", xlabel="label, years", ylabel="prediction, years")
    return figure


def error_by_age(faces: ScoredSamples) -> Figure:
    """Plot quartiles of the signed error per decade of labelled age. Below zero, predictions are too young."""
    figure, axes = _figure()
    ages, predicted = _exact(faces, faces.years)
    decades = [(start, (predicted - ages)[mask]) for start, mask in _decades(ages)]
    axes.boxplot([errors for _, errors in decades], showfliers=False)
    axes.set_xticks(range(1, len(decades) + 1), [f"{start}+" for start, _ in decades])
    axes.axhline(0, color="grey", linewidth=1)
    axes.set(title="Error by age", xlabel="label, years", ylabel="prediction - label, years")
    return figure


def coverage_by_age(faces: ScoredSamples, stated: float) -> Figure:
    """Plot interval coverage per decade of labelled age; `stated` is the nominal coverage."""
    figure, axes = _figure()
    ages, low, high = _exact(faces, faces.low, faces.high)
    hits = covered(low, high, ages)
    decades = list(_decades(ages))
    axes.bar(range(len(decades)), [hits[mask].mean() for _, mask in decades])
    axes.set_xticks(range(len(decades)), [f"{start}+" for start, _ in decades])
    axes.axhline(stated, color="black", linewidth=1, label=f"stated, {stated:.0%}")
    axes.set(title="Interval coverage by age", xlabel="label, years", ylabel="coverage", ylim=(0, 1))
    axes.legend(loc="lower right")
    return figure


def reliability(probabilities: Array, right: npt.NDArray[np.bool_], title: str) -> Figure:
    """Plot accuracy against predicted probability; the area of a dot is its number of faces."""
    figure, axes = _figure()
    axes.plot([0, 1], [0, 1], color="grey", linewidth=1)
    for count, stated, found in metrics.reliability(probabilities, right):
        if count >= MIN_SHOWN:
            axes.scatter(stated, found, s=4 + 300 * count / len(probabilities), alpha=0.6, color="C0")
    axes.set(title=f"{title}: calibration", xlabel="predicted probability", ylabel="accuracy", ylim=(-0.05, 1.05))
    return figure


def confusion(table: list[list[int]], names: tuple[str, ...], title: str) -> Figure:
    """Plot a confusion matrix: labels in rows, predictions in columns, with row percentages and counts."""
    counts = np.array(table)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    figure, axes = _figure()
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    axes.set_xticks(range(len(names)), names, rotation=30)
    axes.set_yticks(range(len(names)), names)
    for (row, column), count in np.ndenumerate(counts):
        color = "white" if shares[row, column] > 0.5 else "black"
        text = f"{shares[row, column]:.0%}\n{count:,}" if counts[row].sum() >= MIN_SHOWN else f"{count:,}"
        axes.text(column, row, text, ha="center", va="center", color=color, fontsize=8)
    axes.set(title=title, xlabel="prediction", ylabel="label")
    return figure


def _exact(faces: ScoredSamples, *columns: Array) -> list[Array]:
    """Return the exact ages, and the values of the same faces in some columns."""
    exact = exact_ages(faces.labels)
    low, _ = age_range(faces.labels)
    return [low[exact].astype(np.float64), *(column[exact] for column in columns)]


def _figure() -> tuple[Figure, Axes]:
    figure = Figure(figsize=(4.5, 4), layout="constrained")
    return figure, figure.subplots()


def _decades(ages: Array) -> list[tuple[int, npt.NDArray[np.bool_]]]:
    """Return the first year and the mask of each decade with enough faces; the last one includes all older faces."""
    decade = np.minimum(ages, _OLDEST - 1) // _STEP
    found = [(int(number) * _STEP, decade == number) for number in np.unique(decade)]
    return [(start, mask) for start, mask in found if mask.sum() >= MIN_SHOWN]
