"""Whom a challenger meets, in words and in the gate."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from serving import release
from serving.predictor import Predictor
from tests.emulator import Emulator
from training.__main__ import main
from training.config import EvaluateConfig
from training.evaluate import compare, evaluate, score
from training.evaluation import champion, comparison
from training.evaluation.gate_result import GateResult, Override
from training.evaluation.samples import ScoredSamples
from training.gate import gate
from training.presets import PRESETS
from training.publish import publish
from training.registry.local import release_files
from training.registry.registry import Registry

LENIENT = replace(PRESETS["smoke"].gate, age_mae=100.0, gender_accuracy=0.0, ethnicity_accuracy=0.0)
QUICK = EvaluateConfig(bootstrap=50)

Manifest = dict[str, Any]


def change(folder: Path, edit: Callable[[Manifest], None]) -> None:
    path = folder / "manifest.json"
    manifest = json.loads(path.read_text())
    edit(manifest)
    path.write_text(json.dumps(manifest))


def keep(_: Manifest) -> None:
    pass


def other_format(manifest: Manifest) -> None:
    manifest["format"] = 2


def other_data(manifest: Manifest) -> None:
    manifest["provenance"]["data"]["sha256"] = "f" * 64


def other_labels(manifest: Manifest) -> None:
    manifest["heads"]["ethnicity"]["labels"][-1] = "latino"


def turned_genders(manifest: Manifest) -> None:
    manifest["heads"]["gender"]["labels"].reverse()


@pytest.fixture
def work(data: Path, challenger: Path, tmp_path: Path) -> Path:
    """A folder of the steps' files, with a release that can be evaluated."""
    shutil.copytree(challenger, tmp_path / "release")
    (tmp_path / "data").symlink_to(data)
    return tmp_path


def in_production(work: Path, edit: Callable[[Manifest], None] = keep) -> champion.Champion:
    """What a registry says of its production release, which is an edited copy of this one."""
    registry = Registry(str(work / "registry"))
    shutil.copytree(work / "release", work / "registry" / "1")
    change(work / "registry" / "1", lambda manifest: manifest.update(version="1"))
    registry.promote("1")
    change(work / "registry" / "1", edit)
    return champion.in_production(registry)


@pytest.fixture(scope="module")
def predictions(data: Path, challenger: Path) -> ScoredSamples:
    return score(Predictor(release.load(str(challenger))), data)


@pytest.fixture
def meet(work: Path, predictions: ScoredSamples) -> Callable[[champion.Champion], GateResult]:
    """What the gate says after the release has met a champion; the report is left out."""

    def met(found: champion.Champion) -> GateResult:
        compare(found, release.load(str(work / "release")), predictions, work / "data", QUICK).save(work / "release")
        return gate(work / "release", LENIENT)

    return met


Meet = Callable[[champion.Champion], GateResult]


def test_the_first_release_meets_thresholds_only(work: Path, meet: Meet) -> None:
    found = meet(champion.in_production(Registry(str(work / "registry")), first_release=True))
    assert found.publishable
    assert found.champion == ""
    assert "has no production release yet: only the thresholds apply" in found.notes[0]
    assert not [check for check in found.checks if "all" in check.name.split(", ")]


def test_the_same_model_is_no_worse_and_said_to_be_the_same(work: Path, meet: Meet) -> None:
    found = meet(in_production(work))
    assert found.publishable
    assert found.champion == "1"
    assert found.notes[0] == "This release has the same model file as the champion."
    assert {"age_mae, all", "gender_accuracy, all"} <= {check.name for check in found.checks}


def test_a_worse_release_is_red_and_says_where(work: Path) -> None:
    # What production answers right about gender, this one answers wrong.
    production = in_production(work)
    change(work / "release", turned_genders)
    evaluate(work / "data", work / "model", work / "release", QUICK, production)
    found = gate(work / "release", LENIENT)
    assert not found.publishable
    assert "gender_accuracy, all" in found.failed
    assert "gender_accuracy, male" in found.failed
    assert not [name for name in found.failed if name.startswith(("age", "ethnicity"))]
    (line,) = [str(check) for check in found.checks if check.name == "gender_accuracy, all"]
    assert line.startswith("FAIL  gender accuracy, all")
    comment = (work / "comparison.md").read_text()
    assert "gate failed" in comment
    assert "- Worse, which fails the gate: gender accuracy " in comment
    for report in (work / "release" / "report.html", work / "release-report-with-faces.html"):
        page = report.read_text()
        assert "<strong>Failed:</strong>" in page
        assert page.count("worse</strong>") == len([name for name in found.failed if ", " in name]) - 1
        assert page.count('<h2 id="gate">') == 1


def test_a_champion_that_todays_code_cannot_read_closes_the_gate_until_somebody_opens_it(
    work: Path, meet: Meet
) -> None:
    found = meet(in_production(work, other_format))
    assert found.failed == ["fair_comparison"]
    assert "This code cannot run the production release" in found.notes[0]
    assert "has format 2" in found.notes[0]
    assert gate(work / "release", LENIENT, Override("ada", "the format is new")).publishable


def test_other_data_are_told_of(work: Path, meet: Meet) -> None:
    found = meet(in_production(work, other_data))
    assert found.publishable
    assert "trained on other data (fingerprint ffffffff" in " ".join(found.notes)
    assert "favours the champion" in " ".join(found.notes)


