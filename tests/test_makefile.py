"""The Makefile: `make help`, and error messages for wrong calls."""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from tests.conftest import LONGEST, ROOT
from training.presets import PRESETS

MAKEFILE = (ROOT / "Makefile").read_text()
# prerequisites of other targets
INTERNAL = {"faces-named", "tables-named", "preset-named", "port-free"}


def make(*arguments: str) -> subprocess.CompletedProcess[str]:
    # As called from a terminal, not from the `make` that runs these tests.
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))}
    return subprocess.run(["make", *arguments], cwd=ROOT, env=environment, capture_output=True, text=True, check=False)


def test_help_lists_every_target() -> None:
    phony = re.findall(r"^\.PHONY: (.+)$", MAKEFILE, re.MULTILINE)
    told = make("help").stdout
    explained = [line.split()[0] for line in told.splitlines() if len(line.split()) > 1]
    assert explained == [target for target in phony[0].split() if target not in INTERNAL]


def test_no_folder_of_tests_is_left_out() -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["pytest"]["ini_options"]
    modules = {path.relative_to(ROOT) for path in (ROOT / "tests").rglob("test_*.py")}
    folders = {"tests/test_*.py" if len(module.parts) == 2 else "/".join(module.parts[:2]) for module in modules}
    assert folders == set(settings["testpaths"])
    assert {f"tests/{name}" for name in LONGEST} <= {module.as_posix() for module in modules}


def test_continuous_integration_times_every_environment() -> None:
    environments = set(re.findall(r"^\w+_ENV := (\S+)$", MAKEFILE, re.MULTILINE))
    listed = re.search(r"^for environment in (.+); do$", (ROOT / ".ci" / "run").read_text(), re.MULTILINE)
    assert listed
    assert set(listed[1].split()) == environments


def test_a_commit_passes_make_check_first(tmp_path: Path) -> None:
    (tmp_path / "Makefile").write_text("check:\n\t@test ! -e bad\n")
    shutil.copy(ROOT / ".pre-commit-config.yaml", tmp_path)
    git = ["git", "-C", str(tmp_path), "-c", "user.name=tests", "-c", "user.email=tests@localhost"]
    # A commit hook that runs these tests sets GIT_ variables for its own repository.
    others = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    environment = others | {"PRE_COMMIT_HOME": str(tmp_path / "cache")}
    subprocess.run([*git, "init", "--quiet"], env=environment, check=True)
    pre_commit = Path(sys.executable).with_name("pre-commit")
    subprocess.run([pre_commit, "install"], cwd=tmp_path, env=environment, check=True, capture_output=True)

    def commit(file: str) -> int:
        (tmp_path / file).touch()
        subprocess.run([*git, "add", file, ".pre-commit-config.yaml"], env=environment, check=True)
        return subprocess.run(
            [*git, "commit", "--quiet", "--message", file], env=environment, check=False, capture_output=True
        ).returncode

    assert commit("good") == 0
    assert commit("bad") != 0


def refused(*arguments: str) -> str:
    """Return the error line of a refused call."""
    done = make(*arguments)
    assert done.returncode == 2
    assert done.stdout == ""
    said, by_make = done.stderr.splitlines()
    assert by_make.startswith("make: ***")
    return said


@pytest.mark.parametrize("port", ["abc", "70000", "-1"])
def test_an_invalid_port_is_refused(port: str) -> None:
    assert re.fullmatch(
        rf"port {port} cannot be used \(.+\); choose another: make run PORT=\d+", refused("run", f"PORT={port}")
    )


def test_a_busy_port_is_refused() -> None:
    with socket.socket() as taken:
        taken.bind(("", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert f"port {port} cannot be used (OSError: [Errno 98] Address already in use)" in refused(
            "run", f"PORT={port}"
        )


def test_missing_data_is_refused() -> None:
    assert refused("pipeline") == "make pipeline needs DATA=<folder, .tar, .tar.gz or .zip of faces>"
    assert refused("pipeline", "DATA=nowhere").startswith("DATA=nowhere does not exist; give ")
    assert refused("pipeline", "DATA=tests", "LABELS=Makefile a.csv") == (
        "a.csv does not exist; give a table of labels, or a file of values"
    )


def test_an_unknown_preset_is_refused_with_the_known_ones() -> None:
    said = refused("pipeline", "DATA=tests", "PRESET=nope")
    assert said == f"unknown PRESET=nope; choose {', '.join([*PRESETS][:-1])} or {[*PRESETS][-1]}"


def test_former_names_are_refused_with_the_new_ones() -> None:
    assert refused("pipeline", "DATA=tests", "PRESET=seed") == "PRESET=seed is now PRESET=baseline: rename it"
    assert refused("pipeline", "DATA=tests", "TRAIN=--resume") == "TRAIN is now TRAIN_ARGS: rename it"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["FROM=nowhere"], "FROM=nowhere is no release; give bundled, its folder, or its gs:// address"),
        (
            ["FROM=bundled", "PRESET=imagenet"],
            "FROM=bundled is a mobilenet_9, PRESET=imagenet trains another network;",
        ),
        (["FROM=bundled", "SIZE=96"], "FROM=bundled needs faces of 160 pixels, not SIZE=96; leave SIZE out"),
        (["OTHER=tests"], "OTHER=tests needs FROM=<release to fine-tune>, for example FROM=bundled"),
        (["FROM=bundled", "OTHER=tests"], "OTHER=tests is no output of prepare; give its folder data"),
    ],
)
def test_a_fine_tuning_that_cannot_work_is_refused(arguments: list[str], message: str) -> None:
    assert refused("pipeline", "DATA=tests", *arguments).startswith(message)


def test_a_fine_tuning_has_its_own_preset_and_needs_no_face_weights(tmp_path: Path) -> None:
    (tmp_path / "fingerprint.json").touch()
    told = make("-n", "pipeline", "DATA=tests", "FROM=bundled", f"OTHER={tmp_path}").stdout
    assert (
        f'train --work "build/finetune" --preset finetune --resume --init-from "bundled" --other "{tmp_path}"' in told
    )
    assert "npm" not in told


def test_the_pipeline_numbers_its_steps() -> None:
    steps = re.findall(r"'(\d/\d) ([a-z]+)'.* -m training ([a-z]+) ", make("-n", "pipeline", "DATA=tests").stdout)
    names = ("prepare", "train", "convert", "evaluate", "gate", "publish")
    assert steps == [(f"{number}/6", name, name) for number, name in enumerate(names, start=1)]
