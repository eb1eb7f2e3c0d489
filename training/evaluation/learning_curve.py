"""The learning curve: networks trained on a quarter, on a half and on all of the faces, scored on the same test faces.

All of them are scored as float32 networks, before the conversion, so that only the number of faces differs. The metrics
of the release remain those of its file.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from serving.heads import AGE
from serving.images import Pixels
from serving.predictor import Outputs, decide_ages, each_label
from serving.release import Release
from training.config import EvaluateConfig
from training.data import shards
from training.evaluation.metric_table import LEARNT, Better, MetricSpec, Unit, spec
from training.evaluation.samples import METRICS, Array, ScoredSamples
from training.evaluation.tables import MIN_SHOWN, wilson
from training.labels import CHOICES, COLUMNS, MISSING, by_head
from training.learning import checkpoints, curve
from training.progress import progress

if TYPE_CHECKING:
    import keras

# In metrics.json.
MEMBER = "learning_curve"
# Times as many faces for which the curve is continued.
MORE = 2


@dataclass(frozen=True)
class Curve:
    """One metric of the networks, from the one with the fewest training faces to the one with all of them."""

    metric: str
    n: int
    """Number of test faces with a label for it."""
    values: tuple[float, ...]
    low: tuple[float, ...]
    """Lower end of the interval of each value: Wilson's for a share, a bootstrap interval for years."""
    high: tuple[float, ...]
    gain: float
    """What MORE times as many faces would bring by the trend, in the metric's unit. Above zero is better."""
    gain_low: float
    """Lower end of the bootstrap interval of the gain."""
    gain_high: float

    @property
    def spec(self) -> MetricSpec:
        """Return the metric's title, unit and direction."""
        return spec(self.metric)

    @property
    def improves(self) -> bool:
        """Return whether the metric improves measurably with more faces."""
        return self.gain_low > 0

    def expected(self, faces: Sequence[int], at: float) -> float:
        """Return the metric that the trend through the values predicts for `at` training faces."""
        lower, values = self.spec.better is Better.LOWER, np.array(self.values)
        error = float(trend(faces, _above_zero(values if lower else 1 - values, self.n), at))
        return error if lower else 1 - error


def trend(faces: Sequence[int], errors: npt.ArrayLike, at: float) -> Array:
    """Return the error that a power law predicts for a number of training faces.

    The law is error = scale * faces ** exponent (Hestness et al. 2017, arXiv:1712.00409), a line through the logarithms
    by least squares. Their term for the error that no number of faces removes is left out, because three points do not
    tell it. So the law is a little too hopeful, and the more so the further it is continued.

    Args:
        faces: (P,) training faces.
        errors: (..., P) errors above zero.
        at: number of training faces.

    Returns:
        (...,) errors.
    """
    x, y = np.log(faces), np.log(errors)
    away, middle = x - x.mean(), y.mean(axis=-1)
    exponents = (y @ away) / (away @ away)
    result: Array = np.exp(middle + exponents * (np.log(at) - x.mean()))
    return result


def measure(
    faces: dict[str, int], scored: list[ScoredSamples], heads: Sequence[str], config: EvaluateConfig
) -> dict[str, Any]:
    """Return the section of metrics.json.

    Args:
        faces: training faces by name of the part, from the fewest to all.
        scored: predictions of each network for the same N test faces.
        heads: heads that every part has labels for.
        config: resampling.
    """
    random = np.random.default_rng(config.seed)
    tables = np.stack([each.metrics() for each in scored], axis=-1)  # (N, len(METRICS), P)
    curves, few = [], []
    for name, metric in LEARNT.items():
        values = tables[:, METRICS.index(name)]
        labelled = values[~np.isnan(values).any(axis=1)]
        if metric.head not in heads or not len(labelled):
            continue
        if len(labelled) < MIN_SHOWN:
            few.append(name)
        else:
            curves.append(_curve(name, [*faces.values()], labelled, config, random))
    return {
        "faces": faces,
        "curves": [asdict(each) for each in curves],
        "too_few": few,
        "unlabelled": [head for head in COLUMNS if head not in heads],
    }


