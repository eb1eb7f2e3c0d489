"""What more faces would bring: trainings on parts of them, and the words about it."""

from __future__ import annotations

import csv
import json
import shutil
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.partial import copy, photos
from tests.training.conftest import SHORT
from training import runs
from training import train as step
from training.config import EvaluateConfig, TrainConfig
from training.data import shards
from training.data.shards import LabelArray
from training.errors import StepError
from training.evaluate import evaluate
from training.evaluation import learning_curve
from training.evaluation.samples import ScoredSamples
from training.labels import MISSING
from training.learning import curve, other_faces
from training.registry import releases
from training.train import train_curve

BRIEF = replace(SHORT, epochs=2, max_steps=3)
CONFIG = EvaluateConfig(bootstrap=400, paired_bootstrap=400)
FACES = {"quarter": 100, "half": 200, "all": 400}


def grouped(data: Path, folder: Path, groups: int) -> Path:
    """Copy prepared faces to `folder`, with so many groups in each split."""
    shutil.copytree(data, folder)
    rows = list(csv.DictReader((folder / "index.csv").open(newline="", encoding="utf-8")))
    with (folder / "index.csv").open("w", newline="", encoding="utf-8") as stream:
        table = csv.DictWriter(stream, fieldnames=list(rows[0]))
        table.writeheader()
        table.writerows(row | {"group": f"{row['split']} {int(row['digest'], 16) % groups}"} for row in rows)
    return folder


def complete(trained: Path, folder: Path, data: Path, config: TrainConfig) -> Path:
    """Copy a trained network to `folder`, as if `config` had trained it."""
    folder.mkdir()
    shutil.copy(trained / "best.keras", folder)
    runs.save(folder, runs.TrainingRun("smoke", shards.fingerprint(data).sha256, config))
    return folder


def training_faces(data: Path) -> Iterator[bytes]:
    yield from (face.tobytes() for shard in shards.shards(data, "train") for face in shard.load()[0])


def test_parts_are_nested_and_tear_no_group_apart(data: Path, tmp_path: Path) -> None:
    source = grouped(data, tmp_path / "data", 25)
    group_of = {}
    for row in csv.DictReader((source / "index.csv").open(newline="", encoding="utf-8")):
        if row["split"] == "train":
            pixels, _ = shards.shards(source, "train")[int(row["shard"])].load()
            group_of[pixels[int(row["position"])].tobytes()] = row["group"]
    taken: dict[str, set[bytes]] = {}
    for part, share in curve.SHARES.items():
        faces = curve.write(source, tmp_path / "model", part)
        taken[part] = set(training_faces(faces))
        assert shards.fingerprint(faces).faces["train"] == len(taken[part])
        # At most one group more than the share.
        assert 0 <= len(taken[part]) - share * len(group_of) < 40
        for mine, theirs in zip(
            shards.first(faces, "validation", 999), shards.first(source, "validation", 999), strict=True
        ):
            assert np.array_equal(mine, theirs)
        assert set(training_faces(curve.write(source, tmp_path / "again", part))) == taken[part]
    assert taken["quarter"] < taken["half"] < set(group_of)
    members = defaultdict(set)
    for face, group in group_of.items():
        members[group].add(face)
    assert all(faces <= part or not faces & part for faces in members.values() for part in taken.values())


def test_labels_stay_with_their_faces(data: Path, tmp_path: Path) -> None:
    known = dict(zip(training_faces(data), map(tuple, shards.labels(data, "train")), strict=True))
    part = curve.write(data, tmp_path, "half")
    found = zip(training_faces(part), map(tuple, shards.labels(part, "train")), strict=True)
    assert all(known[face] == labels for face, labels in found)


def test_too_few_faces_are_refused(data: Path, tmp_path: Path) -> None:
    def hardly_aged(labels: LabelArray) -> LabelArray:
        found = np.array(labels)
        found[10:, [0, -1]] = MISSING
        return found

    curve.require(data)
    few = copy(data, tmp_path / "data", hardly_aged)
    with pytest.raises(
        StepError, match=r"a quarter of the training faces in .* has \d+ faces with an age, .* least 20"
    ):
        curve.require(few)


