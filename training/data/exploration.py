"""Exploration of the prepared data: a page with plots of ages, labels and their combinations."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import combinations
from pathlib import Path

import numpy as np
import numpy.typing as npt
from matplotlib.figure import Figure

from training.data.staging import Face
from training.files import write_text
from training.labels import AGE_CLASSES, CHOICES, Head
from training.templating import render

# Number of images by age and class of each choice.
Counts = npt.NDArray[np.int64]


def write(faces: Iterable[Face], folder: Path, summary: str) -> None:
    """Write index.html and one PNG per plot."""
    folder.mkdir()
    counts = np.zeros((AGE_CLASSES, *(len(head.labels) for head in CHOICES)), np.int64)
    for face in faces:
        counts[face.labels] += 1
    axes = list(enumerate(CHOICES, start=1))
    plots = {
        "age": _age_plot(_over(counts, 0)),
        **{head.name: _bar_plot(head, _over(counts, axis)) for axis, head in axes},
        **{f"age-by-{head.name}": _share_plot(_over(counts, 0, axis), head) for axis, head in axes},
        **{
            f"{one.name}-by-{other.name}": _crossing_plot(_over(counts, first, second), one, other)
            for (first, one), (second, other) in combinations(axes, 2)
        },
    }
    for name, figure in plots.items():
        figure.savefig(folder / f"{name}.png", dpi=110, bbox_inches="tight")
    write_text(folder / "index.html", render("exploration.html", summary=summary, plots=list(plots)))


def _over(counts: Counts, *kept: int) -> Counts:
    """Return the counts summed over all axes but `kept`."""
    summed: Counts = counts.sum(axis=tuple(axis for axis in range(counts.ndim) if axis not in kept))
    return summed


def _age_plot(counts: Counts) -> Figure:
    figure = Figure(figsize=(9, 3))
    axes = figure.subplots()
    axes.bar(np.arange(AGE_CLASSES), counts, width=1)
    axes.set(title="Age", xlabel="years", ylabel="faces")
    return figure


def _bar_plot(head: Head, counts: Counts) -> Figure:
    figure = Figure(figsize=(6, 3))
    axes = figure.subplots()
    axes.bar_label(axes.bar(head.labels, counts))
    axes.margins(y=0.1)
    axes.set(title=head.name.capitalize(), ylabel="faces")
    return figure


def _share_plot(counts: Counts, head: Head) -> Figure:
    """Plot the share of each class per decade, from (age, class) counts."""
    decades = np.add.reduceat(counts, np.arange(0, AGE_CLASSES, 10))
    shares = decades / np.maximum(decades.sum(axis=1, keepdims=True), 1)
    figure = Figure(figsize=(9, 3))
    axes = figure.subplots()
    axes.stackplot(np.arange(len(shares)) * 10, shares.T, labels=head.labels, step="post")
    axes.set(title=f"{head.name.capitalize()} by age", xlabel="years", ylabel="share of faces")
    axes.legend(loc="center left", bbox_to_anchor=(1, 0.5))
    return figure


def _crossing_plot(counts: Counts, rows: Head, columns: Head) -> Figure:
    figure = Figure(figsize=(6, 3))
    axes = figure.subplots()
    axes.imshow(counts, cmap="Blues")
    axes.set_xticks(range(len(columns.labels)), columns.labels)
    axes.set_yticks(range(len(rows.labels)), rows.labels)
    for (row, column), count in np.ndenumerate(counts):
        axes.text(column, row, str(count), ha="center", va="center")
    axes.set(title=f"{rows.name.capitalize()} and {columns.name}")
    return figure