def section(trained: Path, release: Release, data: Path, config: EvaluateConfig) -> dict[str, Any] | None:
    """Score the networks of a run on the test faces, and return the section of metrics.json.

    Args:
        trained: the run's folder.
        release: the release made from it, whose rule for the age counts for all networks.
        data: output of `prepare`.
        config: resampling.

    Returns:
        None if the run has no such trainings, or a section with an obstacle if they cannot be compared.
    """
    if not curve.begun(trained):
        return None
    parts = curve.finished(trained)
    if len(parts) < len(curve.SHARES):
        return {
            "obstacle": "There is no learning curve, because its trainings are not complete. Repeat `train` with its "
            "options and --resume."
        }
    fingerprint = shards.fingerprint(data)
    if any(part.data != fingerprint.sha256 for part in parts.values()):
        return {
            "obstacle": "There is no learning curve, because its trainings had other faces than these. Train again."
        }
    folders = [*(curve.folder(trained, part) for part in parts), trained]
    heads = [head for head in COLUMNS if all(head in part.heads for part in parts.values())]
    scored = [_score(checkpoints.best_model(folder), release, data, heads) for folder in folders]
    faces = {name: part.faces for name, part in parts.items()} | {"all": fingerprint.faces["train"]}
    return measure(faces, scored, heads, config)


def curves(measured: dict[str, Any]) -> list[Curve]:
    """Return the curves in the content of metrics.json; none without a section, or with an obstacle."""
    return [Curve(**row) for row in measured.get(MEMBER, {}).get("curves", [])]


def words(measured: dict[str, Any]) -> list[str]:
    """Return the sentences of the report; empty for a training without a learning curve.

    Args:
        measured: content of metrics.json.
    """
    found = measured.get(MEMBER)
    if found is None:
        return []
    if "obstacle" in found:
        return [found["obstacle"]]
    confidence = f"{100 * measured['config']['confidence']:.0f} %"
    sentences = [" ".join(_sentences(each, found["faces"], confidence)) for each in curves(measured)]
    if found["too_few"]:
        titles = ", ".join(spec(name).title for name in found["too_few"])
        sentences.append(f"Too few test faces with a label for a curve (fewer than {MIN_SHOWN}): {titles}.")
    if found["unlabelled"]:
        sentences.append(f"No curve of {', '.join(found['unlabelled'])}: a part of the faces has no label for it.")
    return sentences


def rows(measured: dict[str, Any]) -> list[list[str]]:
    """Return the curves as a table of text: the heads of the columns, then a row for each metric."""
    found = curves(measured)
    if not found:
        return []
    faces = measured[MEMBER]["faces"]
    titles = ["metric", *(f"{part}, {count:,} faces" for part, count in faces.items()), "twice as many would bring"]
    return [titles, *([each.spec.title, *_cells(each)] for each in found)]


def _curve(metric: str, faces: list[int], values: Array, config: EvaluateConfig, random: np.random.Generator) -> Curve:
    """Return the curve of a metric from (n, P) contributions of the test faces.

    A resample draws faces, each with the predictions of all networks (a paired bootstrap, see `comparison`).
    """
    lower, n = spec(metric).better is Better.LOWER, len(values)
    distinct, counts = np.unique(values if lower else 1 - values, axis=0, return_counts=True)
    draws = random.multinomial(n, counts / n, size=config.bootstrap)
    resampled = draws @ distinct / n
    errors, drawn = _above_zero(counts @ distinct / n, n), _above_zero(resampled, n)
    gain, gains = (trend(faces, each, faces[-1]) - trend(faces, each, MORE * faces[-1]) for each in (errors, drawn))
    tail = (1 - config.confidence) / 2
    means = values.mean(axis=0)
    if spec(metric).unit is Unit.SHARE:
        low, high = np.array([wilson(share, n, config.confidence) for share in means.tolist()]).T
    else:
        low, high = np.quantile(resampled, (tail, 1 - tail), axis=0)
    ends = np.array([gain, *np.quantile(gains, (tail, 1 - tail))])
    return Curve(metric, n, _rounded(means), _rounded(low), _rounded(high), *_rounded(ends))


