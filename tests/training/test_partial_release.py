"""A release from partial labels: what it carries, what it is judged by, and that it says so."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from serving import heads, release
from serving.predictor import Predictor
from serving.release import MANIFEST, parse_manifest
from tests import partial
from tests.training.conftest import SHORT
from training import runs
from training.config import ConvertConfig, EvaluateConfig
from training.convert import convert
from training.data import coverage, shards
from training.data.shards import LabelArray
from training.errors import StepError
from training.evaluate import evaluate, score
from training.evaluation import champion, comparison, metrics, tables
from training.evaluation.gate_result import GateResult
from training.evaluation.metrics import MIN_SUBGROUP_SIZE
from training.gate import gate
from training.labels import MISSING, ROW, by_head, exact_ages, ranged_ages
from training.learning import inputs
from training.monitoring import drift
from training.presets import PRESETS
from training.publish import publish
from training.registry.registry import Registry
from training.train import train

FEW = EvaluateConfig(bootstrap=100, paired_bootstrap=200)
LENIENT = replace(PRESETS["smoke"].gate, age_mae=100.0, gender_accuracy=0.0)


@pytest.fixture(scope="module")
def photos(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Faces with ranges of ages, two thirds of the genders and no ethnicity."""
    return partial.copy(data, tmp_path_factory.mktemp("photos") / "data", partial.photos)


@pytest.fixture(scope="module")
def coarse(photos: Path) -> Path:
    """The release trained on them."""
    folder = photos.parent
    train(photos, folder / "model", replace(SHORT, epochs=2), "smoke", resume=False)
    convert(photos, folder / "model", folder / "release", ConvertConfig())
    evaluate(photos, folder / "model", folder / "release", FEW)
    return folder / "release"


def known(data: Path, split: str, head: str) -> int:
    return int((by_head(shards.labels(data, split))[head] != MISSING).sum())


def test_a_release_leaves_out_a_head_that_no_training_face_has_a_label_for(coarse: Path, photos: Path) -> None:
    manifest = parse_manifest((coarse / MANIFEST).read_text())
    assert set(manifest["heads"]) == {"age", "gender"}
    assert set(manifest["calibration"]) == {"age", "age_decision", "gender"}
    predictor = Predictor(release.load(str(coarse)))
    pixels, _ = shards.first(photos, "test", 2)
    assert [set(prediction.choices) for prediction in predictor.predict(pixels)] == [{"gender"}] * 2
    with np.load(coarse / "weights.npz") as arrays:
        assert not [name for name in arrays if name.startswith("ethnicity")]


def test_calibration_states_the_faces_that_it_rests_on(coarse: Path, photos: Path) -> None:
    calibration = parse_manifest((coarse / MANIFEST).read_text())["calibration"]
    faces = shards.fingerprint(photos).faces["validation"]
    assert calibration["age"]["faces"] == faces
    assert 0 < calibration["gender"]["faces"] == known(photos, "validation", "gender") < faces


def test_each_metric_states_the_faces_that_it_rests_on(coarse: Path, photos: Path) -> None:
    measured = metrics.load(coarse)
    faces = shards.fingerprint(photos).faces["test"]
    genders = known(photos, "test", "gender")
    assert measured["labelled"] == {"age": 0, "age_range": faces, "gender": genders, "ethnicity": 0}
    overall = {name: metric["n"] for name, metric in measured["overall"].items() if name != "n"}
    bands = overall.pop("age_band_accuracy")
    # 10 to 19 years touch two bands.
    assert 0 < bands < faces
    ranged = dict.fromkeys(("age_range_distance", "age_in_range", "interval_overlap"), faces)
    assert overall == {"gender_accuracy": genders, **ranged}
    assert measured["calibration_error"].keys() == {"gender"}
    assert measured["confusion"].keys() == {"age_band", "gender"}
    assert np.sum(measured["confusion"]["gender"]) == genders
    assert "by_ethnicity" not in measured
    assert measured["baseline"]["labels"].keys() == {"gender"}
    assert measured["baseline"]["labelled"]["gender"] == known(photos, "train", "gender")


def test_every_page_says_how_many_faces_have_each_label(coarse: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(coarse.parent, tmp_path / "work")) / "release"
    measured = metrics.load(folder)
    words = tables.labelled(measured)
    assert f"0 have an exact age, {measured['faces']} a range of ages" in words
    assert "none a label for ethnicity" in words
    assert gate(folder, LENIENT).publishable
    address = publish(folder, Registry(str(tmp_path / "registry")))
    assert words in tables.text(measured).splitlines()
    for page in (folder / "report.html", folder / "card.md", folder.with_name("comparison.md")):
        assert words in page.read_text(), page.name
        assert "ethnicity accuracy" not in page.read_text()
    assert release.load(address).labels.keys() == {"gender"}


def test_the_gate_judges_ranges_and_notes_what_it_cannot_judge(coarse: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(coarse, tmp_path / "release"))
    distance = metrics.load(folder)["overall"]["age_range_distance"]["value"]
    found = gate(folder, replace(LENIENT, age_mae=distance - 0.01))
    assert found.failed == ["age_range_distance"]
    assert {check.name for check in found.checks} & {"age_mae", "age_within_5", "ethnicity_accuracy"} == set()
    notes = "\n".join(found.notes)
    assert "No metric of ethnicity is judged: no test face has a label" in notes
    assert f"Fewer than {MIN_SUBGROUP_SIZE} test faces have an exact age." in notes
    assert tables.labelled(metrics.load(folder)) in notes


