"""A candidate release -> figures and a report, through the function's own predictor."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from serving import likeness as serving_likeness
from serving import release
from serving.predictor import Predictor
from serving.release import Release
from training import likeness, metrics, report, run, shards
from training.config import EvaluateConfig
from training.errors import StepError
from training.report import Champion, Evaluation

METRICS_FILE = "metrics.json"
REPORT_FILE = "report.html"
_BATCH = 64


def evaluate(data: Path, trained: Path, folder: Path, config: EvaluateConfig, champion: str = "") -> dict[str, Any]:
    """Score the test faces with the release in `folder`; write metrics.json and report.html beside it.

    A second report, with the best and the worst faces, is written beside `folder`, out of the release.

    Args:
        data: what `prepare` wrote.
        trained: the run that made the release, for its history; it may be missing.
        folder: the release.
        config: how to resample.
        champion: folder or gs:// address of a release to score beside it; "" for none.

    Raises:
        StepError: there is no release, or the test faces were prepared for another input.
    """
    candidate, predictor = _load(str(folder), "`python -m training convert` writes it")
    fingerprint = shards.fingerprint(data)
    if (fingerprint.size, fingerprint.resize) != (candidate.size, candidate.resize):
        raise StepError(
            f"the faces in {data} have {fingerprint.size} pixels by {fingerprint.resize}, the release wants "
            f"{candidate.size} by {candidate.resize}; prepare them again"
        )
    faces = _score(predictor, data)
    measured = {"version": candidate.version, "sha256": candidate.sha256, "faces": len(faces.labels)}
    measured |= metrics.measure(faces, config)
    measured["config"] = asdict(config)
    measured["likeness"] = {"false_alarms": _false_alarms(candidate, data)}
    former = _champion(champion, data, config) if champion else None
    found = Evaluation(candidate, measured, faces, run.history(trained), config.confidence, former)
    (folder / METRICS_FILE).write_text(json.dumps(measured, indent=1) + "\n")
    (folder / REPORT_FILE).write_text(report.render_report(found))
    local_report(folder).write_text(report.render_report(found, shards.finder(data, "test")))
    return measured


def local_report(folder: Path) -> Path:
    """Where the report with faces on the release in `folder` lies: outside of it, so that it is never published."""
    return folder.with_name(f"{folder.name}-report-with-faces.html")


def load_metrics(folder: Path) -> dict[str, Any]:
    """The figures of the release in `folder`.

    Raises:
        StepError: there are none, or they were measured on another model file.
    """
    path = folder / METRICS_FILE
    if not path.is_file():
        raise StepError(f"{path} does not exist; run `python -m training evaluate` first")
    measured: dict[str, Any] = json.loads(path.read_text())
    if measured["sha256"] != json.loads((folder / release.MANIFEST).read_text())["model"]["sha256"]:
        raise StepError(f"{path} belongs to another model; run `python -m training evaluate` again")
    return measured


def _load(uri: str, cure: str) -> tuple[Release, Predictor]:
    try:
        found = release.load(uri)
        return found, Predictor(found)
    except release.ReleaseError as error:
        raise StepError(f"{error} ({cure})") from error


def _champion(uri: str, data: Path, config: EvaluateConfig) -> Champion:
    former, predictor = _load(uri, "--champion names a release's folder or gs:// address")
    return Champion(former.version, metrics.measure(_score(predictor, data), config))


def _false_alarms(candidate: Release, data: Path) -> float:
    """Share of the test faces that are warned of as if they were none."""
    fitted = serving_likeness.of(candidate)
    warned = [likeness.false_alarms(fitted, shard.load()[0]) for shard in shards.shards(data, "test")]
    return round(float(np.concatenate(warned).mean()), 4)


def _score(predictor: Predictor, data: Path) -> metrics.Faces:
    predictions, labels = [], []
    progress = tqdm(shards.shards(data, "test"), desc="evaluate", unit="shard", disable=not sys.stderr.isatty())
    for shard in progress:
        pixels, rows = shard.load()
        for start in range(0, len(pixels), _BATCH):
            predictions += predictor.predict(shards.resized(pixels[start : start + _BATCH], predictor.release.size))
        labels.append(rows)
    return metrics.collect(predictions, np.concatenate(labels))