def _above_zero(errors: Array, n: int) -> Array:
    """Replace no error at all, which has no logarithm, by half an error among all `n` faces."""
    return np.maximum(errors, 0.5 / n)


def _rounded(values: Array) -> tuple[float, ...]:
    # A sum with 0.0 turns -0.0 into 0.0.
    return tuple(round(value, 6) + 0.0 for value in values.tolist())


def _sentences(found: Curve, faces: dict[str, int], confidence: str) -> Iterator[str]:
    shown = found.spec
    (first, count, value), *others = (
        (f"a {part}" if part in curve.SHARES else part, f"{count:,}", shown.text(value))
        for (part, count), value in zip(faces.items(), found.values, strict=True)
    )
    more = ", ".join(f"on {part} ({count}) {value}" for part, count, value in others)
    yield f"On {first} of your faces ({count}) the {shown.title} is {value}, {more}."
    unit = shown.difference(found.gain_high).rpartition(" ")[2]
    interval = f"{confidence} interval: {shown.interval(found.gain_low, found.gain_high)} {unit}"
    if found.improves:
        gain = shown.difference(found.gain).removeprefix("+")
        yield f"Twice as many faces would bring about {gain} ({interval}), if the trend goes on."
    else:
        yield (
            "It did not improve measurably with the number of faces, so more faces of the same kind would not be "
            f"expected to help measurably ({interval})."
        )


def _cells(found: Curve) -> Iterator[str]:
    shown = found.spec
    for value, low, high in zip(found.values, found.low, found.high, strict=True):
        yield f"{shown.text(value)} ({shown.interval(low, high)})"
    gain = shown.difference(found.gain) if found.improves else "nothing measurable"
    yield f"{gain} ({shown.interval(found.gain_low, found.gain_high)})"


def _score(model: keras.Model, release: Release, data: Path, heads: Sequence[str]) -> ScoredSamples:
    """Return a network's predictions of some heads for the test faces. Age intervals have no width."""
    outputs: list[Outputs] = []
    labels = []
    for shard in progress(shards.shards(data, "test"), "learning curve", "shard"):
        pixels, rows = shard.load()
        outputs += [_predict(model, faces, release) for faces in shards.pieces(pixels, release.size)]
        labels.append(rows)
    found = {head: np.concatenate([each[head] for each in outputs]) for head in heads}
    kept = np.concatenate(labels)
    for head, values in by_head(kept).items():
        if head not in heads:
            values[:] = MISSING
    years = decide_ages(found[AGE], release.calibration.decision).astype(np.float64)
    shares = [each_label(found[head.name]) if head.name in found else np.zeros((len(kept), 1)) for head in CHOICES]
    return ScoredSamples(
        labels=kept,
        years=years,
        low=years,
        high=years,
        choices=np.stack([each.argmax(axis=1) for each in shares], axis=1),
        probabilities=np.stack([each.max(axis=1) for each in shares], axis=1),
    )


def _predict(model: keras.Model, faces: Pixels, release: Release) -> Outputs:
    """Return the outputs by head for (N, size, size, 3) uint8 faces, as the release does: with or without mirroring."""
    sides = [faces, faces[:, :, ::-1]] if release.manifest["model"].get("mirror") else [faces]
    predicted = [model.predict_on_batch(side.astype(np.float32)) for side in sides]
    return {head: np.mean([side[head] for side in predicted], axis=0) for head in predicted[0]}
