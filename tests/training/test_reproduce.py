"""The commands that make a release again are those that differ from its preset, and what is not there is said."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest

from tests import releases
from tests.conftest import FUNCTION, ROOT
from training import reproduce
from training.__main__ import main, parser
from training.config import LARGEST_FACE, PrepareConfig
from training.data import alignment, shards
from training.errors import StepError
from training.presets import PRESETS
from training.registry.registry import Registry
from training.reproduction_report import Metric, ReproductionReport, compare

COMMIT = "0123456789abcdef0123456789abcdef01234567"


def manifest(preset: str = "smoke", commit: str = COMMIT, **config: Any) -> dict[str, Any]:
    """What a release tells of its making."""
    made = replace(PRESETS[preset].train, **config)
    return {
        "version": "20261125-0f84af41",
        "created": "2026-11-25T01:55:44+00:00",
        "model": {"sha256": "ab" * 32},
        "provenance": {
            "commit": commit,
            "preset": preset,
            "config": json.loads(json.dumps(asdict(made))),
            "data": {"sha256": "cd" * 32, "size": PRESETS[preset].prepare.size},
            "tools": {"python": "3.11.7"},
        },
    }


def stated(found: dict[str, Any]) -> dict[str, str]:
    """Return what a manifest tells of a release that its training learnt from."""
    return {"version": found["version"], "sha256": found["model"]["sha256"]}


def planned(release: dict[str, Any], data: str = "faces", registry: str = "") -> reproduce.Plan:
    return reproduce.plan(release, ROOT, reproduce.Dataset(data), Path("again"), registry)


@pytest.mark.parametrize(
    "garble",
    [
        lambda made: made.pop("provenance"),
        lambda made: made["provenance"].pop("data"),
        lambda made: made["provenance"]["data"].update(size="--work=/elsewhere"),
        lambda made: made["provenance"].update(config=[]),
        lambda made: made["provenance"].update(trained=[]),
        lambda made: made["model"].update(epoch="--work"),
        lambda made: made["provenance"].update(commit=7),
        lambda made: made["provenance"].update(preset=[]),
    ],
)
def test_a_garbled_manifest_is_a_sentence(garble: Callable[[dict[str, Any]], object]) -> None:
    made = manifest()
    garble(made)
    with pytest.raises(StepError, match="lacks or garbles"):
        planned(made)


@pytest.mark.parametrize("version", ["..", "../elsewhere", "/elsewhere", "a b"])
def test_a_local_release_with_a_path_as_its_version_is_refused(
    version: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = Path(shutil.copytree(FUNCTION / "model", tmp_path / "release"))
    found = json.loads((folder / "manifest.json").read_text(encoding="utf-8")) | {"version": version}
    (folder / "manifest.json").write_text(json.dumps(found), encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    before = sorted(tmp_path.rglob("*"))
    assert main(["reproduce", str(folder), "--run"]) == 1
    assert f"the version {version!r}" in capsys.readouterr().err
    assert sorted(tmp_path.rglob("*")) == before


def test_no_text_of_a_manifest_becomes_an_option() -> None:
    plan = planned(manifest(init_from="--resume", teachers=("--work=elsewhere",)))
    assert not {"--resume", "--work=elsewhere"} & set(plan.steps[1])
    assert len(plan.obstacles) == 2


def test_only_what_differs_from_the_preset_is_set() -> None:
    plan = planned(manifest(epochs=3, learning_rate=0.5, init_from="imagenet"))
    place = ["--work", str(Path("again").resolve())]
    set_here = ["--set", "epochs=3", "--set", "learning_rate=0.5", "--init-from=imagenet"]
    assert plan.obstacles == []
    assert plan.steps == [
        ["prepare", "--preset", "smoke", "--data", str(Path("faces").resolve()), *place],
        ["train", "--preset", "smoke", *set_here, *place],
        ["convert", *place],
        ["evaluate", *place],
    ]


def test_another_size_and_another_epoch_are_asked_for() -> None:
    release = manifest()
    release["provenance"]["data"]["size"] = 64
    release["model"]["epoch"] = 2
    prepare, _, convert, _ = planned(release).steps
    assert prepare[1:5] == ["--preset", "smoke", "--size", "64"]
    assert convert[1:3] == ["--epoch", "2"]


def test_photographs_are_aligned_again() -> None:
    release = manifest()
    release["provenance"]["data"]["alignment"] = alignment.identity(PrepareConfig(align=True, faces=LARGEST_FACE))
    assert planned(release).steps[0][3:5] == ["--align", "--faces=largest"]


def test_every_preset_is_planned_as_it_is() -> None:
    for name in PRESETS:
        plan = planned(manifest(name))
        assert [step[:-2] for step in plan.steps[1:]] == [["train", "--preset", name], ["convert"], ["evaluate"]]
        assert plan.obstacles == []


def test_a_teacher_that_has_been_published_is_taken_from_the_registry(tmp_path: Path) -> None:
    registry = Registry(str(tmp_path / "registry"))
    releases.publish(registry, "7")
    known = stated(registry.read("7").manifest)
    # A former version named folders.
    for name in ("7", "build/teacher/release"):
        release = manifest(teachers=(name,))
        release["provenance"]["trained"] = {"releases": {name: known}}
        (obstacle,) = planned(release).obstacles
        assert obstacle.startswith(f"it was trained with release 7, SHA-256 {known['sha256']}, which is missing")
        plan = planned(release, registry=registry.uri)
        assert plan.obstacles == []
        assert plan.steps[1][3] == f"--teacher={tmp_path}/registry/7"
    known["sha256"] = "ef" * 32
    assert "which is missing" in planned(release, registry=registry.uri).obstacles[0]


def test_a_release_that_is_bundled_now_is_taken_from_there(tmp_path: Path) -> None:
    known = stated(json.loads((FUNCTION / "model" / "manifest.json").read_text()))
    release = manifest(init_from="bundled", teachers=("bundled", known["version"]))
    release["provenance"]["trained"] = {"releases": {"bundled": known, known["version"]: known}}
    wanted = ["--init-from=bundled", "--teacher=bundled", "--teacher=bundled"]
    plan = planned(release)
    assert (plan.steps[1][3:6], plan.obstacles) == (wanted, [])
    # In a commit from before it was bundled, whose tree has no release here.
    shutil.copytree(ROOT / "training", tmp_path / "training")
    shutil.copytree(FUNCTION, tmp_path / "function", ignore=shutil.ignore_patterns("model"))
    plan = reproduce.plan(release, tmp_path, reproduce.Dataset("faces"), Path("again"), "")
    here = FUNCTION / "model"
    assert plan.steps[1][3:6] == [f"--init-from={here}", f"--teacher={here}", f"--teacher={here}"]
    known["sha256"] = "ef" * 32
    (missing,) = planned(release).obstacles
    assert missing.startswith(f"it was trained with release {known['version']}, SHA-256 {'ef' * 32}, which is missing")


def test_a_bundled_release_of_another_commit_is_taken_from_the_registry(tmp_path: Path) -> None:
    registry = Registry(str(tmp_path / "registry"))
    releases.publish(registry, "7")
    release = manifest(init_from="bundled")
    release["provenance"]["trained"] = {"releases": {"bundled": stated(registry.read("7").manifest)}}
    assert len(planned(release).obstacles) == 1
    assert planned(release, registry=registry.uri).steps[1][3] == f"--init-from={tmp_path}/registry/7"


def test_another_release_in_the_place_of_a_teacher_is_not_taken(tmp_path: Path) -> None:
    shutil.copytree(FUNCTION / "model", tmp_path / "teacher")
    uri = str(tmp_path / "teacher")
    release = manifest(teachers=(uri,))
    assert planned(release).obstacles == []
    release["provenance"]["trained"] = {"releases": {uri: {"version": "1", "sha256": "ef" * 32}}}
    assert "which is missing" in planned(release).obstacles[0]


@pytest.mark.parametrize(
    ("release", "said"),
    [
        (manifest(commit=f"{COMMIT}+"), "the working copy had uncommitted changes"),
        (manifest(augmentation=None), "no option sets augmentation to None"),
        (manifest(teachers=("build/teacher",)), "it was trained with build/teacher, an unknown release"),
    ],
)
def test_what_no_command_does_is_said_and_stops_a_run(release: dict[str, Any], said: str, tmp_path: Path) -> None:
    plan = planned(release)
    assert f"# not reproducible as it is: {said}" in reproduce.script(release, plan, tmp_path)
    with pytest.raises(StepError, match=f"20261125-0f84af41 cannot be reproduced: {said}"):
        reproduce.run(release, plan, tmp_path, tmp_path)


def test_a_run_asks_for_faces(tmp_path: Path) -> None:
    plan = planned(manifest(), data="")
    assert '--data "$DATA"' in reproduce.script(manifest(), plan, tmp_path)
    with pytest.raises(StepError, match="cannot be reproduced: --data is missing"):
        reproduce.run(manifest(), plan, tmp_path, tmp_path)


def test_a_script_does_nothing_that_a_manifest_hides_in_it(tmp_path: Path) -> None:
    release = manifest(architecture="small; touch /tmp/x")
    release["created"] = "today\ntouch /tmp/x"
    lines = reproduce.script(release, planned(release), tmp_path).splitlines()
    assert lines[0] == "# release 20261125-0f84af41 of today touch /tmp/x"
    assert any("--set 'architecture=small; touch /tmp/x'" in line for line in lines)


def labelled(given: bool, values: dict[str, str]) -> dict[str, Any]:
    """What a release tells of its making when its labels came from a table."""
    release = manifest()
    table = {"name": "labels.csv", "sha256": hashlib.sha256(b"table").hexdigest()}
    stated = {"tables": [table], "given": given, "columns": "age=AGE", "values": values, "group": "--work=elsewhere"}
    release["provenance"]["source"] = {"name": "faces", "labels": stated}
    return release


def test_a_table_beside_the_faces_is_found_again_with_its_options(tmp_path: Path) -> None:
    release = labelled(given=False, values={})
    plan = planned(release)
    assert plan.obstacles == []
    assert plan.steps[0][5:7] == ["--columns=age=AGE", "--group=--work=elsewhere"]
    options = parser().parse_args(plan.steps[0])
    assert (options.columns, options.group) == ("age=AGE", "--work=elsewhere")
    assert options.work == Path("again").resolve()
    assert "labels.csv" not in reproduce.script(release, plan, tmp_path)


def test_a_table_elsewhere_is_asked_for_and_checked(tmp_path: Path) -> None:
    values = {"name": "values.csv", "sha256": hashlib.sha256(b"values").hexdigest()}
    release = labelled(given=True, values=values)
    plan = planned(release)
    assert plan.steps[0][5:9] == ["--labels", "$LABELS", "--values", "$VALUES"]
    script = reproduce.script(release, plan, tmp_path)
    assert '--labels "$LABELS" --values "$VALUES"' in script
    assert f"# table of labels: labels.csv, SHA-256 {hashlib.sha256(b'table').hexdigest()}" in script
    with pytest.raises(StepError, match="cannot be reproduced: --labels is missing; --values is missing"):
        reproduce.run(release, plan, tmp_path, tmp_path)
    (tmp_path / "t.csv").write_bytes(b"table")
    (tmp_path / "v.csv").write_bytes(b"other values")
    dataset = reproduce.Dataset("faces", (str(tmp_path / "t.csv"),), str(tmp_path / "v.csv"))
    plan = reproduce.plan(release, ROOT, dataset, Path("again"), "")
    assert plan.steps[0][5:9] == ["--labels", str(tmp_path / "t.csv"), "--values", str(tmp_path / "v.csv")]
    (obstacle,) = plan.obstacles
    assert obstacle.startswith(f"{tmp_path}/v.csv: the release's faces were labelled with values.csv, SHA-256 ")


def test_the_other_faces_of_a_fine_tuning_are_asked_for_and_checked(data: Path, tmp_path: Path) -> None:
    release = manifest("finetune", other="/elsewhere/data")
    release["provenance"]["other"] = {"data": shards.fingerprint(data).stated(), "share": 1.0}
    plan = planned(release)
    assert plan.obstacles == []
    assert plan.steps[1][3:5] == ["--other", "$OTHER"]
    assert "/elsewhere" not in reproduce.script(release, plan, tmp_path)
    with pytest.raises(StepError, match="cannot be reproduced: --other is missing"):
        reproduce.run(release, plan, tmp_path, tmp_path)
    there = reproduce.plan(release, ROOT, reproduce.Dataset("faces", other=str(data)), Path("again"), "")
    assert (there.steps[1][3:5], there.obstacles) == (["--other", str(data)], [])
    release["provenance"]["other"]["data"]["sha256"] = "ef" * 32
    other = reproduce.plan(release, ROOT, reproduce.Dataset("faces", other=str(data)), Path("again"), "")
    assert other.obstacles == [f"{data} has other faces than the training, whose fingerprint is {'ef' * 32}"]


def test_names_of_files_are_asked_for_again_where_they_were(tmp_path: Path) -> None:
    release = manifest()
    release["provenance"]["source"] = {"name": "faces", "labels": {"names": True}}
    assert planned(release).steps[0][5:7] == ["--labels", "names"]


@pytest.mark.parametrize("commit", ["", "+", "main", "--help"])
def test_a_release_of_no_commit_is_not_repeated(commit: str) -> None:
    with (
        pytest.raises(StepError, match="a release that was made outside of a clone"),
        reproduce.checkout(manifest(commit=commit)),
    ):
        pass


def test_a_preset_that_the_commit_does_not_know_is_named() -> None:
    release = manifest()
    release["provenance"]["preset"] = "huge"
    with pytest.raises(StepError, match="the commit has no preset 'huge'; it has default, finetune, teacher"):
        planned(release)


def metric(repeated: float) -> Metric:
    return Metric("age_mae", 5.0, 4.8, 5.2, repeated)


@pytest.mark.parametrize(
    ("repetition", "holds", "said"),
    [
        (ReproductionReport(True, [metric(5.0)], []), True, "the model files are identical"),
        (
            ReproductionReport(False, [metric(5.1)], ["cores 4 then, 2 now"]),
            True,
            "the model files differ (cores 4 then, 2 now); all",
        ),
        (
            ReproductionReport(False, [metric(5.3)], []),
            False,
            "no known difference; GPUs and interrupted trainings are not",
        ),
        (ReproductionReport(False, [metric(float("nan"))], []), False, "OUTSIDE"),
    ],
)
def test_a_repetition_holds_to_the_bit_or_within_the_intervals(
    repetition: ReproductionReport, holds: bool, said: str
) -> None:
    assert repetition.holds is holds
    assert said in str(repetition)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda made: None, []),
        (lambda made: made["tools"].update(keras="1"), ["keras 1 then, "]),
        (lambda made: made["machine"].update(cores=64), ["cores 64 then, "]),
        (lambda made: made["lock"].update(sha256="0"), ["sha256 0 then, "]),
    ],
)
def test_a_repetition_says_what_was_not_as_it_was(
    challenger: Path, change: Callable[[dict[str, Any]], None], said: list[str]
) -> None:
    release = json.loads((challenger / "manifest.json").read_text())
    release["metrics"] = json.loads((challenger / "metrics.json").read_text())["overall"]
    change(release["provenance"]["trained"]["on"][-1])
    repetition = compare(release, challenger)
    assert repetition.same_model
    assert [changed[: len(start)] for changed, start in zip(repetition.changes, said, strict=True)] == said
    assert {metric.name for metric in repetition.metrics} >= {"age_mae", "gender_accuracy"}


def test_a_training_that_was_interrupted_is_told_of(challenger: Path) -> None:
    release = json.loads((challenger / "manifest.json").read_text())
    release["metrics"] = {}
    release["provenance"]["trained"]["on"] *= 3
    release["provenance"]["devices"] = 4
    assert compare(release, challenger).changes == [
        "the training was interrupted 2 times",
        "4 devices then, 1 now",
    ]
