"""report.html: the metrics of one evaluation as tables and plots, in a self-contained file."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from serving.images import Pixels
from serving.release import Release
from serving.request_stats import AGE_BANDS
from training.evaluation import metrics, plots
from training.evaluation.metric_table import MEASURED
from training.evaluation.metrics import ScoredSamples
from training.labels import CHOICES, LABELS
from training.templating import data_uri, plot_uri, render

REPORT_FILE = "report.html"
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
        worst_subgroup=metrics.worst_subgroup(evaluation.measured),
        specs=MEASURED,
        heads=LABELS,
        plots=[plot_uri(plot) for plot in _plots(evaluation)],
        drawn=[] if face is None else list(_drawn(evaluation.faces, face)),
    )


def local_report(folder: Path) -> Path:
    """Return the path of the report with faces: outside of the release in `folder`, so it is never published."""
    return folder.with_name(f"{folder.name}-report-with-faces.html")


def _plots(evaluation: Evaluation) -> Iterator[Any]:
    faces, confusion = evaluation.faces, evaluation.measured["confusion"]
    yield plots.age_scatter(faces)
    yield plots.error_by_age(faces)
    yield plots.coverage_by_age(faces, evaluation.release.manifest["calibration"]["age"]["coverage"])
    for head, probabilities, right in zip(CHOICES, faces.probabilities.T, faces.right().T, strict=True):
        yield plots.reliability(probabilities, right, head.name.capitalize())
    yield plots.confusion(confusion["age_band"], AGE_BANDS, "Age band")
    for head in CHOICES:
        yield plots.confusion(confusion[head.name], head.labels, head.name.capitalize())
    if evaluation.history:
        yield plots.learning_curves(evaluation.history)


@dataclass(frozen=True)
class _Row:
    """A row of faces: pairs of image and caption."""

    title: str
    faces: list[tuple[str, str]]


def _drawn(faces: ScoredSamples, face: Callable[[int], Pixels]) -> Iterator[_Row]:
    error = np.abs(faces.years - faces.labels[:, 0])
    yield _row("Age: smallest errors", np.argsort(error, kind="stable"), faces, face)
    yield _row("Age: largest errors", np.argsort(-error, kind="stable"), faces, face)
    for head, probabilities, right in zip(CHOICES, faces.probabilities.T, faces.right().T, strict=True):
        wrong = np.flatnonzero(~right)
        title = f"{head.name.capitalize()}: wrong with the highest probability"
        yield _row(title, wrong[np.argsort(-probabilities[wrong])], faces, face)


def _row(title: str, places: Any, faces: ScoredSamples, face: Callable[[int], Pixels]) -> _Row:
    return _Row(title, [(_image(face(place)), _caption(faces, place)) for place in places[:_DRAWN_FACES]])


def _caption(faces: ScoredSamples, place: int) -> str:
    age, *labelled = faces.labels[place]
    return f"{faces.years[place]:.0f} {_named(faces.choices[place])}, labelled {age} {_named(labelled)}"


def _named(choices: Iterable[int]) -> str:
    return " ".join(head.labels[number] for head, number in zip(CHOICES, choices, strict=True))


def _image(face: Pixels) -> str:
    file = io.BytesIO()
    Image.fromarray(face).resize((_DRAWN_SIDE, _DRAWN_SIDE)).save(file, "JPEG")
    return data_uri(file.getvalue(), "image/jpeg")
