"""What the data look like: distributions of age, gender and ethnicity and their crossings, as plots and a page."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import numpy.typing as npt
from matplotlib.figure import Figure

from training.data.staging import Face
from training.labels import AGE_CLASSES, ETHNICITIES, GENDERS
from training.pages import render

# (age, gender, ethnicity) -> faces
Counts = npt.NDArray[np.int64]


def write(faces: Iterable[Face], folder: Path, summary: str) -> None:
    """Write one PNG a plot and index.html, which shows them all."""
    folder.mkdir()
    counts = np.zeros((AGE_CLASSES, len(GENDERS), len(ETHNICITIES)), np.int64)
    for face in faces:
        counts[face.age, face.gender, face.ethnicity] += 1
    plots = {
        "age": _age_plot(counts),
        "gender": _bar_plot(GENDERS, counts.sum(axis=(0, 2)), "Gender"),
        "ethnicity": _bar_plot(ETHNICITIES, counts.sum(axis=(0, 1)), "Ethnicity"),
        "age-by-gender": _share_plot(counts.sum(axis=2), GENDERS, "Gender by age"),
        "age-by-ethnicity": _share_plot(counts.sum(axis=1), ETHNICITIES, "Ethnicity by age"),
        "gender-by-ethnicity": _crossing_plot(counts.sum(axis=0)),
    }
    for name, figure in plots.items():
        figure.savefig(folder / f"{name}.png", dpi=110, bbox_inches="tight")
    (folder / "index.html").write_text(render("exploration.html", summary=summary, plots=list(plots)))


def _age_plot(counts: Counts) -> Figure:
    figure = Figure(figsize=(9, 3))
    axes = figure.subplots()
    axes.bar(np.arange(AGE_CLASSES), counts.sum(axis=(1, 2)), width=1)
    axes.set(title="Age", xlabel="years", ylabel="faces")
    return figure


def _bar_plot(names: tuple[str, ...], counts: Counts, title: str) -> Figure:
    figure = Figure(figsize=(6, 3))
    axes = figure.subplots()
    axes.bar_label(axes.bar(names, counts))
    axes.margins(y=0.1)
    axes.set(title=title, ylabel="faces")
    return figure


def _share_plot(counts: Counts, names: tuple[str, ...], title: str) -> Figure:
    """(age, class) counts -> the share of each class in every ten years of age."""
    decades = np.add.reduceat(counts, np.arange(0, AGE_CLASSES, 10))
    shares = decades / np.maximum(decades.sum(axis=1, keepdims=True), 1)
    figure = Figure(figsize=(9, 3))
    axes = figure.subplots()
    axes.stackplot(np.arange(len(shares)) * 10, shares.T, labels=names, step="post")
    axes.set(title=title, xlabel="years", ylabel="share of faces")
    axes.legend(loc="center left", bbox_to_anchor=(1, 0.5))
    return figure


def _crossing_plot(counts: Counts) -> Figure:
    figure = Figure(figsize=(6, 3))
    axes = figure.subplots()
    axes.imshow(counts, cmap="Blues")
    axes.set_xticks(range(len(ETHNICITIES)), ETHNICITIES)
    axes.set_yticks(range(len(GENDERS)), GENDERS)
    for (row, column), count in np.ndenumerate(counts):
        axes.text(column, row, str(count), ha="center", va="center")
    axes.set(title="Gender and ethnicity")
    return figure
