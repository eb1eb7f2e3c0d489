"""report.html: the figures of one evaluation as tables and plots, in one file that needs nothing else."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.figure import Figure

from serving.release import Release
from training.labels import AGE_BANDS, ETHNICITIES, GENDERS
from training.metrics import Faces
from training.pages import data_uri, render

TITLES = {
    "age_mae": "age error, years",
    "age_within_5": "within 5 years",
    "age_band_accuracy": "age band right",
    "age_coverage": "age in its interval",
    "gender_accuracy": "gender right",
    "ethnicity_accuracy": "ethnicity right",
}


def render_report(
    release: Release, measured: dict[str, Any], faces: Faces, history: list[dict[str, float]], confidence: float
) -> str:
    """The page as a string.

    Args:
        release: what was scored.
        measured: as `metrics.measure` gives it.
        faces: the scored faces.
        history: a row of keras's logs for each epoch, as the checkpoints keep it.
        confidence: share between the ends of an interval.
    """
    confusion = measured["confusion"]
    plots = [
        _age_scatter(faces),
        _confusion_plot(confusion["age_band"], AGE_BANDS, "Age band"),
        _confusion_plot(confusion["gender"], GENDERS, "Gender"),
        _confusion_plot(confusion["ethnicity"], ETHNICITIES, "Ethnicity"),
        *([_learning_curves(history)] if history else []),
    ]
    return render(
        "report.html",
        release=release,
        measured=measured,
        titles=TITLES,
        confidence=f"{confidence:.0%}",
        plots=[data_uri(plot) for plot in plots],
    )


def _age_scatter(faces: Faces) -> Figure:
    figure = Figure(figsize=(5, 4))
    axes = figure.subplots()
    axes.scatter(faces.labels[:, 0], faces.years, s=4, alpha=0.3)
    axes.plot([0, 100], [0, 100], color="grey", linewidth=1)
    axes.set(title="Age", xlabel="labelled, years", ylabel="answered, years")
    return figure


def _confusion_plot(table: list[list[int]], names: tuple[str, ...], title: str) -> Figure:
    counts = np.array(table)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    figure = Figure(figsize=(4.5, 4))
    axes = figure.subplots()
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    axes.set_xticks(range(len(names)), names, rotation=30)
    axes.set_yticks(range(len(names)), names)
    for (row, column), count in np.ndenumerate(counts):
        color = "white" if shares[row, column] > 0.5 else "black"
        axes.text(column, row, str(count), ha="center", va="center", color=color)
    axes.set(title=title, xlabel="answered", ylabel="labelled")
    return figure


def _learning_curves(history: list[dict[str, float]]) -> Figure:
    figure = Figure(figsize=(9, 3), layout="constrained")
    panels = figure.subplots(1, 3)
    columns = ("age_age_error", "gender_accuracy", "ethnicity_accuracy")
    titles = ("age error, years", "gender right", "ethnicity right")
    epochs = [row["epoch"] for row in history]
    for axes, column, title in zip(panels, columns, titles, strict=True):
        axes.plot(epochs, [row[column] for row in history], label="training")
        axes.plot(epochs, [row[f"val_{column}"] for row in history], label="validation")
        axes.set(title=title, xlabel="epoch")
    panels[0].legend()
    return figure
