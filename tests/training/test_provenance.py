"""The manifest tells where a release comes from."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tarfile
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from tests.conftest import FUNCTION, ROOT
from tests.releases import release
from training import runs
from training.config import ConvertConfig, PrepareConfig
from training.faces import write_faces
from training.learning import provenance
from training.prepare import prepare
from training.presets import PRESETS

SMOKE = PRESETS["smoke"].train


def test_a_release_names_its_faces_its_machines_and_each_configuration(data: Path, challenger: Path) -> None:
    made = json.loads((challenger / "manifest.json").read_text())["provenance"]
    assert made["source"] == {"name": json.loads((data / "origin.json").read_text())["name"]}
    assert made["convert"] == json.loads(json.dumps(asdict(ConvertConfig())))
    assert made["devices"] == 1
    (trained,) = made["trained"]["on"]
    assert trained == made["converted"]
    assert trained["machine"]["cores"] == len(os.sched_getaffinity(0))
    assert trained["machine"]["gpus"] == []
    assert made["tools"] == trained["tools"]
    lock = ROOT / trained["lock"]["file"]
    assert lock.name == "requirements-cpu.txt"
    assert trained["lock"]["sha256"] == hashlib.sha256(lock.read_bytes()).hexdigest()


def test_gitlab_names_job_image_pipeline_and_commit(data: Path, trained: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("CI_JOB_URL", "CI_JOB_IMAGE", "CI_PIPELINE_URL", "CI_COMMIT_SHA"):
        monkeypatch.setenv(name, f"the {name}")
    made = provenance.provenance(data, trained, ConvertConfig(epoch=2))
    assert (made["converted"]["job"], made["converted"]["image"]) == ("the CI_JOB_URL", "the CI_JOB_IMAGE")
    assert (made["pipeline"], made["commit"]) == ("the CI_PIPELINE_URL", "the CI_COMMIT_SHA")
    assert made["convert"]["epoch"] == 2


def test_an_archive_of_faces_is_named_by_its_digest(tmp_path: Path) -> None:
    write_faces(tmp_path / "faces", 60)
    with tarfile.open(tmp_path / "faces.tar.gz", "w:gz") as tar:
        tar.add(tmp_path / "faces", "faces")
    prepare(tmp_path / "faces.tar.gz", tmp_path / "data", PrepareConfig(size=24, validation=0.2, test=0.2))
    assert json.loads((tmp_path / "data" / "origin.json").read_text()) == {
        "name": "faces.tar.gz",
        "sha256": hashlib.sha256((tmp_path / "faces.tar.gz").read_bytes()).hexdigest(),
    }


def test_releases_that_a_training_learns_from_are_named_by_their_digest(tmp_path: Path) -> None:
    teacher = str(shutil.copytree(FUNCTION / "model", tmp_path / "teacher"))
    provenance.remember(tmp_path, replace(SMOKE, init_from="faceres", teachers=(teacher,)))
    bundled = json.loads((FUNCTION / "model" / "manifest.json").read_text())
    known = {"version": bundled["version"], "sha256": bundled["model"]["sha256"]}
    assert json.loads((tmp_path / "making.json").read_text())["releases"] == {teacher: known}


def test_a_manifest_names_releases_by_version_and_digest_not_by_folder(
    data: Path, trained: Path, tmp_path: Path
) -> None:
    run = Path(shutil.copytree(trained, tmp_path / "model"))
    for name in ("teacher", "start"):
        (tmp_path / name).mkdir()
        for file, content in release(name).items():
            (tmp_path / name / file).write_bytes(content)
    teacher, start = str(tmp_path / "teacher"), str(tmp_path / "start")
    config = replace(runs.load(run).config, init_from=start, teachers=("bundled", teacher))
    runs.save(run, replace(runs.load(run), config=config))
    provenance.remember(run, config)
    made = provenance.provenance(data, run, ConvertConfig())
    assert str(tmp_path) not in json.dumps(made)
    assert (made["config"]["init_from"], made["config"]["teachers"]) == ("start", ["bundled", "teacher"])
    bundled = json.loads((FUNCTION / "model" / "manifest.json").read_text())
    assert made["trained"]["releases"] == {
        "start": {"version": "start", "sha256": hashlib.sha256(release("start")["model.tflite"]).hexdigest()},
        "bundled": {"version": bundled["version"], "sha256": bundled["model"]["sha256"]},
        "teacher": {"version": "teacher", "sha256": hashlib.sha256(release("teacher")["model.tflite"]).hexdigest()},
    }


def test_a_manifest_keeps_the_address_of_a_release_in_a_bucket() -> None:
    known = {"version": "7", "sha256": "ab" * 32}
    assert provenance._name("gs://releases/7", known) == "gs://releases/7"


def test_a_training_that_is_continued_names_every_machine(tmp_path: Path) -> None:
    for _ in range(3):
        provenance.remember(tmp_path, SMOKE)
    assert len(json.loads((tmp_path / "making.json").read_text())["on"]) == 3
