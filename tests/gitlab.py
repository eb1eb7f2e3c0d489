"""A local GitLab: a bare repository, and gitlab-ci-local, which runs the real .gitlab-ci.yml."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.conftest import ROOT

RUNNER = ROOT / "node_modules" / ".bin" / "gitlab-ci-local"
_TOOLS = {"git": "git", "rsync": "rsync", "node": "nodejs npm"}
_NODE = 20
# predefined variables that a test may set
_PREDEFINED = ("CI_COMMIT_BRANCH", "CI_COMMIT_TAG", "CI_PIPELINE_SOURCE", "CI_MERGE_REQUEST_TARGET_BRANCH_NAME")
_MERGE_REQUEST = {
    "CI_PIPELINE_SOURCE": "merge_request_event",
    "CI_MERGE_REQUEST_TARGET_BRANCH_NAME": "main",
}


# Isolation hides the files of earlier jobs, so that a missing artifact fails.
_ISOLATED = (
    "--force-shell-executor",
    "--shell-isolation",
    "--no-artifacts-to-source",
    "--variable",
    "GITLAB_OIDC_TOKEN=fake",
)


def require_runner() -> None:
    """Skip the test if pipelines cannot run, and name the missing packages."""
    missing = [package for tool, package in _TOOLS.items() if shutil.which(tool) is None]
    if missing:
        pytest.skip(f"cannot run pipelines; on Debian and Ubuntu: sudo apt-get install {' '.join(missing)}")
    version = subprocess.run(["node", "--version"], capture_output=True, text=True, check=True).stdout.strip()
    if int(version.removeprefix("v").partition(".")[0]) < _NODE:
        pytest.skip(f"cannot run pipelines: Node.js is {version}, gitlab-ci-local needs {_NODE}; Debian 13 has it")
    if not RUNNER.exists():
        pytest.skip("cannot run pipelines: `npm ci --ignore-scripts` installs gitlab-ci-local")


@dataclass(frozen=True)
class Pipeline:
    """Result of a pipeline."""

    passed: bool
    output: str
    """Interleaved output of all jobs."""
    logs: dict[str, str]
    """Output of each job, by name."""


@dataclass
class Project:
    """A bare repository, `origin`, and its clone, in which the pipelines run."""

    clone: Path
    environment: dict[str, str] = field(default_factory=dict)
    """Environment variables of the jobs, in addition to this process's."""
    variables: dict[str, str] = field(default_factory=dict)
    """CI/CD variables of the project."""

    def push(self, message: str, files: dict[str, str | bytes]) -> None:
        """Commit files, by path, and push them to the default branch.

        Afterwards origin/main is the previous commit: gitlab-ci-local compares with it, as GitLab compares with the
        commit before a push.
        """
        for path, content in files.items():
            target = self.clone / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(content if isinstance(content, bytes) else content.encode())
        before = self.git("rev-parse", "HEAD")
        self.git("add", "--all")
        self.git("commit", "--quiet", "--allow-empty", "--message", message)
        self.git("push", "--quiet", "origin", "HEAD:main")
        self.git("update-ref", "refs/remotes/origin/main", before)

    def jobs(self, branch: str | None = "main", **variables: str) -> dict[str, str]:
        """Return the jobs of a pipeline and when each runs. Without a branch it is a merge request pipeline."""
        done = self._run("--list-json", "--no-json-schema-validation", *self._options(branch, variables))
        assert done.returncode == 0, done.stdout + done.stderr
        return {job["name"]: job["when"] for job in json.loads(done.stdout) if job["when"] != "never"}

    def pipeline(self, *options: str, branch: str | None = "main", **variables: str) -> Pipeline:
        """Run the pipeline of the newest commit."""
        done = self._run(*_ISOLATED, *options, *self._options(branch, variables))
        logs = (self.clone / ".gitlab-ci-local" / "output").glob("*.log")
        return Pipeline(
            done.returncode == 0, done.stdout + done.stderr, {log.stem: log.read_text() for log in sorted(logs)}
        )

    def artifact(self, job: str, path: str) -> Path:
        """Return an artifact of a job of the latest pipeline."""
        return self.clone / ".gitlab-ci-local" / "artifacts" / job / path

    def git(self, *arguments: str) -> str:
        """Run git in the clone."""
        return _git(self.clone, *arguments)

    def _options(self, branch: str | None, variables: dict[str, str]) -> list[str]:
        given = self.variables | (_MERGE_REQUEST if branch is None else {"CI_COMMIT_BRANCH": branch}) | variables
        options = [option for name, value in given.items() for option in ("--variable", f"{name}={value}")]
        return [*options, *(["--unset-variable", "CI_COMMIT_BRANCH"] if branch is None else [])]

    def _run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        shutil.rmtree(self.clone / ".gitlab-ci-local" / "output", ignore_errors=True)
        # Another home directory: bash with a socket as input may read PATH from ~/.bashrc.
        environment = {**os.environ, "NO_COLOR": "1", "HOME": str(self.clone.parent), **self.environment}
        for name in ("PYTHONPATH", "MLFLOW_TRACKING_URI"):
            environment.pop(name, None)
        return subprocess.run(
            [RUNNER, "--ignore-predefined-vars", ",".join(_PREDEFINED), *arguments],
            cwd=self.clone,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )


def project(folder: Path) -> Project:
    """Create a project with this working copy as its first commit."""
    origin, clone = folder / "origin.git", folder / "clone"
    _git(folder, "init", "--quiet", "--bare", "--initial-branch=main", str(origin))
    _git(folder, "clone", "--quiet", str(origin), str(clone))
    for name in _git(ROOT, "ls-files", "--cached", "--others", "--exclude-standard").splitlines():
        if (ROOT / name).is_file() and not (ROOT / name).is_symlink():
            (clone / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, clone / name)
    made = Project(clone)
    made.git("config", "user.name", "Developer")
    made.git("config", "user.email", "developer@example.org")
    made.git("checkout", "--quiet", "-b", "main")
    made.git("add", "--all")
    made.git("commit", "--quiet", "--message", "Initial commit")
    made.git("push", "--quiet", "origin", "main")
    made.git("remote", "set-head", "origin", "main")
    return made


def _git(folder: Path, *arguments: str) -> str:
    done = subprocess.run(["git", *arguments], cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()
