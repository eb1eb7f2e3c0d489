"""The package as `make wheel` builds it: what it asks for, and that it works where it is installed."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import sysconfig
import tomllib
import venv
from pathlib import Path

import pytest

from tests.command import age_gender
from tests.conftest import ROOT
from tests.scripted_server import ANSWERED, DETECTED, scripted

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
PROGRAMS = Path(sys.executable).parent


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The programs of an environment that holds the wheel and nothing else."""
    folder = tmp_path_factory.mktemp("wheel")
    build: list[str | Path] = [PROGRAMS / "hatchling", "build", "--target", "wheel", "--directory", folder]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True)
    (wheel,) = folder.glob("*.whl")
    venv.create(folder / "venv", symlinks=True)
    install: list[str | Path] = [PROGRAMS / "uv", "pip", "install", "--offline", "--no-deps"]
    subprocess.run([*install, "--python", folder / "venv", wheel], check=True, capture_output=True)
    return folder / "venv" / "bin"


def run(*command: str | Path, packages: str = "", folder: Path) -> subprocess.CompletedProcess[str]:
    """Far from the working copy; `packages` is where those lie that the wheel asks for."""
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": packages}
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


def named(requirements: str) -> set[str]:
    lines = (ROOT / requirements).read_text().splitlines()
    return {line.split("==")[0] for line in lines if line and line[0] not in "#-"}


def test_the_version_is_the_newest_one_of_the_changelog() -> None:
    headings = re.findall(r"^## \[(\d.*?)\]", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert headings[0] == PROJECT["version"]


def test_the_extras_are_what_the_locks_are_made_of() -> None:
    extras = {name: set(wanted) for name, wanted in PROJECT["optional-dependencies"].items()}
    package = PROJECT["name"]
    assert extras == {
        "local": named("function/requirements.in"),
        "batch": {f"{package}[local]"} | named("function/requirements-batch.in"),
        "delivery": {f"{package}[local]"} | named("training/requirements-delivery.in"),
        "training": {f"{package}[delivery]"}
        | named("training/requirements.in")
        | named("training/requirements-cpu.in"),
    }


def test_both_commands_explain_themselves_without_any_other_package(installed: Path, tmp_path: Path) -> None:
    for command in ([installed / "age-gender"], [installed / "python", "-m", "training"]):
        told = run(*command, "--help", folder=tmp_path)
        assert told.returncode == 0, told.stderr
        assert "usage: " in told.stdout


def test_the_client_needs_no_other_package(installed: Path, face: bytes, tmp_path: Path) -> None:
    (tmp_path / "face.jpg").write_bytes(face)
    asking = (installed / "age-gender", "predict", "face.jpg", "--json")
    alone = run(*asking, folder=tmp_path)
    assert (alone.returncode, alone.stdout) == (3, "")
    assert "pip install '.[local]'" in alone.stderr
    with scripted(DETECTED, ANSWERED) as running:
        server = ("--url", running.url)
        for option in ((), ("--aligned",)):
            asked = run(*asking, *server, *option, folder=tmp_path)
            assert asked.returncode == 0, asked.stderr
            assert asked.stdout
        drawing = run(*asking, *server, "--annotate", "copies", folder=tmp_path)
    assert (drawing.returncode, drawing.stdout) == (3, "")
    assert "annotated copies need the packages of the function" in drawing.stderr
    assert not (tmp_path / "copies").exists()


def test_the_command_predicts_with_the_release_in_the_wheel(installed: Path, face: bytes, tmp_path: Path) -> None:
    (tmp_path / "face.jpg").write_bytes(face)
    (packages,) = (ROOT / ".venv-run" / "lib").glob("python*/site-packages")
    for option in ((), ("--aligned",)):
        asking = ("predict", tmp_path / "face.jpg", "--json", *option)
        done = run(installed / "age-gender", *asking, packages=str(packages), folder=tmp_path)
        assert done.stdout == age_gender(*asking).stdout != ""


def test_the_training_prepares_faces_with_what_the_wheel_holds(installed: Path, tmp_path: Path) -> None:
    packages = sysconfig.get_path("purelib")
    for step in (("draw", "faces"), ("prepare", "--preset", "smoke", "--data", "faces", "--work", "work")):
        done = run(installed / "python", "-m", "training", *step, packages=packages, folder=tmp_path)
        assert done.returncode == 0, done.stderr
    assert (tmp_path / "work" / "data" / "index.csv").exists()
