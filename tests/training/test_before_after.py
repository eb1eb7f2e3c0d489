"""The words that say what a fine-tuning brought."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from training import runs
from training.config import EvaluateConfig
from training.evaluate import evaluate
from training.evaluation import before_after
from training.evaluation.samples import ScoredSamples
from training.registry import releases

CONFIG = EvaluateConfig(paired_bootstrap=500)
HEADS = {"age", "gender", "ethnicity"}


def faces(ages: list[int], error: float, seed: int = 0) -> ScoredSamples:
    """Return predictions of men whose ages are wrong by `error` and some noise, with the right labels."""
    labels = np.array([(age, 0, 0, age) for age in ages], np.uint8)
    years = labels[:, 0] + error + np.random.default_rng(seed).uniform(0, 1, len(ages))
    choices = np.zeros((len(ages), 2), np.int64)
    return ScoredSamples(labels, years, years - 5, years + 5, choices, np.full((len(ages), 2), 0.9))


def words(before: ScoredSamples, after: ScoredSamples) -> list[str]:
    section = before_after.measure("1", before, after, HEADS, CONFIG)
    return before_after.words({"config": {"confidence": 0.95}, before_after.MEMBER: json.loads(json.dumps(section))})


def test_a_clear_change_is_told_with_its_interval() -> None:
    ages = [65] * 30
    better, worse = words(faces(ages, 8), faces(ages, 2, 1)), words(faces(ages, 2), faces(ages, 8, 1))
    assert better[0].startswith("On your 30 test faces age MAE went from 8.")
    assert "which is better (95 % interval of the difference: -6." in better[0]
    assert "which is worse" in worse[0]
    assert "Gender accuracy (100.0 % before, 100.0 % after, interval +0.0 to +0.0), " in better[0]


def test_no_clear_change_is_told_as_none() -> None:
    ages = [65] * 30
    (overall,) = words(faces(ages, 3), faces(ages, 3, 1))
    assert overall.startswith("On your 30 test faces age MAE (3.")
    assert overall.endswith(" did not change measurably.")


def test_small_groups_are_named_and_not_judged() -> None:
    ages = [65] * 30 + [30] * 5
    told = words(faces(ages, 8), faces(ages, 2, 1))
    assert told[-1] == "Too few faces to tell (fewer than 20): 20-39 years."
    assert not any(sentence.startswith("20-39") for sentence in told)
    assert [sentence for sentence in told if sentence.startswith("60+ years (30 faces): age MAE went from 8.")]


def test_too_few_faces_overall_are_told() -> None:
    assert words(faces([65] * 5, 8), faces([65] * 5, 2)) == [
        "5 test faces are too few to tell what changed; 20 are needed."
    ]


def started_from(folder: Path, uri: str, known: dict[str, Any]) -> None:
    """State in a manifest that its training started from `uri`."""
    path = folder / "manifest.json"
    manifest = json.loads(path.read_text())
    manifest["provenance"]["config"]["init_from"] = uri
    manifest["provenance"]["trained"]["releases"] = known
    path.write_text(json.dumps(manifest))


@pytest.fixture
def copy(challenger: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(challenger, tmp_path / "release"))


def test_the_report_opens_with_before_and_after(copy: Path, challenger: Path, data: Path) -> None:
    started_from(copy, str(challenger), {})
    measured = evaluate(data, copy.parent / "model", copy, CONFIG)
    assert measured[before_after.MEMBER]["version"] == releases.read(str(challenger)).version
    page = (copy / "report.html").read_text()
    assert 0 < page.index('<h2 id="before-and-after">') < page.index('<h2 id="summary">')
    assert "did not change measurably" in page


def test_the_run_knows_the_address_of_the_release_that_the_manifest_names(
    copy: Path, challenger: Path, trained: Path
) -> None:
    stored = releases.read(str(challenger))
    started_from(
        copy, stored.version, {stored.version: {"version": stored.version, "sha256": stored.digest("model.tflite")}}
    )
    run = Path(shutil.copytree(trained, copy.parent / "model"))
    before = runs.load(run)
    runs.save(run, replace(before, config=replace(before.config, init_from=str(challenger))))
    release = releases.read(str(copy)).served()
    found = before_after.initial(release, run)
    assert found
    assert (found.version, found.obstacle) == (stored.version, "")
    without = before_after.initial(release, copy.parent / "nowhere")
    assert without
    assert "cannot be evaluated" in without.obstacle


def test_a_training_from_no_release_has_no_such_section(challenger: Path) -> None:
    assert "before-and-after" not in (challenger / "report.html").read_text()


@pytest.mark.parametrize(
    ("moved", "known", "message"),
    [(True, {}, "cannot be evaluated"), (False, {"version": "7", "sha256": "0" * 64}, "is another release now")],
)
def test_a_missing_or_other_initial_release_is_told(
    copy: Path, challenger: Path, data: Path, moved: bool, known: dict[str, str], message: str
) -> None:
    uri = str(copy.parent / "nowhere") if moved else str(challenger)
    started_from(copy, uri, {uri: known} if known else {})
    measured = evaluate(data, copy.parent / "model", copy, CONFIG)
    assert message in before_after.words(measured)[0]
    assert message in (copy / "report.html").read_text()
