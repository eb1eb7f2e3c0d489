"""Demographics of a release's traffic, from the coarse counts in the function's log."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np

from serving.demographics import confusion, margins
from serving.demographics.margins import NoBandsError
from serving.demographics.summary import Corrector, Figure
from serving.heads import AGE
from serving.release import ReleaseError
from training.errors import StepError
from training.monitoring import logfiles, traffic
from training.monitoring.traffic import Traffic
from training.registry import releases


@dataclass(frozen=True)
class Audience:
    """Figures of the faces in a log."""

    traffic: Traffic
    figures: dict[str, dict[str, Figure]]
    """Shares by head, and by label or age band."""

    def as_json(self) -> dict[str, Any]:
        """Return the figures as JSON, shares from 0 to 1."""
        return {
            "release": self.traffic.release,
            "faces": self.traffic.answered,
            "requests": self.traffic.requests_answered,
            **{
                head: {name: found._asdict() for name, found in shares.items()} for head, shares in self.figures.items()
            },
            "not_counted": {"failed": self.traffic.failed, "of_other_releases": self.traffic.of_other_releases},
            "warned": self.traffic.warnings,
        }


def estimate(release: str, logs: str, since: datetime | None = None) -> Audience:
    """Return the corrected figures of the predictions that a release's log counts.

    Args:
        release: its folder or gs:// address.
        logs: a file, a folder or gs://bucket/folder.
        since: earlier requests are ignored.

    Raises:
        StepError: the release or the log cannot be read, the release has no statistics, or the log no predictions.
    """
    found = releases.read(release)
    try:
        served = found.served()
        corrector = Corrector(confusion.parse(served.manifest, served.labels))
    except ReleaseError as error:
        raise StepError(str(error)) from error
    counted = traffic.count(logfiles.lines(logs, since), found.manifest, since)
    return Audience(counted, of_traffic(counted, corrector))


def of_traffic(counted: Traffic, corrector: Corrector) -> dict[str, dict[str, Figure]]:
    """Return the figures of counted traffic, by head.

    Raises:
        StepError: no prediction is counted, or no age.
    """
    bands = np.array([*counted.bins[AGE].values()], np.float64)
    if not bands.sum():
        raise StepError(
            f"the log counts no age predicted by release {counted.release} ({counted.requests:,} of its requests, "
            f"{counted.of_other_releases:,} lines of others); a service with LOG_PREDICTIONS=age,gender counts them"
        )
    labels = {head: np.array([*counted.bins.get(head, {}).values()], np.float64) for head in corrector.known.heads}
    labels = {head: counts for head, counts in labels.items() if counts.sum() == bands.sum()}
    if not labels:
        raise StepError(
            "the log counts ages alone; a service with LOG_PREDICTIONS=age,gender counts what the correction needs"
        )
    try:
        return margins.figures(bands, labels, corrector)
    except NoBandsError as error:
        raise StepError(
            f"release {counted.release} has no counts of answered age bands: an earlier version evaluated it; run "
            "`python -m training evaluate` and publish it again"
        ) from error


def table(audience: Audience) -> Iterator[str]:
    """Return the lines of a table for the terminal."""
    counted = audience.traffic
    yield f"{counted.answered:,} faces in {counted.requests_answered:,} requests, release {counted.release}"
    yield f"{'':24}{'estimated':>10}{'between':>16}{'counted':>10}"
    for shares in audience.figures.values():
        for name, found in shares.items():
            value, low, high, plain = (f"{100 * each:.1f}" for each in found)
            yield f"{name:24}{value:>8} %{f'{low} - {high}':>16}{plain:>8} %"
    warned = ", ".join(f"{faces:,} faces with the warning {code}" for code, faces in counted.warnings.items() if faces)
    yield f"included: {warned or 'no face with a warning'}; not counted: {counted.failed:,} images with an error"
    yield (
        "estimated: corrected for the release's errors, with a 95 % interval; counted: the answers alone. "
        "A person in two requests is counted twice."
    )
