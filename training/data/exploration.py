"""The data report: what `prepare` accepted and rejected, as a page with tables and plots."""

from __future__ import annotations

import csv
from array import array
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

import numpy as np
import numpy.typing as npt
from matplotlib.figure import Figure

from serving.heads import AGE
from serving.request_stats import AGE_BANDS
from training.data import coverage
from training.data.shards import SPLITS
from training.files import write_text
from training.labels import AGE_CLASSES, AGE_HIGH, CHOICES, LABELS, Head, band
from training.templating import render

# Number of images by split, age and class of each choice, or over some of these axes.
Counts = npt.NDArray[np.int64]

# inches; small, so that text stays readable beside other plots
_SIZE = (5.2, 3.2)


@dataclass(frozen=True)
class _Split:
    """The images of one kind in every split."""

    title: str
    images: tuple[int, ...]
    """In the order of SPLITS."""

    @property
    def total(self) -> int:
        return sum(self.images)


@dataclass
class _Reason:
    """Rejected files of one kind."""

    title: str
    example: str
    """The first file and its whole reason."""
    files: int = 0


def write(data: Path, summary: str) -> None:
    """Write index.html and one PNG per plot into the folder `exploration` of `data`.

    Args:
        data: with index.csv, rejected.csv and the shards.
        summary: line that accounts for every file.
    """
    folder = data / "exploration"
    folder.mkdir()
    counts, ranges, groups = _read(data)
    plots = dict(_plots(counts))
    for name, (_, figure) in plots.items():
        figure.savefig(folder / f"{name}.png", dpi=130)
    page = render(
        "exploration.html",
        summary=summary,
        gaps=coverage.find(data),
        splits=SPLITS,
        tables=list(_tables(counts, ranges)),
        rejected=_rejected(data),
        duplicates=_duplicates(groups),
        plots=[(name, title) for name, (title, _) in plots.items()],
    )
    write_text(folder / "index.html", page)


def _read(data: Path) -> tuple[Counts, Counter[tuple[int, int, str]], npt.NDArray[np.uint64]]:
    """Return the counts over all axes, the ranges of ages by split, and the group of every image.

    The last place of each axis but the first is for images without that label, or with a range of ages.
    """
    counts = np.zeros((len(SPLITS), AGE_CLASSES + 1, *(len(head.labels) + 1 for head in CHOICES)), np.int64)
    ranges: Counter[tuple[int, int, str]] = Counter()
    groups = array("Q")
    with (data / "index.csv").open(newline="", encoding="utf-8", errors="replace") as file:
        for row in csv.DictReader(file):
            if ranged := row[AGE] != row[AGE_HIGH]:
                ranges[int(row[AGE]), int(row[AGE_HIGH]), row["split"]] += 1
            age = "" if ranged else row[AGE]
            place = [int(value) if value else -1 for value in (age, *(row[head] for head in LABELS))]
            counts[SPLITS.index(row["split"]), *place] += 1
            groups.append(int(row["group"], 16))
    return counts, ranges, np.array(groups, np.uint64)


def _tables(counts: Counts, ranges: Counter[tuple[int, int, str]]) -> Iterator[tuple[str, list[_Split]]]:
    """Yield the images per split: all, by age band or range of ages, and by class."""
    yield "Images", [_split("all", _over(counts, 0))]
    ages = _over(counts, 0, 1)
    bands = band(np.arange(AGE_CLASSES))
    rows = [_split(name, ages[:, :-1][:, bands == b].sum(axis=1)) for b, name in enumerate(AGE_BANDS)]
    ranged = [
        _Split(f"range {low}-{high}", tuple(ranges[low, high, split] for split in SPLITS))
        for low, high in sorted({(low, high) for low, high, _ in ranges})
    ]
    without = ages[:, -1] - np.sum([row.images for row in ranged], axis=0, dtype=np.int64)
    yield "Age band", [*rows, *ranged, *_missing(without)]
    for axis, head in enumerate(CHOICES, start=2):
        classes = _over(counts, 0, axis)
        rows = [_split(name, classes[:, c]) for c, name in enumerate(head.labels)]
        yield head.name.capitalize(), [*rows, *_missing(classes[:, -1])]


def _missing(images: Counts) -> list[_Split]:
    """Return the row of the images without a label, or no row without such images."""
    return [_split("no label", images)] if images.any() else []


def _split(title: str, images: Counts) -> _Split:
    return _Split(title, tuple(images.tolist()))