def test_groups_that_cannot_be_divided_are_refused(data: Path, tmp_path: Path) -> None:
    with pytest.raises(StepError, match=r"the 1 groups of training faces in .* are too large for a learning curve"):
        curve.require(grouped(data, tmp_path / "data", 1))


def test_an_interrupted_curve_goes_on_and_is_reported(
    data: Path,
    trained: Path,
    challenger: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    model = complete(trained, tmp_path / "model", data, BRIEF)
    release = Path(shutil.copytree(challenger, tmp_path / "release"))
    whole = (model / "best.keras").read_bytes()
    lines = step._line

    def stop(row: dict[str, float], epochs: int) -> str:
        """End the process, as it were, after the first epoch on a half."""
        if runs.exists(curve.folder(model, "half")):
            raise KeyboardInterrupt
        return lines(row, epochs)

    monkeypatch.setattr(step, "_line", stop)
    with pytest.raises(KeyboardInterrupt):
        train_curve(data, model)
    monkeypatch.undo()
    quarter, half = (curve.folder(model, part) for part in curve.SHARES)
    assert [*curve.finished(model)] == ["quarter"]
    (first,) = runs.history(half)
    section = learning_curve.section(model, releases.read(str(release)).served(), data, CONFIG)
    (told,) = learning_curve.words({learning_curve.MEMBER: section})
    assert told.startswith("There is no learning curve, because its trainings are not complete.")

    before = (quarter / "best.keras").stat().st_mtime_ns
    train_curve(data, model)
    said = capsys.readouterr().out
    assert f"{quarter} has the training on a quarter of the faces already, complete" in said
    assert "learning curve: training on a half of the faces, " in said
    assert "resuming after epoch 1" in said
    assert runs.history(half)[0] == first
    assert [row["epoch"] for row in runs.history(half)] == [1, 2]
    assert (quarter / "best.keras").stat().st_mtime_ns == before
    assert (model / "best.keras").read_bytes() == whole
    # No copies of faces stay, and the folder is still one that `train` may replace.
    assert not list((model / "curve").rglob("*.npy"))
    runs.FOLDER.require(model)

    measured = evaluate(data, model, release, CONFIG)
    counts = measured[learning_curve.MEMBER]["faces"]
    assert counts["quarter"] * 2 <= counts["half"] + 1
    assert counts["all"] == shards.fingerprint(data).faces["train"]
    sentences = learning_curve.words(measured)
    assert [each.metric for each in learning_curve.curves(measured)] == [
        "age_mae", "gender_accuracy", "ethnicity_accuracy"
    ]  # fmt: skip
    assert sentences[0].startswith(f"On a quarter of your faces ({counts['quarter']}) the age MAE is ")
    page = (release / "report.html").read_text()
    assert 0 < page.index('<h2 id="learning-curve">') < page.index('<h2 id="summary">')
    assert all(sentence in page for sentence in sentences)
    assert "<th>twice as many would bring</th>" in page
    assert 'alt="Metrics by number of training faces' in page
    # The metrics of the release are those of its file, as without a curve.
    alone = json.loads((challenger / "metrics.json").read_text())
    assert {name: metric["value"] for name, metric in measured["overall"].items() if name != "n"} == {
        name: metric["value"] for name, metric in alone["overall"].items() if name != "n"
    }
    assert "learning-curve" not in (challenger / "report.html").read_text()


@pytest.mark.slow
def test_a_fine_tuning_with_other_faces_and_partial_labels_has_a_curve(
    data: Path, trained: Path, challenger: Path, tmp_path: Path
) -> None:
    own = copy(data, tmp_path / "data", photos)
    config = replace(SHORT, epochs=1, max_steps=2, batch=20, init_from=str(challenger), other=str(data))
    model = complete(trained, tmp_path / "model", own, config)
    train_curve(own, model)
    for part in curve.SHARES:
        assert (curve.folder(model, part) / other_faces.INTERPOLATION).is_file()
    assert curve.finished(model)["quarter"].heads == ("age", "gender")
    section = learning_curve.section(model, releases.read(str(challenger)).served(), own, CONFIG)
    assert section is not None
    assert [row["metric"] for row in section["curves"]] == ["gender_accuracy", "age_range_distance"]
    assert section["unlabelled"] == ["ethnicity"]
    other = learning_curve.section(model, releases.read(str(challenger)).served(), reprepared(own, tmp_path), CONFIG)
    assert "had other faces" in learning_curve.words({learning_curve.MEMBER: other})[0]


def reprepared(data: Path, folder: Path) -> Path:
    """Copy prepared faces, as if they were others."""
    other = Path(shutil.copytree(data, folder / "other"))
    replace(shards.fingerprint(other), sha256="0" * 64).save(other)
    return other


def faces(error: float, wrong: float, seed: int) -> ScoredSamples:
    """Return 400 predictions with a mean age error in years, and a share of wrong genders."""
    random, n = np.random.default_rng(seed), 400
    labels = np.array([(40, 0, 0, 40)] * n, np.uint8)
    years = 40 + error * random.uniform(0.5, 1.5, n)
    choices = np.zeros((n, 2), np.int64)
    choices[: round(wrong * n), 0] = 1
    return ScoredSamples(labels, years, years, years, choices, np.full((n, 2), 0.9))


def measured(*scored: ScoredSamples) -> dict[str, Any]:
    section = learning_curve.measure(FACES, [*scored], ["age", "gender", "ethnicity"], CONFIG)
    return {"config": {"confidence": 0.95}, learning_curve.MEMBER: json.loads(json.dumps(section))}


def test_a_power_law_is_found_again() -> None:
    counts = [100, 210, 400]
    errors = np.array([10.0, 3.0])[:, None] * np.power(counts, np.array([-0.3, -0.5])[:, None])
    wanted = [10 * 800**-0.3, 3 * 800**-0.5]
    assert learning_curve.trend(counts, errors, 800).tolist() == pytest.approx(wanted)


def test_a_falling_error_is_told_with_what_twice_as_many_faces_would_bring() -> None:
    found = measured(*(faces(20 * count**-0.25, 2 * count**-0.5, seed=1) for count in FACES.values()))
    age, gender, _ = learning_curve.curves(found)
    assert age.gain == pytest.approx(20 * (400**-0.25 - 800**-0.25), rel=0.05)
    assert 0 < age.gain_low < age.gain < age.gain_high
    assert gender.gain == pytest.approx(2 * (400**-0.5 - 800**-0.5), abs=0.005)
    years, accuracy, _ = learning_curve.words(found)
    first = learning_curve.curves(found)[0].values[0]
    assert years.startswith(f"On a quarter of your faces (100) the age MAE is {first:.2f} years, on a half (200) ")
    assert f"Twice as many faces would bring about {age.gain:.2f} years (95 % interval: {age.gain_low:.2f} to" in years
    assert years.endswith(" years), if the trend goes on.")
    assert f"would bring about {100 * gender.gain:.1f} points (95 % interval: " in accuracy


@pytest.mark.parametrize("errors", [(5.0, 5.0, 5.0), (5.0, 5.2, 5.5)])
def test_a_flat_or_rising_error_promises_nothing(errors: tuple[float, ...]) -> None:
    found = measured(*(faces(error, 0.1, seed) for seed, error in enumerate(errors)))
    for sentence in learning_curve.words(found):
        assert "would bring" not in sentence
        assert "did not improve measurably with the number of faces, so more faces of the same kind would not be" in (
            sentence
        )
    assert all("nothing measurable" in row[-1] for row in learning_curve.rows(found)[1:])


def test_no_wrong_prediction_at_all_is_no_error_of_the_program() -> None:
    _, gender, ethnicity = learning_curve.curves(measured(*(faces(5, wrong, 1) for wrong in (0.05, 0.01, 0.0))))
    assert gender.improves
    assert (ethnicity.gain, ethnicity.improves) == (0.0, False)
