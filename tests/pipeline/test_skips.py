"""Steps that have nothing to do say so, and run again after any change of data, code or configuration."""

from __future__ import annotations

import json
import os
import shutil
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from training import runs
from training.__main__ import main
from training.faces import write_faces

Run = Callable[..., str]
SHORT = ("--preset", "smoke", "--set", "epochs=2", "--set", "max_steps=3")


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    """Run a command in this process and return what it prints."""

    def command(*arguments: object, code: int = 0) -> str:
        ended = main([*map(str, arguments)])
        said = capsys.readouterr()
        assert ended == code, said.out + said.err
        return said.out + said.err

    return command


@pytest.fixture(scope="module")
def faces(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("faces")
    write_faces(folder, 120)
    return folder


@pytest.fixture(scope="module")
def prepared(faces: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A work folder after `prepare`."""
    work = tmp_path_factory.mktemp("prepared")
    assert main(["prepare", "--preset", "smoke", "--size", "48", "--data", str(faces), "--work", str(work)]) == 0
    return work


@pytest.fixture
def work(prepared: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(prepared, tmp_path / "work"))


def prepare(faces: Path, work: Path, *more: object) -> tuple[object, ...]:
    return ("prepare", "--preset", "smoke", "--size", 48, "--data", faces, "--work", work, *more)


def files(folder: Path) -> dict[str, int]:
    """Return when each file was written."""
    return {f"{path}": path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}


def with_other_code(record: Path) -> None:
    """Change a record as if a module had been different."""
    found = json.loads(record.read_text())
    name = next(iter(found["inputs"]["code"]))
    found["inputs"]["code"][name] = "different"
    record.write_text(json.dumps(found))


def test_prepare_does_nothing_a_second_time(run: Run, faces: Path, work: Path) -> None:
    before = files(work)
    said = run(*prepare(faces, work))
    assert said == f"nothing to do: {work / 'data'} has these faces already; --force prepares again\n"
    # Another preset with the same configuration.
    assert "nothing to do" in run("prepare", "--preset", "default", "--size", 48, "--data", faces, "--work", work)
    assert files(work) == before


@pytest.mark.parametrize("change", ["added", "removed", "touched"])
def test_prepare_runs_again_after_a_change_of_the_faces(
    run: Run, faces: Path, work: Path, tmp_path: Path, change: str
) -> None:
    changed = Path(shutil.copytree(faces, tmp_path / "faces"))
    run(*prepare(changed, work))
    assert "nothing to do" in run(*prepare(changed, work))
    if change == "added":
        write_faces(changed, 121)
    elif change == "removed":
        min(changed.iterdir()).unlink()
    else:
        os.utime(min(changed.iterdir()), (0, 0))
    assert "runs again (changed: data)" in run(*prepare(changed, work))
    assert "nothing to do" in run(*prepare(changed, work))


def test_prepare_runs_again_with_other_options_other_code_or_by_force(run: Run, faces: Path, work: Path) -> None:
    assert "runs again (changed: size)" in run(*prepare(faces, work, "--size", 40))
    with_other_code(work / "data" / "key.json")
    assert "runs again (changed: " in run(*prepare(faces, work, "--size", 40))
    assert "runs again (--force)" in run(*prepare(faces, work, "--size", 40, "--force"))


@pytest.mark.parametrize("name", ["index.csv", "train-00000.labels.npy", "exploration/index.html"])
def test_prepare_runs_again_where_an_output_is_missing_or_edited(run: Run, faces: Path, work: Path, name: str) -> None:
    with (work / "data" / name).open("ab") as file:
        file.write(b"edited")
    assert f"runs again (changed: {work / 'data' / name})" in run(*prepare(faces, work))
    (work / "data" / name).unlink()
    assert f"runs again (missing: {work / 'data' / name})" in run(*prepare(faces, work))


def test_an_interrupted_prepare_is_not_done_and_the_former_one_still_is(
    run: Run, faces: Path, work: Path, tmp_path: Path
) -> None:
    before = files(work)
    broken = tmp_path / "faces.tar.gz"
    with tarfile.open(broken, "w:gz") as archive:
        archive.add(faces, "faces")
    whole = broken.read_bytes()
    broken.write_bytes(whole[: len(whole) // 2])
    assert "damaged" in run(*prepare(broken, work), code=1)
    assert files(work) == before
    assert "damaged" in run(*prepare(broken, work), code=1)
    assert "nothing to do" in run(*prepare(faces, work))
    broken.write_bytes(whole)
    assert "runs again (changed: data)" in run(*prepare(broken, work))
    os.utime(broken, (0, 0))
    assert "nothing to do" in run(*prepare(broken, work))


def test_prepare_still_checks_the_expected_fingerprint(run: Run, faces: Path, work: Path) -> None:
    fingerprint = json.loads((work / "data" / "fingerprint.json").read_text())["sha256"]
    assert "nothing to do" in run(*prepare(faces, work, "--expect", fingerprint))
    assert f"has the fingerprint {fingerprint}, not ff" in run(*prepare(faces, work, "--expect", "ff"), code=1)


@pytest.fixture(scope="module")
def finished(prepared: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A work folder after every step."""
    work = tmp_path_factory.mktemp("finished") / "work"
    shutil.copytree(prepared, work)
    for step in (
        ("train", *SHORT),
        ("convert",),
        ("evaluate",),
        ("gate", "--override", "a test", "--by", "me"),
        ("publish", "--registry", str(work.parent / "registry")),
    ):
        assert main([*step, "--work", str(work)]) == 0
    return work


@pytest.fixture
def complete(finished: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(finished, tmp_path / "work"))


def test_no_step_does_anything_a_second_time(run: Run, faces: Path, complete: Path, finished: Path) -> None:
    before = files(complete)
    assert "nothing to do" in run(*prepare(faces, complete))
    assert "nothing to do" in run("train", *SHORT, "--resume", "--work", complete)
    assert "nothing to do" in run("convert", "--work", complete)
    assert "nothing to do" in run("evaluate", "--work", complete)
    assert files(complete) == before
    run("gate", "--work", complete, "--override", "a test", "--by", "me")
    run("publish", "--work", complete, "--registry", finished.parent / "registry")
    # Gate and publication are part of the release, and none of the steps before them sees them.
    assert "nothing to do" in run("convert", "--work", complete)
    assert "nothing to do" in run("evaluate", "--work", complete)


@pytest.mark.slow
def test_another_training_makes_every_later_step_run(run: Run, complete: Path) -> None:
    other = ("train", *SHORT, "--set", "seed=2", "--work", complete, "--resume")
    said = run(*other, code=1)
    assert "a complete training that is another one (changed: seed)" in said
    assert "--restart" in said
    assert "trains again (changed: seed)" in run(*other, "--restart")
    assert runs.load(complete / "model").config.seed == 2
    assert "nothing to do" in run(*other)
    assert "runs again (changed: " in run("convert", "--work", complete)
    assert "runs again (changed: " in run("evaluate", "--work", complete)
    assert "nothing to do" in run("evaluate", "--work", complete)


def test_other_data_is_another_training(run: Run, complete: Path, faces: Path) -> None:
    labels = complete / "data" / "train-00000.labels.npy"
    content = bytearray(labels.read_bytes())
    content[-1] ^= 1
    labels.write_bytes(content)
    assert "another one (changed: data)" in run("train", *SHORT, "--resume", "--work", complete, code=1)
    assert "runs again (changed: data)" in run("convert", "--work", complete)


def test_other_code_is_another_training(run: Run, complete: Path) -> None:
    with_other_code(complete / "model" / "key.json")
    assert "another one (changed: serving/" in run("train", *SHORT, "--resume", "--work", complete, code=1)


@pytest.mark.slow
def test_an_unfinished_training_is_resumed_only_by_the_code_that_began_it(run: Run, complete: Path) -> None:
    model = complete / "model"
    resume = ("train", *SHORT, "--resume", "--work", complete)

    def interrupt() -> None:
        runs.write_history(model, runs.history(model)[:1])
        (model / "epoch-0002.keras").unlink()
        (model / "key.json").unlink()

    interrupt()
    assert "resuming after epoch 1" in run(*resume)
    assert "nothing to do" in run(*resume)
    interrupt()
    config = json.loads((model / "config.json").read_text())
    (model / "config.json").write_text(json.dumps(config | {"key": "of other code"}))
    assert "by other code" in run(*resume, code=1)
    assert not (model / "key.json").exists()
    said = run(*resume, "--restart")
    assert "trains again" in said
    assert "resuming" not in said
    assert "nothing to do" in run(*resume)


def test_a_training_of_an_earlier_version_is_used_and_nothing_is_claimed_of_its_code(run: Run, complete: Path) -> None:
    model = complete / "model"
    (model / "key.json").unlink()
    config = json.loads((model / "config.json").read_text())
    del config["key"]
    (model / "config.json").write_text(json.dumps(config))
    assert "has this training already, complete" in run("train", *SHORT, "--resume", "--work", complete)
    assert not (model / "key.json").exists()


def test_a_missing_model_is_no_complete_training(run: Run, complete: Path) -> None:
    (complete / "model" / "best.keras").unlink()
    assert f"missing: {complete / 'model' / 'best.keras'}" in run(
        "train", *SHORT, "--resume", "--work", complete, code=1
    )


@pytest.mark.slow
@pytest.mark.parametrize("name", ["model.tflite", "weights.npz"])
def test_convert_runs_again_where_its_output_is_missing(run: Run, complete: Path, name: str) -> None:
    (complete / "release" / name).unlink()
    assert f"runs again (missing: {complete / 'release' / name})" in run("convert", "--work", complete)
    # The new release has no metrics.
    assert "runs again" in run("evaluate", "--work", complete)


@pytest.mark.slow
def test_convert_runs_again_for_another_epoch_and_by_force(run: Run, complete: Path) -> None:
    assert "runs again (changed: " in run("convert", "--work", complete, "--epoch", 1)
    assert "runs again (--force)" in run("convert", "--work", complete, "--epoch", 1, "--force")


def test_evaluate_runs_again_where_a_report_is_missing_or_a_metric_is_edited(run: Run, complete: Path) -> None:
    metrics, report = complete / "release" / "metrics.json", complete / "release" / "report.html"
    metrics.write_text(metrics.read_text().replace("9", "8", 1))
    assert f"runs again (changed: {metrics})" in run("evaluate", "--work", complete)
    report.unlink()
    assert f"runs again (missing: {report})" in run("evaluate", "--work", complete)
    assert "runs again (--force)" in run("evaluate", "--work", complete, "--force")


def test_evaluate_runs_again_for_another_champion(run: Run, complete: Path, finished: Path) -> None:
    registry = Path(shutil.copytree(finished.parent / "registry", complete.parent / "registry"))
    (version,) = (path.name for path in registry.glob("*-*") if path.is_dir())
    against = ("evaluate", "--work", complete, "--registry", registry)
    run(*against, "--first-release")
    assert "nothing to do" in run(*against, "--first-release")
    run("promote", "--registry", registry, version, "--allow-unsigned")
    assert "leave --first-release out" in run(*against, "--first-release", code=1)
    assert "runs again (changed: champion)" in run(*against)
    assert "nothing to do" in run(*against)
    assert "runs again (changed: champion)" in run("evaluate", "--work", complete, "--champion", registry / version)


def test_the_key_of_a_training_is_known_before_it(run: Run, complete: Path) -> None:
    known = json.loads((complete / "model" / "key.json").read_text())["key"]
    said = run("train-key", *SHORT, "--work", complete, "--env-file", complete / "train.env")
    assert said == f"{known}\n"
    assert (complete / "train.env").read_text() == f"TRAIN_DIGEST={known}\n"
    assert run("train-key", *SHORT, "--set", "seed=2", "--work", complete) != said


@pytest.mark.slow
def test_a_learning_curve_is_added_to_a_complete_training(run: Run, complete: Path) -> None:
    model = complete / "model"
    plain = run("train-key", *SHORT, "--work", complete)
    assert run("train-key", *SHORT, "--learning-curve", "--work", complete) != plain
    before = files(model)
    with_curve = ("train", *SHORT, "--resume", "--learning-curve", "--work", complete)
    said = run(*with_curve)
    assert "has this training already, complete" in said
    assert "training on a quarter of the faces" in said
    assert {path: files(model)[path] for path in before if "key.json" not in path} == {
        path: time for path, time in before.items() if "key.json" not in path
    }
    assert "nothing to do" in run(*with_curve)
    assert "nothing to do" in run("train", *SHORT, "--resume", "--work", complete)
    assert "nothing to do" in run("convert", "--work", complete)
    said = run("evaluate", "--work", complete)
    assert "runs again (changed: all, half, quarter)" in said
    assert "Too few test faces with a label for a curve" in said
    # A part whose network was lost is trained again, and nothing else is.
    (model / "curve" / "half" / "best.keras").unlink()
    said = run(*with_curve)
    assert "quarter of the faces already, complete" in said
    assert "training on a half of the faces" in said
    assert "nothing to do" in run(*with_curve)
