"""A challenger -> metrics and a report, through the function's own predictor."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from serving import input_check as serving_input_check
from serving.predictor import Predictor
from serving.release import Release, ReleaseError
from training import openmetrics, runs
from training.calibration import input_check
from training.config import EvaluateConfig
from training.data import shards
from training.errors import StepError
from training.evaluation import champion as champions
from training.evaluation import comparison, metrics, report, summary
from training.evaluation.champion import Champion
from training.evaluation.comparison import Comparison
from training.evaluation.metrics import METRICS_FILE
from training.evaluation.report import REPORT_FILE, Evaluation, local_report
from training.files import write_text
from training.labels import missing
from training.registry import releases


def evaluate(
    data: Path, trained: Path, folder: Path, config: EvaluateConfig, champion: Champion = champions.NOBODY
) -> dict[str, Any]:
    """Score the test faces with the release in `folder`; write metrics.json, comparison.json and report.html into it.

    Beside `folder`, out of the release, come a second report, with the best and the worst faces, comparison.md, and
    metrics.txt for GitLab.

    Args:
        data: what `prepare` wrote.
        trained: the run that made the release, for its history; it may be missing.
        folder: the release.
        config: how to resample.
        champion: the release to compare with on the same faces.

    Raises:
        StepError: there is no release, it lacks a head, or the test faces were prepared for another input.
    """
    challenger, predictor = _load(folder)
    fingerprint = shards.fingerprint(data)
    if (fingerprint.size, fingerprint.resize) != (challenger.size, challenger.resize):
        raise StepError(
            f"the faces in {data} have {fingerprint.size} pixels by {fingerprint.resize}, the release wants "
            f"{challenger.size} by {challenger.resize}; prepare them again"
        )
    faces = score(predictor, data)
    measured = {"version": challenger.version, "sha256": challenger.sha256, "faces": len(faces.labels)}
    measured |= metrics.measure(faces, config)
    measured["config"] = asdict(config)
    measured["input_check"] = {"false_positive_rate": _false_alarms(challenger, data)}
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


def _load(folder: Path) -> tuple[Release, Predictor]:
    try:
        found = releases.read(str(folder)).served()
        predictor = Predictor(found)
    except (ReleaseError, StepError) as error:
        raise StepError(f"{error} (`python -m training convert` writes it)") from error
    if lacking := missing(found.labels):
        raise StepError(
            f"release {found.version} has no head {', '.join(lacking)}, which training/labels.py names; "
            "train and convert one that has it, or evaluate this one by the code that made it"
        )
    return found, predictor


def compare(
    champion: Champion, challenger: Release, faces: metrics.ScoredSamples, data: Path, config: EvaluateConfig
) -> Comparison:
    """Score the champion on the same test faces.

    Args:
        champion: if there is one that can be scored; else what is said of it is all.
        challenger: the release in question.
        faces: what it answered to the test faces of `data`.
        data: what `prepare` wrote.
        config: how to resample.
    """
    if champion.predictor is None:
        return Comparison(challenger.sha256, champion.version, champion.obstacle, champion.notes)
    terms = champions.terms(champion.predictor.release, challenger, shards.fingerprint(data))
    differences = comparison.compare(score(champion.predictor, data), faces, terms.heads, config)
    return Comparison(challenger.sha256, champion.version, terms.obstacle, terms.notes, differences)


def _false_alarms(challenger: Release, data: Path) -> float:
    """Share of the test faces that are warned of as if they were none."""
    fitted = serving_input_check.of(challenger)
    warned = [input_check.false_positives(fitted, shard.load()[0]) for shard in shards.shards(data, "test")]
    return round(float(np.concatenate(warned).mean()), 4)


def score(predictor: Predictor, data: Path) -> metrics.ScoredSamples:
    """The test faces with what the function would answer to them.

    Raises:
        StepError: there are none.
    """
    predictions, labels = [], []
    progress = tqdm(shards.shards(data, "test"), desc="evaluate", unit="shard", disable=not sys.stderr.isatty())
    for shard in progress:
        pixels, rows = shard.load()
        for faces in shards.pieces(pixels, predictor.release.size):
            predictions += predictor.predict(faces)
        labels.append(rows)
    return metrics.collect(predictions, np.concatenate(labels))
