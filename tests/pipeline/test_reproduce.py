"""A release is made again from what its manifest says, by the commands a person types."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT
from training.faces import write_faces


def git(folder: Path, *arguments: str) -> str:
    author = ["-c", "user.name=tests", "-c", "user.email=tests@localhost"]
    return subprocess.run(
        ["git", "-C", str(folder), *author, *arguments], capture_output=True, text=True, check=True
    ).stdout.strip()


def training(clone: Path, *arguments: object) -> subprocess.CompletedProcess[str]:
    paths = [str(clone / "function"), str(clone), os.environ.get("PYTHONPATH", "")]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}
    # A pipeline's own commit is another one.
    environment.pop("CI_COMMIT_SHA", None)
    command = [sys.executable, "-m", "training", *map(str, arguments)]
    return subprocess.run(command, cwd=clone, env=environment, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The code as it is now, as the one commit of a repository."""
    folder = tmp_path_factory.mktemp("clone")
    for part in ("training", "function"):
        shutil.copytree(ROOT / part, folder / part, ignore=shutil.ignore_patterns("__pycache__"))
    (folder / ".gitignore").write_text("__pycache__\n")
    git(folder, "init", "--quiet")
    git(folder, "add", ".")
    git(folder, "commit", "--quiet", "--message", "everything")
    return folder


@pytest.mark.slow
def test_a_release_is_made_again_to_the_bit(clone: Path, tmp_path: Path) -> None:
    faces, work = tmp_path / "faces", tmp_path / "work"
    write_faces(faces, 200)
    for step in (
        ("prepare", "--preset", "smoke", "--data", faces, "--work", work),
        ("train", "--preset", "smoke", "--set", "epochs=1", "--set", "max_steps=5", "--work", work),
        ("convert", "--work", work),
    ):
        done = training(clone, *step)
        assert done.returncode == 0, done.stderr
    release, commit = work / "release", git(clone, "rev-parse", "HEAD")
    script = training(clone, "reproduce", release).stdout
    assert f"/source {commit}\n" in script
    assert "train --preset smoke --set epochs=1 --set max_steps=5 --work" in script

    again = training(clone, "reproduce", release, "--data", faces, "--run", "--work", tmp_path / "again")
    assert again.returncode == 0, again.stderr
    assert again.stdout.splitlines()[-1] == "the model files are identical"
    manifests = [json.loads((tmp_path / made / "release" / "manifest.json").read_text()) for made in ("work", "again")]
    assert [manifest["provenance"]["commit"] for manifest in manifests] == [commit, commit]
    assert git(clone, "worktree", "list").count("\n") == 0

    next(faces.iterdir()).unlink()
    other = training(clone, "reproduce", release, "--data", faces, "--run", "--work", tmp_path / "other")
    assert other.returncode == 1
    assert "use --data with the release's dataset" in other.stderr.splitlines()[-1]
    assert not (tmp_path / "other" / "model").exists()


def test_a_commit_that_is_not_there_is_told_of(clone: Path, tmp_path: Path) -> None:
    release = shutil.copytree(ROOT / "function" / "model", tmp_path / "release")
    done = training(clone, "reproduce", release)
    assert done.returncode == 1
    assert "git fetch --unshallow" in done.stderr.splitlines()[-1]
