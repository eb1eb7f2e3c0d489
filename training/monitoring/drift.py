"""Drift: the distributions of a release's predictions, expected and served."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from serving import heads
from serving.heads import AGE
from serving.request_stats import AGE_BANDS
from training.monitoring.traffic import Traffic
from training.stability import Counts, Sample

# Bins of the measure `input_check`: images with a warning `low_contrast` or `not_a_face`, and the rest.
_FACE, _NO_FACE = "a face", "no face"


def of_traffic(traffic: Traffic) -> Sample:
    """Return the served predictions as a sample. `input_check` adds two warnings, of which a face has at most one."""
    no_face = traffic.warnings["low_contrast"] + traffic.warnings["not_a_face"]
    input_check = {_FACE: traffic.answered - no_face, _NO_FACE: no_face}
    return Sample(traffic.bins | {"input_check": input_check}, traffic.requests_answered)


def of_release(measured: dict[str, Any], manifest: dict[str, Any]) -> Sample:
    """Return the predictions of a release for its test faces as a sample, from its metrics.json."""
    faces = measured["faces"]
    no_face = round(measured["input_check"]["false_positive_rate"] * faces)
    input_check = {_FACE: faces - no_face, _NO_FACE: no_face}
    return Sample({**dict(_heads(measured, manifest)), "input_check": input_check}, faces)


def _heads(measured: dict[str, Any], manifest: dict[str, Any]) -> Iterator[tuple[str, Counts]]:
    labels = {"age_band": AGE_BANDS, **heads.labels(manifest)}
    for table, names in labels.items():
        yield AGE if table == "age_band" else table, dict(zip(names, _predicted(measured, table), strict=True))


def _predicted(measured: dict[str, Any], table: str) -> list[int]:
    """Return the number of test faces, labelled or not, with each prediction."""
    if "predicted" in measured:
        return list(measured["predicted"][table])
    # Older versions required every label. Rows are labels, columns are predictions.
    counts: list[int] = np.sum(measured["confusion"][table], axis=0).tolist()
    return counts
