"""From metrics to a release: the gate, the card and publishing."""

from __future__ import annotations

import hashlib
import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from serving import release
from tests.conftest import ROOT
from tests.loglines import BUNDLED
from tests.signatures import digest, public
from training import slsa
from training.config import EvaluateConfig
from training.errors import StepError
from training.evaluate import evaluate
from training.evaluation import champion, metrics
from training.evaluation.report import local_report
from training.gate import gate
from training.presets import PRESETS
from training.publish import publish
from training.registry.local import release_files
from training.registry.registry import Registry
from training.registry.releases import BUNDLED_KEY
from training.registry.signing import Signer, Trust
from training.registry.storage import ConflictError

LENIENT = replace(PRESETS["smoke"].gate, age_mae=100.0, gender_accuracy=0.0, ethnicity_accuracy=0.0)


@pytest.fixture
def mine(challenger: Path, tmp_path: Path) -> Path:
    shutil.copytree(challenger, tmp_path / "release")
    return tmp_path / "release"


@pytest.mark.parametrize(
    ("change", "failed"),
    [
        ({}, []),
        ({"age_mae": 0.01}, ["age_mae"]),
        ({"gender_accuracy": 1.01, "ethnicity_accuracy": 1.01}, ["gender_accuracy", "ethnicity_accuracy"]),
        ({"age_within_5": 1.01, "gender_accuracy_from_13": 1.01}, ["age_within_5", "gender_accuracy_from_13"]),
        ({"coverage_error": -1.0}, ["interval_coverage_error"]),
        ({"calibration_error": -1.0}, ["gender_calibration_error", "ethnicity_calibration_error"]),
        ({"max_bytes": 10}, ["bytes"]),
    ],
)
def test_the_gate_names_what_fails(mine: Path, change: dict[str, float], failed: list[str]) -> None:
    assert gate(mine, replace(LENIENT, **change)).failed == failed  # type: ignore[arg-type]


def test_the_gate_looks_at_groups_with_enough_faces(mine: Path) -> None:
    path = mine / "metrics.json"
    measured = json.loads(path.read_text())
    shares = {"n": 60, "interval_coverage": {"value": 0.5}, "gender_accuracy": {"value": 0.4}}
    measured["by_age_band"][0] |= shares
    measured["by_gender_and_ethnicity_from_13_years"][0] |= shares
    measured["by_age_band"][1] |= {"n": 10, "interval_coverage": {"value": 0.0}}
    path.write_text(json.dumps(measured))
    checks = {check.name: check for check in gate(mine, replace(LENIENT, band_coverage=0.75, subgroup_gap=0.05)).checks}
    assert (checks["worst_band_coverage"].value, checks["worst_band_coverage"].passed) == (0.5, False)
    assert not checks["worst_subgroup_gap"].passed


def test_a_published_release_is_served_and_carries_its_card(mine: Path, tmp_path: Path) -> None:
    gate(mine, LENIENT)
    address = publish(mine, Registry(str(tmp_path / "registry")))
    served = release.load(address)
    assert served.manifest["metrics"]["age_mae"] == metrics.load(mine)["overall"]["age_mae"]
    card = (Path(address) / "card.md").read_text()
    assert "non-commercial research only" in card
    assert "| female |" in card
    assert "2024/1689" in card
    assert {path.name for path in Path(address).iterdir()} == {
        "card.md",
        "comparison.json",
        "gate.json",
        "manifest.json",
        "metrics.json",
        "model.tflite",
        "provenance.json",
        "report.html",
        "sbom.json",
        "weights.npz",
    }


def test_a_published_release_states_how_it_was_built_and_of_what(mine: Path, registry: Registry) -> None:
    gate(mine, LENIENT)
    found = registry.read(publish(mine, registry).rpartition("/")[2])
    subjects = ("manifest.json", "model.tflite", "weights.npz")
    assert slsa.subjects(found.files["provenance.json"]) == {name: found.digest(name) for name in subjects}
    definition = json.loads(found.files["provenance.json"])["predicate"]["buildDefinition"]
    materials = {each.get("name", "source"): each["digest"] for each in definition["resolvedDependencies"]}
    origin = found.manifest["provenance"]
    assert materials["source"] == {"gitCommit": origin["commit"].rstrip("+")}
    assert materials["faces"] == {"sha256": origin["data"]["sha256"]}
    lock = ROOT / "training" / "requirements-cpu.txt"
    assert materials["training/requirements-cpu.txt"] == {"sha256": hashlib.sha256(lock.read_bytes()).hexdigest()}
    assert definition["externalParameters"]["config"] == origin["config"]
    bill = json.loads(found.files["sbom.json"])
    model = bill["metadata"]["component"]
    assert [each["hashes"][0]["content"] for each in bill["components"]] == [origin["data"]["sha256"]]
    assert (model["version"], model["hashes"][0]["content"]) == (found.version, found.digest("model.tflite"))


def test_the_bundled_release_goes_as_it_is_into_a_registry_of_ones_own(registry: Registry, tmp_path: Path) -> None:
    release = Path(shutil.copytree(BUNDLED, tmp_path / "work" / "release"))
    version = publish(release, registry).rpartition("/")[2]
    assert registry.read(version, Trust(key=BUNDLED_KEY)).files == release_files(BUNDLED)


