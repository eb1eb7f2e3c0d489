"""What `evaluate` counts so that demographics can be corrected, and how it measures the correction."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from serving import release
from serving.demographics import answers, confusion
from serving.prediction import AgeEstimate, FacePrediction, LabelEstimate
from serving.release import MANIFEST
from training.calibration import confusion as counting
from training.config import EvaluateConfig
from training.data import shards
from training.data.shards import LabelArray
from training.evaluate import evaluate
from training.evaluation import crowds
from training.evaluation.metrics import METRICS_FILE
from training.labels import ETHNICITIES, GENDERS, MISSING, ROW

NAMES = {"gender": GENDERS, "ethnicity": ETHNICITIES}


def predicted(number: int = 600) -> tuple[list[FacePrediction], LabelArray]:
    """Faces of 0 to 89 years. Ages are estimated 3 years too high, and every fifth man is taken for a woman."""
    random = np.random.default_rng(1)
    predictions, rows = [], []
    for face in range(number):
        age, gender, ethnicity = int(random.integers(90)), face % 2, face % 5
        ages = np.exp(-0.5 * ((np.arange(117) - age - 3) / 4) ** 2)
        women = 0.95 if gender or face % 10 == 0 else 0.05
        probabilities = {
            "age": answers.write_age(ages / ages.sum()),
            "gender": answers.write(np.array([1 - women, women])),
            "ethnicity": answers.write(np.where(np.arange(5) == ethnicity, 0.8, 0.05)),
        }
        choices = {"gender": LabelEstimate(GENDERS[women > 0.5], 0.95)}
        predictions.append(FacePrediction(AgeEstimate(age + 3, age, age + 6), choices, probabilities))
        rows.append((age, gender, ethnicity, age))
    return predictions, np.array(rows, np.uint8)


def test_the_statistics_survive_the_manifest() -> None:
    found = counting.count(*predicted(), NAMES)
    assert found
    stated = json.loads(json.dumps({"version": "1", confusion.MEMBER: confusion.section(found)}))
    again = confusion.parse(stated, NAMES)
    assert again.faces == found.faces == 600
    assert (again.scale == found.scale).all()
    assert (again.centers == found.centers).all()
    for head, counts in found.heads.items():
        assert (again.heads[head].levels == counts.levels).all()
        assert (again.heads[head].answers == counts.answers).all()


def test_the_statistics_hold_who_is_taken_for_whom() -> None:
    found = counting.count(*predicted(), NAMES)
    assert found
    men = found.heads["gender"].answers[0].sum(axis=0)
    assert men[confusion.DEGREES :].sum() / men.sum() == pytest.approx(0.2, abs=0.01)
    assert found.heads["gender"].levels.sum(axis=(0, 2)).min() >= counting.SMALLEST_GROUP


def test_faces_without_an_age_or_a_label_are_not_counted() -> None:
    predictions, labels = predicted()
    labels[:100, ROW.index("gender")] = MISSING
    labels[100:200, ROW.index("age_high")] += 5
    found = counting.count(predictions, labels, NAMES)
    assert found
    assert found.faces == 400


def test_a_head_without_labels_is_left_out() -> None:
    predictions, labels = predicted()
    labels[:, ROW.index("ethnicity")] = MISSING
    found = counting.count(predictions, labels, NAMES)
    assert found
    assert list(found.heads) == ["gender"]


def test_few_faces_have_no_statistics() -> None:
    assert counting.count(*predicted(100), NAMES) is None


def test_crowds_measure_what_the_correction_gains(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(crowds, "_CROWDS", 8)
    predictions, labels = predicted(1200)
    known = counting.count(predictions[:600], labels[:600], NAMES)
    measured = crowds.measure(predictions[600:], labels[600:], known)
    assert measured
    assert measured["female"]["error"] < 0.5 * measured["female"]["counted"]
    assert measured["mean age"]["error"] < 0.5 * measured["mean age"]["counted"]
    assert measured["female"]["covered"] >= 0.75
    shown = crowds.sentence({crowds.MEMBER: measured})
    assert shown.startswith("Demographics: in 8 crowds")
    assert crowds.sentence({}) == ""
    assert crowds.measure(predictions, labels, None) is None
    assert crowds.measure(predictions[:60], labels[:60], known) is None


def test_evaluate_writes_the_statistics_and_changes_nothing_else(
    challenger: Path, data: Path, trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(counting, "_FEWEST_GROUPS", 2)
    monkeypatch.setattr(crowds, "_CROWDS", 2)
    folder = tmp_path / "release"
    shutil.copytree(challenger, folder)
    before = json.loads((folder / MANIFEST).read_text())
    assert confusion.MEMBER not in before
    evaluate(data, trained, folder, EvaluateConfig(bootstrap=50))
    after = json.loads((folder / MANIFEST).read_text())
    assert confusion.parse(after, release.load(str(folder)).labels).faces == len(shards.labels(data, "validation"))
    del after[confusion.MEMBER]
    assert after == before
    assert json.loads((folder / METRICS_FILE).read_text())[crowds.MEMBER]["crowds"] == 2
    assert "Demographics: in 2 crowds" in (folder / "report.html").read_text()
