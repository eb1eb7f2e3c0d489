"""report.html: the metrics of one evaluation as tables and plots, in a self-contained file."""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from PIL import Image

from serving.images import Pixels
from serving.release import Release
from serving.request_stats import AGE_BANDS
from training.evaluation import baseline, before_after, crowds, learning_curve, metrics, plots, tables
from training.evaluation.age_groups import FROM_13, measured_groups
from training.evaluation.comparison import Mask
from training.evaluation.metric_table import CALIBRATION_ERRORS, SPECS
from training.evaluation.samples import Array, ScoredSamples
from training.labels import CHOICES, LABELS, MISSING, Head, age_distance, age_range, by_head, exact_ages
from training.templating import data_uri, plot_uri, render

# Faces shown in each row of the local report, and pixels of their side.
_DRAWN_FACES = 12
_DRAWN_SIDE = 72


@dataclass(frozen=True)
class Evaluation:
    """The content of a report."""

    release: Release
    measured: dict[str, Any]
    """Content of metrics.json."""
    faces: ScoredSamples
    history: list[dict[str, float]]
    """Keras's logs, one row per epoch; empty if the training run is missing."""


def render_report(evaluation: Evaluation, face: Callable[[int], Pixels] | None = None) -> str:
    """Return the page.

    Args:
        evaluation: its content.
        face: returns the scored face at an index; the page then shows the best and the worst predictions and must
            not be published. None makes the page that is published.
    """
    return render(
        "report.html",
        release=evaluation.release,
        measured=evaluation.measured,
        specs=tables.shown(evaluation.measured),
        labelled=tables.labelled(evaluation.measured),
        calibration=CALIBRATION_ERRORS,
        too_few=tables.TOO_FEW,
        methods=tables.METHODS,
        interval=tables.interval_title(evaluation.measured),
        baseline=baseline.sentence(evaluation.measured),
        demographics=crowds.sentence(evaluation.measured),
        before=before_after.words(evaluation.measured),
        initial=evaluation.measured.get(before_after.MEMBER, {}).get("version", ""),
        curve=_curve(evaluation.measured),
        overall=tables.beside_baseline(evaluation.measured),
        ages=[
            (group.title, tables.beside_baseline(evaluation.measured, group.key))
            for group in measured_groups(evaluation.measured)
        ],
        sections=list(_sections(evaluation.measured)),
        plots=[(title, plot_uri(plot)) for title, plot in _plots(evaluation)],
        drawn=[] if face is None else list(_drawn(evaluation.faces, face)),
    )


def local_report(folder: Path) -> Path:
    """Return the path of the report with faces: outside of the release in `folder`, so it is never published."""
    return folder.with_name(f"{folder.name}-report-with-faces.html")


def _curve(measured: dict[str, Any]) -> dict[str, Any]:
    """Return the learning curve as sentences, rows of a table and a plot; empty for a training without one."""
    found = learning_curve.curves(measured)
    shown: dict[str, Any] = {"words": learning_curve.words(measured), "rows": learning_curve.rows(measured)}
    if found:
        faces = [*measured[learning_curve.MEMBER]["faces"].values()]
        shown["plot"] = plot_uri(plots.training_faces(faces, found))
    return shown if shown["words"] else {}


@dataclass(frozen=True)
class _Section:
    """A table of groups under its own heading."""

    title: str
    attributes: list[str]
    """What the first columns of the table name."""
    rows: list[tables.Row]
    note: str = ""

    @property
    def id(self) -> str:
        """Return the anchor."""
        return re.sub(r"\W+", "-", self.title.lower())


def _sections(measured: dict[str, Any]) -> Iterator[_Section]:
    """Yield the tables of groups, without those that no test face has a label for."""
    for attribute in ("age_band", *LABELS):
        if f"by_{attribute}" in measured:
            rows = tables.rows(measured, measured[f"by_{attribute}"], [attribute])
            yield _Section(f"By {attribute.replace('_', ' ')}", [attribute], rows)
    crossed = ["gender", "ethnicity"]
    if adults := tables.rows(measured, measured["by_gender_and_ethnicity_from_13_years"], crossed):
        yield _Section("By gender and ethnicity, 13 and older", crossed, adults, _gap(measured))
    if everyone := tables.rows(measured, measured["by_all"], [*crossed, "age_band"]):
        yield _Section("By gender, ethnicity and age band", [*crossed, "age_band"], everyone)


