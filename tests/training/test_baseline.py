"""The same prediction for every face, beside every metric."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from training.__main__ import main
from training.errors import StepError
from training.evaluation import baseline, metrics, tables
from training.evaluation.metric_table import COMPARED, MEASURED
from training.gate import gate
from training.labels import MISSING
from training.presets import PRESETS

TRAINING = np.array([(20, 0, 1, 20), (30, 0, 1, 30), (40, 1, 0, 40)], np.uint8)
TEST = np.array([(30, 0, 1, 30), (36, 1, 1, 36), (8, 0, 0, 8), (31, 0, 2, 31)], np.uint8)


def test_the_baseline_predicts_the_median_age_and_the_most_frequent_labels_of_the_training_faces() -> None:
    found = baseline.measure(TRAINING, TEST, coverage=0.8)
    assert (found["faces"], found["years"], found["labels"]) == (3, 30, {"gender": "male", "ethnicity": "black"})
    assert (found["low"], found["high"]) == (pytest.approx(22), pytest.approx(38))
    assert found["overall"] == {
        "age_mae": pytest.approx((0 + 6 + 22 + 1) / 4),
        "age_within_5": 0.5,
        "age_band_accuracy": 0.75,
        "interval_coverage": 0.75,
        "gender_accuracy": 0.75,
        "ethnicity_accuracy": 0.5,
    }
    assert found["from_13_years"]["age_mae"] == pytest.approx((0 + 6 + 1) / 3, abs=1e-4)
    assert found["below_13_years"]["age_mae"] == 22
    assert baseline.measure(TRAINING, TEST[2:3], coverage=0.8)["from_13_years"] == {}


def test_the_baseline_rests_on_the_labels_that_there_are() -> None:
    training = np.array([(20, 0, MISSING, 29), (MISSING, 1, MISSING, MISSING), (40, 1, MISSING, 40)], np.uint8)
    test = np.array([(30, 0, 1, 30), (20, 1, MISSING, 29)], np.uint8)
    found = baseline.measure(training, test, coverage=0.8)
    # The middle between 24.5, the middle of a range, and 40.
    assert (found["years"], found["labels"]) == (32, {"gender": "female"})
    assert found["labelled"] == {"age": 2, "gender": 3, "ethnicity": 0}
    assert found["overall"]["age_mae"] == 2
    assert found["overall"]["age_range_distance"] == 3
    words = baseline.sentence({"baseline": found})
    assert "of which 2 have a label for age, 0 have a label for ethnicity." in words


def test_the_bundled_release_is_better_than_the_baseline_in_every_metric() -> None:
    measured = metrics.load(Path("function/model"))
    assert measured["baseline"]["faces"] == 16_708
    assert baseline.not_better(measured) == ""
    rows = {row.title: row for row in tables.beside_baseline(measured)}
    assert rows["age MAE"].baseline == "15.00 years"
    assert rows["gender accuracy"].baseline == "52.6 %"
    assert len(rows) == len(MEASURED)


def test_a_useless_model_passes_no_gate_without_a_word(
    challenger: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    release = Path(shutil.copytree(challenger, tmp_path / "release"))
    measured = json.loads((release / "metrics.json").read_text())
    for name in COMPARED:
        # As if it predicted what the baseline predicts.
        measured["overall"][name]["value"] = measured["baseline"]["overall"][name]
    (release / "metrics.json").write_text(json.dumps(measured))
    config = replace(PRESETS["smoke"].gate, age_mae=100.0, gender_accuracy=0.0, ethnicity_accuracy=0.0)
    (note,) = [note for note in gate(release, config).notes if note.startswith("Not better than")]
    assert all(spec.title in note for spec in COMPARED.values())
    assert main(["gate", "--work", str(tmp_path), "--preset", "default"]) == 1
    assert "Not better than the same prediction for every face: age MAE (" in capsys.readouterr().out
    for file in (release / "report.html", tmp_path / "comparison.md"):
        assert "Not better than the same prediction for every face" in file.read_text()


def test_the_baseline_is_beside_the_metrics_in_terminal_report_card_and_comment(challenger: Path) -> None:
    measured = metrics.load(challenger)
    words = baseline.sentence(measured)
    lines = tables.text(measured).splitlines()
    assert lines[0].split("  ")[-1] == "baseline"
    assert words in lines
    assert words in (challenger / "report.html").read_text()
    assert words in challenger.with_name("comparison.md").read_text()
    assert "| baseline, all | 1949 | 15.00 years | 34.5 % |" in Path("function/model/card.md").read_text()


def test_metrics_without_a_baseline_are_measured_again(challenger: Path, tmp_path: Path) -> None:
    release = Path(shutil.copytree(challenger, tmp_path / "release"))
    measured = json.loads((release / "metrics.json").read_text())
    del measured["baseline"]
    (release / "metrics.json").write_text(json.dumps(measured))
    with pytest.raises(StepError, match=r"an older version wrote .*metrics\.json, without a baseline; run"):
        metrics.load(release)
