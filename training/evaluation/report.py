"""report.html: the metrics of one evaluation as tables and plots, in one file that needs nothing else."""

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
from training.evaluation.metrics import ScoredSamples
from training.labels import CHOICES, LABELS
from training.templating import data_uri, plot_uri, render

REPORT_FILE = "report.html"
TITLES = {
    "age_mae": "age error, years",
    "age_within_5": "within 5 years",
    "age_band_accuracy": "age band right",
    "interval_coverage": "age in its interval",
    **{f"{head.name}_accuracy": f"{head.name} right" for head in CHOICES},
}
# faces drawn of each kind, and pixels of their side
_DRAWN_FACES = 12
_DRAWN_SIDE = 72


@dataclass(frozen=True)
class Evaluation:
    """All that a report shows."""

    release: Release
    # as `metrics.measure` gives it, with how it was measured
    measured: dict[str, Any]
    faces: ScoredSamples
    # a row of keras's logs for each epoch; empty where the training is not at hand
    history: list[dict[str, float]]


def render_report(evaluation: Evaluation, face: Callable[[int], Pixels] | None = None) -> str:
    """The page as a string.

    Args:
        evaluation: what was found.
        face: gives the scored face at a place: the best and the worst are drawn. Such a page stays on the machine
            where the faces are; None makes the page that is published.
    """
    return render(
        "report.html",
        release=evaluation.release,
        measured=evaluation.measured,
        worst_subgroup=metrics.worst_subgroup(evaluation.measured),
        titles=TITLES,
        heads=LABELS,
        plots=[plot_uri(plot) for plot in _plots(evaluation)],
        drawn=[] if face is None else list(_drawn(evaluation.faces, face)),
    )


def local_report(folder: Path) -> Path:
    """Where the report with faces on the release in `folder` lies: outside of it, so that it is never published."""
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
    """Faces under one heading: an image and a caption each."""

    title: str
    faces: list[tuple[str, str]]


def _drawn(faces: ScoredSamples, face: Callable[[int], Pixels]) -> Iterator[_Row]:
    error = np.abs(faces.years - faces.labels[:, 0])
    yield _row("Age: the best", np.argsort(error, kind="stable"), faces, face)
    yield _row("Age: the worst", np.argsort(-error, kind="stable"), faces, face)
    for head, probabilities, right in zip(CHOICES, faces.probabilities.T, faces.right().T, strict=True):
        wrong = np.flatnonzero(~right)
        title = f"{head.name.capitalize()}: surest and wrong"
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