def test_an_interval_that_misses_too_many_ranges_fails_the_gate(coarse: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(coarse, tmp_path / "release"))
    changed(folder, lambda measured: measured["overall"]["interval_overlap"].update(value=0.7))
    assert "interval_overlap" in gate(folder, replace(LENIENT, coverage_error=0.05)).failed
    assert "interval_overlap" not in gate(folder, replace(LENIENT, coverage_error=0.2)).failed


def test_with_enough_exact_ages_the_gate_judges_those(challenger: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(challenger, tmp_path / "release"))
    names = [check.name for check in gate(folder, LENIENT).checks]
    changed(folder, lambda measured: measured["labelled"].update(age=MIN_SUBGROUP_SIZE, age_range=1000))
    mixed: GateResult = gate(folder, LENIENT)
    assert [check.name for check in mixed.checks] == names
    assert not [note for note in mixed.notes if note.startswith("Fewer than")]


def changed(folder: Path, change: Any) -> None:
    measured = json.loads((folder / "metrics.json").read_text())
    change(measured)
    (folder / "metrics.json").write_text(json.dumps(measured))


def test_a_champion_with_more_heads_is_compared_by_the_common_ones(
    challenger: Path, coarse: Path, photos: Path
) -> None:
    against = champion.named(str(challenger))
    evaluate(photos, coarse.with_name("model"), coarse, FEW, against)
    found = comparison.load(coarse, metrics.load(coarse)["sha256"])
    assert "Ethnicity is not compared: the champion has such a head." in "\n".join(found.notes)
    overall = {row.metric: row.n for row in found.overall()}
    faces, genders = shards.fingerprint(photos).faces["test"], known(photos, "test", "gender")
    assert overall == {"gender_accuracy": genders, "age_range_distance": faces, "age_in_range": faces}
    assert all(row.n >= MIN_SUBGROUP_SIZE for row in found.groups())
    evaluate(photos, coarse.with_name("model"), coarse, FEW)


def test_the_drift_reference_rests_on_all_faces_labelled_or_not(coarse: Path) -> None:
    measured = metrics.load(coarse)
    sample = drift.of_release(measured, parse_manifest((coarse / MANIFEST).read_text()))
    assert set(sample.measures) == {"age", "gender", "input_check"}
    assert {sum(bins.values()) for bins in sample.measures.values()} == {measured["faces"]}
    assert sample.independent == measured["faces"]


def test_complete_labels_leave_no_trace_of_partial_ones(challenger: Path) -> None:
    measured = metrics.load(challenger)
    assert tables.labelled(measured) == ""
    assert {metric["n"] for name, metric in measured["overall"].items() if name != "n"} == {measured["faces"]}
    report = (challenger / "report.html").read_text()
    assert "(n = " not in report
    assert "range" not in {word for row in tables.beside_baseline(measured) for word in row.title.split()}
    counts = measured["predicted"]
    assert {table: np.sum(rows, axis=0).tolist() for table, rows in measured["confusion"].items()} == counts


def test_a_release_with_more_heads_than_the_labels_is_scored_by_those_with_labels(
    challenger: Path, photos: Path
) -> None:
    predictor = champion.named(str(challenger)).predictor
    assert predictor
    measured = metrics.measure(score(predictor, photos), FEW)
    assert measured["calibration_error"].keys() == {"gender"}
    assert measured["predicted"].keys() == {"age_band", *heads.CHOICES}


def test_the_history_names_no_accuracy_of_a_head_without_labels(coarse: Path) -> None:
    for row in runs.history(coarse.with_name("model")):
        assert np.isnan(row["val_ethnicity_accuracy"])
        assert np.isfinite(row["val_age_error"] + row["val_gender_accuracy"] + row["loss"])


def test_coverage_warns_of_a_head_without_labels_and_counts_ranges_for_the_bands_that_they_touch(photos: Path) -> None:
    warnings = coverage.find(photos)
    assert "no training images have a label for ethnicity: the release will not predict it" in warnings
    assert not [line for line in warnings if line.startswith("no training images aged")]


def no_age(labels: LabelArray) -> LabelArray:
    found = np.array(labels)
    found[:, [ROW.index("age"), ROW.index("age_high")]] = MISSING
    return found


def test_faces_without_any_age_are_refused_before_the_training(data: Path, tmp_path: Path) -> None:
    folder = partial.copy(data, tmp_path / "data", no_age)
    with pytest.raises(StepError, match=r"no training face in .* has an age, which every release predicts"):
        inputs.require(folder, SHORT)


def test_a_mixture_states_both_kinds_of_ages(challenger: Path, data: Path, tmp_path: Path) -> None:
    def half(labels: LabelArray) -> LabelArray:
        found = partial.coarse(labels)
        found[::2] = labels[::2]
        return found

    folder = partial.copy(data, tmp_path / "data", half)
    labels = shards.labels(folder, "test")
    predictor = champion.named(str(challenger)).predictor
    assert predictor
    faces = score(predictor, folder)
    overall = metrics.measure(faces, FEW)["overall"]
    exact, ranged = exact_ages(labels), ranged_ages(labels)
    assert overall["age_mae"]["n"] == exact.sum()
    assert overall["age_range_distance"]["n"] == ranged.sum()
    errors = np.abs(faces.years - shards.labels(data, "test")[:, 0])
    assert overall["age_mae"]["value"] == pytest.approx(errors[exact].mean(), abs=1e-4)
    assert overall["age_range_distance"]["value"] <= errors[ranged].mean()
