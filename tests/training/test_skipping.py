"""The key of a step: the same inputs and outputs mean nothing to do, anything else means to run."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import FUNCTION, ROOT
from training import skipping, sources
from training.data import readers
from training.faces import write_faces
from training.skipping import Step, contents


@pytest.fixture
def step(tmp_path: Path) -> Step:
    """A step that ended."""
    (tmp_path / "out" / "plots").mkdir(parents=True)
    for name in ("table.csv", "plots/a.png", "report.html"):
        (tmp_path / "out" / name).write_text(name)
    with (tmp_path / "large.npy").open("wb") as large:
        large.truncate(5 * 2**20)
    outputs = (tmp_path / "out" / "table.csv", tmp_path / "out" / "plots", tmp_path / "large.npy")
    inputs = {"data": "d", "code": {"training/a.py": "1", "training/b.py": "2"}, "configuration": {"size": (48, 48)}}
    made = Step(tmp_path / "key.json", inputs, outputs, (tmp_path / "out" / "report.html",))
    made.finish()
    return made


def test_a_step_that_ended_has_nothing_to_do(step: Step) -> None:
    assert step.reason() == ""
    assert json.loads(step.record.read_text())["key"] == step.key


def test_a_step_that_never_ended_runs(step: Step) -> None:
    step.record.unlink()
    assert step.reason() == f"{step.record} does not exist"


@pytest.mark.parametrize("content", ["", "{}", "[]", '{"inputs": {}'])
def test_a_damaged_record_is_none(step: Step, content: str) -> None:
    step.record.write_text(content)
    assert step.reason()


@pytest.mark.parametrize(
    ("changed", "named"),
    [
        ({"data": "e"}, "data"),
        ({"code": {"training/a.py": "1", "training/b.py": "3"}}, "training/b.py"),
        ({"code": {"training/a.py": "1"}}, "training/b.py"),
        ({"configuration": {"size": (48, 49)}}, "size"),
        ({"another": 1}, "another"),
    ],
)
def test_another_input_makes_the_step_run_and_is_named(step: Step, changed: skipping.Inputs, named: str) -> None:
    other = Step(step.record, step.inputs | changed, step.outputs, step.shared)
    assert other.reason() == f"changed: {named}"
    assert other.key != step.key


@pytest.mark.parametrize("name", ["out/table.csv", "out/plots/a.png", "large.npy", "out/report.html"])
def test_a_missing_output_makes_the_step_run(step: Step, name: str) -> None:
    (step.record.parent / name).unlink()
    assert step.reason() == f"missing: {step.record.parent / name}"


def test_an_edited_output_makes_the_step_run(step: Step) -> None:
    (step.record.parent / "out" / "table.csv").write_text("TABLE.csv")
    assert step.reason() == f"changed: {step.record.parent / 'out' / 'table.csv'}"


def test_a_truncated_large_output_makes_the_step_run(step: Step) -> None:
    os.truncate(step.record.parent / "large.npy", 5 * 2**20 - 1)
    assert "large.npy" in step.reason()


def test_later_steps_may_change_a_shared_output(step: Step) -> None:
    step.shared[0].write_text("with the gate's section")
    assert step.reason() == ""


def test_contents_change_with_names_and_bytes_alone(tmp_path: Path) -> None:
    record = tmp_path / "key.json"
    (tmp_path / "a.npy").write_bytes(b"1")
    (tmp_path / "b.txt").write_bytes(b"1")
    first = contents(tmp_path, "*.npy", record)
    os.utime(tmp_path / "a.npy", (0, 0))
    (tmp_path / "b.txt").write_bytes(b"2")
    assert contents(tmp_path, "*.npy", record) == first
    (tmp_path / "a.npy").write_bytes(b"2")
    second = contents(tmp_path, "*.npy", record)
    (tmp_path / "a.npy").rename(tmp_path / "c.npy")
    assert len({first, second, contents(tmp_path, "*.npy", record)}) == 3


def test_contents_are_the_same_with_a_record_and_without(step: Step) -> None:
    folder = step.record.parent
    assert contents(folder, "*.npy", step.record) == contents(folder, "*.npy", folder / "none.json")


def test_a_folder_of_faces_is_known_by_names_sizes_and_times(tmp_path: Path) -> None:
    write_faces(tmp_path / "faces", 5)
    (tmp_path / "faces" / "link.jpg").symlink_to("nowhere")
    states = [readers.state(tmp_path / "faces")]
    assert readers.state(tmp_path / "faces") == states[0]
    one, two, *_ = sorted((tmp_path / "faces").glob("*chip.jpg"))
    os.utime(one, ns=(0, one.stat().st_mtime_ns + 1))
    states.append(readers.state(tmp_path / "faces"))
    one.rename(one.with_suffix(".png"))
    states.append(readers.state(tmp_path / "faces"))
    two.unlink()
    states.append(readers.state(tmp_path / "faces"))
    assert len(set(states)) == len(states)


def test_an_archive_is_known_by_its_bytes(tmp_path: Path) -> None:
    archive = tmp_path / "faces.zip"
    archive.write_bytes(b"one")
    state = readers.state(archive)
    os.utime(archive, (0, 0))
    assert readers.state(archive) == state
    archive.write_bytes(b"two")
    assert readers.state(archive) != state


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the code, to be changed."""
    copy = tmp_path_factory.mktemp("tree")
    shutil.copytree(ROOT / "training", copy / "training", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(FUNCTION / "serving", copy / "function" / "serving", ignore=shutil.ignore_patterns("__pycache__"))
    return copy


def digests(tree: Path, step: str) -> dict[str, str]:
    program = f"import json; from training import sources; print(json.dumps(sources.digests('training.{step}')))"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(tree), str(tree / "function")])}
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=tree, env=environment, capture_output=True, text=True, check=True
    )
    found: dict[str, str] = json.loads(done.stdout)
    return found


@pytest.mark.parametrize(
    ("file", "added", "steps"),
    [
        ("training/data/archives.py", "\nNEW = 1\n", {"prepare"}),
        ("training/data/shards.py", "\nNEW = 1\n", {"prepare", "train", "convert", "evaluate"}),
        ("training/prepare.py", "\nNEW = 1\n", {"prepare"}),
        ("training/learning/losses.py", "\nNEW = 1\n", {"train"}),
        ("training/templates/report.html", "new", {"prepare", "convert", "evaluate"}),
        ("training/requirements-gpu.txt", "new", {"prepare", "train", "convert", "evaluate"}),
        ("function/serving/images.py", "\nNEW = 1\n", {"prepare", "train", "convert", "evaluate"}),
        ("function/serving/detection/*.tflite", "new", {"prepare", "convert"}),
        ("training/data/archives.py", "\n# A comment.\n", set()),
        ("training/data/archives.py", '\n"""A text that stands alone."""\n', set()),
        # Its values are in the configuration.
        ("training/presets.py", "\nNEW = 1\n", set()),
        ("training/gate.py", "\nNEW = 1\n", set()),
        ("training/deployment/service.py", "\nNEW = 1\n", set()),
        ("function/serving/middleware.py", "\nNEW = 1\n", set()),
    ],
)
def test_the_code_of_a_step_is_what_it_imports(tree: Path, file: str, added: str, steps: set[str]) -> None:
    path = min(tree.glob(file))
    before = {step: sources.digests(f"training.{step}") for step in ("prepare", "train", "convert", "evaluate")}
    content = path.read_bytes()
    path.write_bytes(content + added.encode())
    try:
        assert {step for step, found in before.items() if digests(tree, step) != found} == steps
    finally:
        path.write_bytes(content)