def test_a_signature_of_other_files_is_not_published(registry: Registry, tmp_path: Path) -> None:
    release = Path(shutil.copytree(BUNDLED, tmp_path / "work" / "release"))
    with (release / "report.html").open("a") as report:
        report.write("\n")
    version = publish(release, registry).rpartition("/")[2]
    assert registry.read(version).files.keys() == release_files(BUNDLED).keys() - {"model.sig"}


def test_a_signature_is_of_all_that_is_published(mine: Path, registry: Registry, ours: Path) -> None:
    gate(mine, LENIENT)
    version = publish(mine, registry, Signer(key=str(ours))).rpartition("/")[2]
    assert registry.read(version, Trust(key=public(ours))).signer == f"the key {digest(ours)}"
    assert set(registry.read(version).files) == {path.name for path in mine.iterdir()} >= {"manifest.json", "model.sig"}
    assert registry.read(version).manifest["provenance"]["evaluate"]["bootstrap"] == 200


def test_publishing_again_keeps_the_signature(mine: Path, registry: Registry, ours: Path, theirs: Path) -> None:
    gate(mine, LENIENT)
    version = publish(mine, registry, Signer(key=str(ours))).rpartition("/")[2]
    published = registry.read(version).files
    for signer in (Signer(key=str(ours)), Signer(key=str(theirs)), None):
        publish(mine, registry, signer)
        assert registry.read(version).files == published == release_files(mine)


def test_a_publisher_that_was_killed_after_signing_has_a_successor(mine: Path, registry: Registry, ours: Path) -> None:
    gate(mine, LENIENT)
    publish(mine, Registry(str(mine.parent / "elsewhere")), Signer(key=str(ours)))
    files, version = release_files(mine), json.loads((mine / "manifest.json").read_text())["version"]
    registry.begin(version, files)
    registry.storage.create(f"{version}/model.sig", files["model.sig"])
    publish(mine, registry, Signer(key=str(ours)))
    assert registry.read(version).files == files


def test_a_release_that_was_published_unsigned_may_be_signed_later(mine: Path, registry: Registry, ours: Path) -> None:
    gate(mine, LENIENT)
    version = publish(mine, registry).rpartition("/")[2]
    with pytest.raises(StepError, match="has no signature"):
        registry.read(version, Trust(key=public(ours)))
    publish(mine, registry, Signer(key=str(ours)))
    assert registry.read(version, Trust(key=public(ours))).signer == f"the key {digest(ours)}"


def test_a_signature_of_other_files_in_the_way_is_never_overwritten(mine: Path, registry: Registry, ours: Path) -> None:
    gate(mine, LENIENT)
    publish(mine, Registry(str(mine.parent / "elsewhere")), Signer(key=str(ours)))
    version = json.loads((mine / "manifest.json").read_text())["version"]
    registry.begin(version, release_files(mine))
    registry.storage.create(f"{version}/model.sig", (mine / "model.sig").read_bytes())
    (mine / "report.html").write_text("another report")
    with pytest.raises(ConflictError, match=r"model\.sig exists with other contents"):
        publish(mine, registry, Signer(key=str(ours)))
    assert registry.releases() == []


def test_the_report_needs_no_other_file_and_shows_no_face(challenger: Path) -> None:
    report = (challenger / "report.html").read_text()
    assert report.count("data:image/png;base64,") == 9
    assert "http" not in report
    assert "jpeg" not in report


def test_the_local_report_shows_faces_and_is_not_published(mine: Path, challenger: Path, tmp_path: Path) -> None:
    local = local_report(challenger)
    assert local.read_text().count("data:image/jpeg;base64,") > 24
    gate(mine, LENIENT)
    address = Path(publish(mine, Registry(str(tmp_path / "registry"))))
    assert not [path for path in address.iterdir() if b"image/jpeg" in path.read_bytes()]


def test_a_champion_is_shown_beside_the_release(data: Path, trained: Path, mine: Path) -> None:
    evaluate(data, trained, mine, EvaluateConfig(bootstrap=50), champion.named("function/model"))
    bundled = release.load("function/model")
    assert f"The champion is release {bundled.version}, scored on the same" in (mine / "report.html").read_text()


def test_a_release_that_did_not_pass_is_not_published(mine: Path, tmp_path: Path) -> None:
    gate(mine, replace(LENIENT, max_bytes=10))
    with pytest.raises(StepError, match="did not pass"):
        publish(mine, Registry(str(tmp_path / "registry")))
    assert Registry(str(tmp_path / "registry")).releases() == []


def test_a_release_without_a_verdict_is_not_published(mine: Path, tmp_path: Path) -> None:
    with pytest.raises(StepError, match="training gate"):
        publish(mine, Registry(str(tmp_path / "registry")))


def test_figures_of_another_model_do_not_count(mine: Path) -> None:
    manifest = json.loads((mine / "manifest.json").read_text())
    manifest["model"]["sha256"] = "0" * 64
    (mine / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(StepError, match="another model"):
        gate(mine, LENIENT)