def test_other_labels_are_not_compared(work: Path, meet: Meet) -> None:
    found = meet(in_production(work, other_labels))
    assert found.publishable
    assert found.notes[0].startswith(
        "Ethnicity is not compared: the labels differ (white, black, asian, indian, latino"
    )
    assert not [check for check in found.checks if check.name.startswith("ethnicity_accuracy, ")]
    assert [check for check in found.checks if check.name == "age_mae, all"]


def test_a_champion_of_larger_faces_is_shown_but_does_not_count(work: Path, meet: Meet) -> None:
    found = meet(champion.named("function/model"))
    assert "fair_comparison" in found.failed
    assert "input has 160 pixels, but the images were prepared at 48" in " ".join(found.notes)
    assert (
        f"Compared with release {release.load('function/model').version}, the champion"
        in (work / "comparison.md").read_text()
    )


def test_a_champion_in_cloud_storage_is_met(work: Path, emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", emulator.url)
    registry = Registry(f"gs://{emulator.bucket}/champions")
    version = json.loads((work / "release" / "manifest.json").read_text())["version"]
    registry.publish(version, release_files(work / "release"))
    registry.promote(version)
    assert main(["evaluate", "--work", str(work), "--registry", registry.uri]) == 0
    sha256 = json.loads((work / "release" / "manifest.json").read_text())["model"]["sha256"]
    assert len(comparison.load(work / "release", sha256).overall()) == 4


def test_an_override_is_loud_named_and_published(
    work: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("GITLAB_USER_LOGIN", raising=False)
    judged = ["gate", "--work", str(work), "--preset", "default"]
    assert main(judged) == 1
    said = capsys.readouterr().out
    assert "gate failed: age MAE" in said
    assert "next steps: " in said
    assert main([*judged, "--override", "drawn faces"]) == 1
    assert "give --override REASON --by NAME" in capsys.readouterr().err
    assert main([*judged, "--override", " ", "--by", "ada"]) == 1
    monkeypatch.setenv("GITLAB_USER_LOGIN", "ada")
    assert main([*judged, "--override", "drawn faces"]) == 0
    said = capsys.readouterr().out
    assert "gate failed: age MAE" in said
    assert "GATE OVERRIDDEN by ada: drawn faces" in said
    assert "overridden by ada" in (work / "comparison.md").read_text()

    address = Path(publish(work / "release", Registry(str(work / "registry"))))
    kept = json.loads((address / "manifest.json").read_text())["gate"]
    assert kept["override"] == {"by": "ada", "reason": "drawn faces"}
    assert kept["passed"] is False
    assert "The gate failed, and ada overrode it: drawn faces." in (address / "card.md").read_text()
    assert "<strong>Failed, overridden by ada:</strong> drawn faces" in (address / "report.html").read_text()


def test_an_open_gate_records_no_override(work: Path) -> None:
    assert gate(work / "release", LENIENT, Override("ada", "to be sure")).override is None
    assert json.loads((work / "release" / "gate.json").read_text())["override"] is None
    publish(work / "release", Registry(str(work / "registry")))
    card = (work / "release" / "card.md").read_text()
    assert "The gate passed: all thresholds are met." in card


def test_two_champions_are_wrong_usage(work: Path) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["evaluate", "--work", str(work), "--registry", "here", "--champion", "function/model"])


def test_a_named_champion_that_is_not_there_stops_the_evaluation(
    work: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["evaluate", "--work", str(work), "--champion", "/nowhere"]) == 1
    assert "--champion expects the folder or gs:// address of a release" in capsys.readouterr().err


def test_gitlab_gets_the_figures_as_open_metrics(data: Path, work: Path) -> None:
    measured = evaluate(data, work / "model", work / "release", QUICK)
    *lines, last = (work / "metrics.txt").read_text().splitlines()
    assert last == "# EOF"
    found = {name: float(value) for name, value in (line.split(" ") for line in lines if line[0] != "#")}
    assert found["age_mae_years"] == measured["overall"]["age_mae"]["value"]
    assert found["model_bytes"] == (work / "release" / "model.tflite").stat().st_size
    assert {"gender_accuracy_ratio", "ethnicity_accuracy_ratio", "false_positive_ratio"} <= set(found)
    assert found["age_mae_from_21_to_60_years"] == measured["from_21_to_60_years"]["age_mae"]["value"]
    assert {
        "gender_accuracy_from_13_years_ratio",
        "age_mae_from_40_years",
        "gender_accuracy_below_13_years_ratio",
    } <= set(found)


def test_the_bundled_release_holds_what_the_gate_writes(tmp_path: Path) -> None:
    shutil.copytree("function/model", tmp_path / "release")
    found = gate(tmp_path / "release", PRESETS["default"].gate)
    assert found.publishable
    assert found.champion
    for name in ("gate.json", "report.html"):
        assert (tmp_path / "release" / name).read_text() == Path("function/model", name).read_text()
    verdict = json.loads(Path("function/model/gate.json").read_text())
    manifest = json.loads(Path("function/model/manifest.json").read_text())
    assert verdict == {"sha256": manifest["model"]["sha256"], **manifest["gate"]}
