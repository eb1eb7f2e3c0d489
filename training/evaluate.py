"""Evaluate a release on the test faces with the predictor of the function."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from serving import input_check as serving_input_check
from serving.demographics import confusion as serving_confusion
from serving.demographics.confusion import Confusion
from serving.prediction import FacePrediction
from serving.predictor import Predictor
from serving.release import MANIFEST, Release, ReleaseError
from training import openmetrics, runs
from training.calibration import confusion, input_check
from training.config import EvaluateConfig
from training.data import shards
from training.data.shards import LabelArray
from training.errors import StepError
from training.evaluation import (
    baseline,
    before_after,
    comparison,
    crowds,
    learning_curve,
    metrics,
    report,
    samples,
    summary,
)
from training.evaluation import champion as champions
from training.evaluation.champion import Champion
from training.evaluation.comparison import Comparison
from training.evaluation.metrics import METRICS_FILE
from training.evaluation.report import Evaluation, local_report
from training.files import write_text
from training.labels import missing
from training.progress import progress
from training.registry import releases
from training.registry.registry import REPORT_FILE


def evaluate(
    data: Path, trained: Path, folder: Path, config: EvaluateConfig, champion: Champion = champions.NONE
) -> dict[str, Any]:
    """Score the test faces with the release in `folder`; write metrics.json, comparison.json and report.html into it.

    The manifest gets the statistics with which `age-gender summarize` corrects counts, from validation faces.

    Files outside of the release, beside `folder`: a local report that shows faces, comparison.md, and metrics.txt for
    GitLab.

    Args:
        data: output folder of `prepare`.
        trained: the training run of the release, for its history and its smaller networks; it may be missing.
        folder: the release.
        config: resampling.
        champion: the release to compare with on the same faces.

    Raises:
        StepError: there is no release, it lacks a head that the training faces have labels for, or the test faces were
            prepared for another input.
    """
    challenger, predictor = _load(folder, data)
    fingerprint = shards.fingerprint(data)
    if (fingerprint.size, fingerprint.resize) != (challenger.size, challenger.resize):
        raise StepError(
            f"the faces in {data} were prepared at {fingerprint.size} pixels by {fingerprint.resize}, but the release "
            f"expects {challenger.size} pixels by {challenger.resize}; prepare them again"
        )
    known = write_confusion(folder, predictor, data)
    predictions, labels = _predict(predictor, data, "test")
    faces = samples.collect(predictions, labels)
    measured = {"version": challenger.version, "sha256": challenger.sha256, "faces": len(faces.labels)}
    measured |= metrics.measure(faces, config)
    measured["config"] = asdict(config)
    coverage = challenger.manifest["calibration"]["age"]["coverage"]
    measured["baseline"] = baseline.measure(shards.labels(data, "train"), faces.labels, coverage)
    measured["input_check"] = {"false_positive_rate": _false_positive_rate(challenger, data)}
    if (corrected := crowds.measure(predictions, labels, known)) is not None:
        measured[crowds.MEMBER] = corrected
    if before := before_after.initial(challenger, trained):
        measured[before_after.MEMBER] = _before(before, challenger, faces, data, config)
    if (curve := learning_curve.section(trained, challenger, data, config)) is not None:
        measured[learning_curve.MEMBER] = curve
    compared = compare(champion, challenger, faces, data, config)
    compared.save(folder)
    found = Evaluation(challenger, measured, faces, runs.history(trained))
    write_text(folder / METRICS_FILE, json.dumps(measured, indent=1) + "\n")
    write_text(folder / REPORT_FILE, report.render_report(found))
    write_text(local_report(folder), report.render_report(found, shards.finder(data, "test")))
    summary.write(folder, measured, compared)
    size = challenger.manifest["model"]["bytes"]
    write_text(folder.with_name(summary.OPEN_METRICS_FILE), openmetrics.render(summary.gauges(measured, size)))
    return measured


def _load(folder: Path, data: Path) -> tuple[Release, Predictor]:
    try:
        found = releases.read(str(folder)).served()
        predictor = Predictor(found)
    except (ReleaseError, StepError) as error:
        raise StepError(f"{error} (`python -m training convert` writes it)") from error
    # A head that the training faces have no label for is in no release that was trained on them.
    if lacking := [head for head in missing(found.labels) if head in shards.learned(data)]:
        raise StepError(
            f"release {found.version} has no head {', '.join(lacking)}, which training/labels.py defines; "
            "train and convert a release with it, or evaluate this one with the code that made it"
        )
    return found, predictor


def compare(
    champion: Champion, challenger: Release, faces: samples.ScoredSamples, data: Path, config: EvaluateConfig
) -> Comparison:
    """Score the champion on the same test faces and return the comparison.

    Args:
        champion: without a predictor, its notes and obstacle are the whole comparison.
        challenger: the evaluated release.
        faces: its predictions for the test faces of `data`.
        data: output folder of `prepare`.
        config: resampling.
    """
    if champion.predictor is None:
        return Comparison(challenger.sha256, champion.version, champion.obstacle, champion.notes)
    terms = champions.terms(champion.predictor.release, challenger, shards.fingerprint(data))
    before = score(champion.predictor, data)
    differences = comparison.compare(before, faces, terms.heads, config)
    ages = comparison.compare(before, faces, terms.heads, config, comparison.age_groups(faces.labels))
    return Comparison(challenger.sha256, champion.version, terms.obstacle, terms.notes, differences, ages)


def _before(
    initial: Champion, challenger: Release, faces: samples.ScoredSamples, data: Path, config: EvaluateConfig
) -> dict[str, Any]:
    """Return the section of metrics.json that compares a fine-tuned release with the initial one."""
    if initial.predictor is None:
        return {"version": initial.version, "obstacle": initial.obstacle}
    terms = champions.terms(initial.predictor.release, challenger, shards.fingerprint(data))
    return before_after.measure(initial.version, score(initial.predictor, data), faces, terms.heads, config)


def _false_positive_rate(challenger: Release, data: Path) -> float:
    """Return the share of the test faces that the input check takes for another kind of image."""
    fitted = serving_input_check.of(challenger)
    warned = [input_check.false_positives(fitted, shard.load()[0]) for shard in shards.shards(data, "test")]
    return round(float(np.concatenate(warned).mean()), 4)


def score(predictor: Predictor, data: Path) -> samples.ScoredSamples:
    """Return the function's predictions for the test faces.

    Raises:
        StepError: there are no test faces.
    """
    return samples.collect(*_predict(predictor, data, "test"))


def write_confusion(folder: Path, predictor: Predictor, data: Path) -> Confusion | None:
    """Write into the manifest what corrects counts of answers: how the release answers for validation faces.

    Args:
        folder: the release.
        predictor: of that release.
        data: output folder of `prepare`.

    Returns:
        The statistics; None where too few faces have labels, and then the manifest has no section.
    """
    path = folder / MANIFEST
    manifest = json.loads(path.read_text(encoding="utf-8"))
    manifest.pop(serving_confusion.MEMBER, None)
    predictions, labels = _predict(predictor, data, "validation")
    found = confusion.count(predictions, labels, predictor.release.labels)
    if found:
        manifest[serving_confusion.MEMBER] = serving_confusion.section(found)
    write_text(path, json.dumps(manifest, indent=2) + "\n")
    return found


def _predict(predictor: Predictor, data: Path, split: str) -> tuple[list[FacePrediction], LabelArray]:
    predictions, labels = [], []
    for shard in progress(shards.shards(data, split), f"evaluate: {split}", "shard"):
        pixels, rows = shard.load()
        for faces in shards.pieces(pixels, predictor.release.size):
            predictions += predictor.predict(faces)
        labels.append(rows)
    return predictions, np.concatenate(labels)
