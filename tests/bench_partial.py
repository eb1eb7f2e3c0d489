"""Measure what coarse and missing labels add: half of the training faces exact, with and without the coarse other half.

    make bench-partial DATA=<UTKFace folder or archive> [EPOCHS=<number>] [SIZE=<pixels>]

Three trainings of preset `baseline` see the same exact half. One sees it alone, one sees it alone for as many steps as
the third, and the third sees the other half too: with FairFace's ranges of ages and without a third of the genders. All
have the same validation and test faces, with exact labels.
"""

from __future__ import annotations

import argparse
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np

from serving import release
from serving.predictor import Predictor
from tests.partial import coarse, without
from training.config import ConvertConfig, EvaluateConfig, TrainConfig
from training.convert import convert
from training.data import shards
from training.data.shards import LabelArray, Shard
from training.evaluate import score
from training.evaluation import comparison, metrics
from training.evaluation.metric_table import COMPARED
from training.evaluation.samples import ScoredSamples
from training.prepare import prepare
from training.presets import PRESETS
from training.train import train

PRESET = PRESETS["baseline"]
EXACT, LONGER, MIXED = "exact half", "exact half, as many steps", "exact and coarse half"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path, help="UTKFace")
    parser.add_argument("--work", type=Path, default=Path("build/bench-partial"))
    parser.add_argument("--epochs", type=int, default=PRESET.train.epochs)
    parser.add_argument("--size", type=int, default=PRESET.prepare.size, help="side of the faces in pixels")
    options = parser.parse_args()
    whole: Path = options.work / "whole"
    if not whole.is_dir():
        prepare(options.data, whole, replace(PRESET.prepare, size=options.size))
    config = replace(PRESET.train, epochs=options.epochs, patience=2 * options.epochs)
    mixed, exact = _copy(whole, options.work / "mixed", _half_coarse), _copy(whole, options.work / "exact", _half)
    scored = {
        EXACT: _scored(exact, options.work / EXACT, config),
        LONGER: _scored(exact, options.work / LONGER, replace(config, epochs=2 * options.epochs)),
        MIXED: _scored(mixed, options.work / MIXED, config),
    }
    _print(scored)


def _copy(whole: Path, folder: Path, change: Callable[[Shard], int]) -> Path:
    """Copy prepared faces with other training faces."""
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(whole, folder)
    faces = 0
    for shard in shards.shards(folder, "train"):
        faces += change(shard)
    fingerprint = shards.fingerprint(folder)
    replace(fingerprint, faces=fingerprint.faces | {"train": faces}).save(folder)
    return folder


def _half(shard: Shard) -> int:
    """Keep every other face, and return their number."""
    pixels, labels = (np.array(values) for values in shard.load())
    np.save(shard.pixels, pixels[::2])
    np.save(shard.labels, labels[::2])
    return len(labels[::2])


def _half_coarse(shard: Shard) -> int:
    """Coarsen every other label, and return the number of all faces."""
    labels: LabelArray = np.array(shard.load()[1])
    labels[1::2] = without(coarse(labels[1::2]), "gender", 1 / 3, seed=int(labels[:, 0].sum()))
    np.save(shard.labels, labels)
    return len(labels)


def _scored(data: Path, work: Path, config: TrainConfig) -> ScoredSamples:
    train(data, work / "model", config, "baseline", resume=True)
    convert(data, work / "model", work / "release", ConvertConfig())
    return score(Predictor(release.load(str(work / "release"))), data)


def _print(scored: dict[str, ScoredSamples]) -> None:
    for title, faces in scored.items():
        overall = metrics.measure(faces, EvaluateConfig())["overall"]
        values = [f"{spec.title} {spec.text(overall[name]['value'])}" for name, spec in COMPARED.items()]
        print(f"{title}: {', '.join(values)} ({len(faces.labels)} test faces)")
    for before in (EXACT, LONGER):
        for row in comparison.compare(scored[before], scored[MIXED], {"age", "gender", "ethnicity"}, EvaluateConfig()):
            if row.group == comparison.EVERYONE:
                interval = f"{row.spec.number(row.low, '+')} to {row.spec.number(row.high, '+')}"
                print(f"{MIXED} minus {before}: {row.spec.title} {row.spec.difference(row.difference)} ({interval})")


if __name__ == "__main__":
    main()
