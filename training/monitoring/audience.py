"""Demographics of a release's traffic, from the coarse counts in the function's log.

The log has age bands and labels apart, so nothing tells which label a band's faces have. The estimate treats both as
independent; the shares of bands and of labels depend little on it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np

from serving.demographics import confusion, mixture, responses
from serving.demographics.bands import DEFAULT
from serving.demographics.confusion import DEGREES, Array
from serving.demographics.responses import Responses
from serving.demographics.summary import REPLICATES, Corrector, Figure, figure
from serving.heads import AGE
from serving.release import ReleaseError
from training.errors import StepError
from training.monitoring import logfiles, traffic
from training.monitoring.traffic import Traffic
from training.registry import releases

# Steps of a replicate, which starts from the shares of all faces.
_REPLICATE_STEPS = 60


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
    if corrector.known.bands is None:
        raise StepError(
            f"release {counted.release} has no counts of answered age bands: an earlier version evaluated it; run "
            "`python -m training evaluate` and publish it again"
        )
    random = np.random.default_rng(corrector.known.faces)
    age_bands = responses.of_bands(corrector.known, REPLICATES, random)
    figures: dict[str, dict[str, Figure]] = {}
    for head, statistics in corrector.known.heads.items():
        labels = np.array([*counted.bins.get(head, {}).values()], np.float64)
        if labels.sum() != bands.sum():
            continue
        one, many = (_coarse(*pair) for pair in zip(corrector.responses(head), age_bands, strict=True))
        shares, replicates = _shares(bands, labels, one, many)
        if AGE not in figures:
            figures[AGE] = {
                band.name: figure(
                    band.share(shares.sum(axis=0)), band.share(replicates.sum(axis=1)), bands[number] / bands.sum()
                )
                for number, band in enumerate(DEFAULT)
            }
        figures[head] = {
            label: figure(shares[number].sum(), replicates[:, number].sum(axis=1), labels[number] / labels.sum())
            for number, label in enumerate(statistics.labels)
        }
    if not figures:
        raise StepError(
            "the log counts ages alone; a service with LOG_PREDICTIONS=age,gender counts what the correction needs"
        )
    return figures


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


def _coarse(fine: Responses, bands: Array) -> Responses:
    """Return the responses as the log has them: age bands instead of levels, labels without a degree."""
    answers = fine.answers.reshape(*fine.answers.shape[:-1], -1, DEGREES).sum(axis=-1)
    return Responses(np.repeat(bands[:, None], answers.shape[1], axis=1), answers)


def _shares(bands: Array, labels: Array, one: Responses, many: Responses) -> tuple[Array, Array]:
    """Return (L, YEARS) shares and (B, L, YEARS) replicates, from (bands,) and (L,) counts."""
    faces = bands.sum()
    grid = np.outer(bands, labels) / faces
    found = mixture.shares(grid[None], one, steps=_REPLICATE_STEPS)[0]
    random = np.random.default_rng(int(faces))
    number = len(many.levels)
    drawn = [random.multinomial(int(faces), (each + 0.5) / (each + 0.5).sum(), size=number) for each in (bands, labels)]
    grids = drawn[0][:, :, None] * drawn[1][:, None, :] / faces
    return found, mixture.shares(grids, many, steps=_REPLICATE_STEPS)