def _rejected(data: Path) -> list[_Reason]:
    """Return the rejected files by kind of reason, the most frequent first."""
    found: dict[str, _Reason] = {}
    with (data / "rejected.csv").open(newline="", encoding="utf-8", errors="replace") as file:
        for row in csv.DictReader(file):
            title = row["reason"].partition(":")[0]
            found.setdefault(title, _Reason(title, f"{row['path']}: {row['reason']}")).files += 1
    return sorted(found.values(), key=lambda reason: -reason.files)


def _duplicates(groups: npt.NDArray[np.uint64]) -> list[tuple[int, int]]:
    """Return pairs of size and number of the groups with more than one image."""
    _, sizes = np.unique(groups, return_counts=True)
    return sorted(Counter(sizes[sizes > 1].tolist()).items())


def _plots(counts: Counts) -> Iterator[tuple[str, tuple[str, Figure]]]:
    """Yield file names with what the plot shows, for those who cannot see it, and the plot."""
    # Without the images that have no such label, and without the heads that no image has a label for.
    axes = [(axis, head) for axis, head in enumerate(CHOICES, start=2) if _labelled(counts, axis).any()]
    yield "age", ("Ages in each split", _age_plot(_labelled(counts, 0, 1)))
    for axis, head in axes:
        yield head.name, (f"Images by {head.name}", _bar_plot(head, _labelled(counts, axis)))
    for axis, head in axes:
        yield (
            f"age-by-{head.name}",
            (f"{head.name.capitalize()} by {AGE}", _share_plot(_labelled(counts, 1, axis), head)),
        )
    for (first, one), (second, other) in combinations(axes, 2):
        title = f"{one.name.capitalize()} and {other.name}"
        yield f"{one.name}-by-{other.name}", (title, _crossing_plot(_labelled(counts, first, second), one, other))


def _over(counts: Counts, *kept: int) -> Counts:
    """Return the counts summed over all axes but `kept`."""
    summed: Counts = counts.sum(axis=tuple(axis for axis in range(counts.ndim) if axis not in kept))
    return summed


def _labelled(counts: Counts, *kept: int) -> Counts:
    """Return the counts of the images that have all labels of the axes `kept`, summed over the others."""
    summed = _over(counts, *kept)
    return summed[tuple(slice(None) if axis == 0 else slice(-1) for axis in kept)]


def _age_plot(counts: Counts) -> Figure:
    figure = Figure(figsize=(_SIZE[0], 1.6 * len(SPLITS)), layout="constrained")
    panels = figure.subplots(len(SPLITS), sharex=True)
    for axes, split, ages in zip(panels, SPLITS, counts, strict=True):
        axes.bar(np.arange(AGE_CLASSES), ages, width=1)
        axes.set(title=f"Age, {split}: {ages.sum():,} images", ylabel="images")
    panels[-1].set(xlabel="years")
    return figure


def _bar_plot(head: Head, counts: Counts) -> Figure:
    figure = Figure(figsize=_SIZE, layout="constrained")
    axes = figure.subplots()
    axes.bar_label(axes.bar(head.labels, counts), fmt="{:,.0f}")
    axes.margins(y=0.1)
    axes.set(title=head.name.capitalize(), ylabel="images")
    return figure


def _share_plot(counts: Counts, head: Head) -> Figure:
    """Plot the share of each class per decade, from (age, class) counts."""
    decades = np.add.reduceat(counts, np.arange(0, AGE_CLASSES, 10))
    shares = decades / np.maximum(decades.sum(axis=1, keepdims=True), 1)
    figure = Figure(figsize=_SIZE, layout="constrained")
    axes = figure.subplots()
    axes.stackplot(np.arange(len(shares)) * 10, shares.T, labels=head.labels, step="post")
    axes.set(title=f"{head.name.capitalize()} by age", xlabel="years", ylabel="share of images")
    axes.legend(loc="center left", bbox_to_anchor=(1, 0.5))
    return figure


def _crossing_plot(counts: Counts, rows: Head, columns: Head) -> Figure:
    figure = Figure(figsize=_SIZE, layout="constrained")
    axes = figure.subplots()
    axes.imshow(counts, cmap="Blues", vmin=0, aspect="auto")
    axes.set_xticks(range(len(columns.labels)), columns.labels)
    axes.set_yticks(range(len(rows.labels)), rows.labels)
    for (row, column), count in np.ndenumerate(counts):
        color = "white" if count > counts.max() / 2 else "black"
        axes.text(column, row, f"{count:,}", ha="center", va="center", color=color)
    axes.set(title=f"{rows.name.capitalize()} and {columns.name}")
    return figure