def _gap(measured: dict[str, Any]) -> str:
    """Return which subgroup has the lowest gender accuracy; "" if all are too small."""
    worst, spec = metrics.worst_subgroup(measured), SPECS["worst_subgroup_gap"]
    if worst is None:
        return ""
    gap = measured[FROM_13.key]["gender_accuracy"]["value"] - worst["gender_accuracy"]["value"]
    return f"Lowest gender accuracy: {worst['ethnicity']} {worst['gender']} faces, {spec.text(gap)} below the mean."


def _plots(evaluation: Evaluation) -> Iterator[tuple[str, Figure]]:
    """Yield plots and what they show, for those who cannot see them."""
    faces, confusion = evaluation.faces, evaluation.measured["confusion"]
    yield "Predicted against labelled age", plots.age_scatter(faces)
    if exact_ages(faces.labels).any():
        yield "Age error by labelled age", plots.error_by_age(faces)
        coverage = evaluation.release.manifest["calibration"]["age"]["coverage"]
        yield "Age interval coverage by labelled age", plots.coverage_by_age(faces, coverage)
    for head, probabilities, right, known in _judged(faces):
        plot = plots.reliability(probabilities[known], right[known], head.name.capitalize())
        yield f"Calibration of {head.name}", plot
    yield "Confusion matrix of age bands", plots.confusion(confusion["age_band"], AGE_BANDS, "Age band")
    for head, *_ in _judged(faces):
        title = f"Confusion matrix of {head.name}"
        yield title, plots.confusion(confusion[head.name], head.labels, head.name.capitalize())
    if evaluation.history:
        yield "Learning curves", plots.learning_curves(evaluation.history)


@dataclass(frozen=True)
class _Row:
    """A row of faces: pairs of image and caption."""

    title: str
    faces: list[tuple[str, str]]


def _drawn(faces: ScoredSamples, face: Callable[[int], Pixels]) -> Iterator[_Row]:
    error = age_distance(faces.years, faces.labels)
    aged = np.flatnonzero(~np.isnan(error))
    yield _row("Age: smallest errors", aged[np.argsort(error[aged], kind="stable")], faces, face)
    yield _row("Age: largest errors", aged[np.argsort(-error[aged], kind="stable")], faces, face)
    for head, probabilities, right, known in _judged(faces):
        wrong = np.flatnonzero(known & ~right)
        title = f"{head.name.capitalize()}: wrong with the highest probability"
        yield _row(title, wrong[np.argsort(-probabilities[wrong])], faces, face)


def _judged(faces: ScoredSamples) -> Iterator[tuple[Head, Array, Mask, Mask]]:
    """Yield each choice that some face has a label for: (N,) probabilities, whether right, and whether labelled."""
    columns = zip(CHOICES, faces.probabilities.T, faces.right().T, faces.labelled().T, strict=True)
    yield from (column for column in columns if column[3].any())


def _row(title: str, places: Any, faces: ScoredSamples, face: Callable[[int], Pixels]) -> _Row:
    return _Row(title, [(_image(face(place)), _caption(faces, place)) for place in places[:_DRAWN_FACES]])


def _caption(faces: ScoredSamples, place: int) -> str:
    row = faces.labels[place : place + 1]
    (low,), (high,) = age_range(row)
    age = "without an age" if low == MISSING else f"labelled {low}" if low == high else f"labelled {low}-{high}"
    labelled = (labels[0] for head, labels in by_head(row).items() if head in LABELS)
    return (
        " ".join([f"{faces.years[place]:.0f}", *_named(faces.choices[place])])
        + ", "
        + " ".join([age, *_named(labelled)])
    )


def _named(choices: Iterable[int]) -> list[str]:
    """Return the names of labels, without those that are missing or were not predicted."""
    pairs = zip(CHOICES, choices, strict=True)
    return [head.labels[number] for head, number in pairs if 0 <= number < len(head.labels)]


def _image(face: Pixels) -> str:
    file = io.BytesIO()
    Image.fromarray(face).resize((_DRAWN_SIDE, _DRAWN_SIDE)).save(file, "JPEG")
    return data_uri(file.getvalue(), "image/jpeg")
