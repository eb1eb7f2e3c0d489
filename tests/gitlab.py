"""A local GitLab: a bare repository, and gitlab-ci-local, which runs the real .gitlab-ci.yml."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.conftest import ROOT

FILE = ".gitlab-ci.yml"
TRAINING, DEPLOYMENT = "training/pipelines/training.yml", "training/pipelines/deployment.yml"
RUNNER = ROOT / "node_modules" / ".bin" / "gitlab-ci-local"
_TOOLS = {"git": "git", "rsync": "rsync", "node": "nodejs npm"}
_NODE = 20
# predefined variables that a test may set
_PREDEFINED = (
    "CI_COMMIT_BRANCH",
    "CI_COMMIT_TAG",
    "CI_PIPELINE_SOURCE",
    "CI_PROJECT_ID",
    "CI_MERGE_REQUEST_SOURCE_BRANCH_NAME",
    "CI_MERGE_REQUEST_SOURCE_PROJECT_ID",
    "CI_MERGE_REQUEST_TARGET_BRANCH_NAME",
)
_MERGE_REQUEST = {
    "CI_PIPELINE_SOURCE": "merge_request_event",
    "CI_MERGE_REQUEST_TARGET_BRANCH_NAME": "main",
}


# Isolation hides the files of earlier jobs, so that a missing artifact fails.
_ISOLATED = ("--force-shell-executor", "--shell-isolation", "--no-artifacts-to-source")


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
    scoped: dict[str, dict[str, Any]] = field(default_factory=dict)
    """CI/CD variables whose values depend on the environment of a job, and file variables."""

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

    def jobs(self, branch: str | None = "main", file: str = FILE, **variables: str) -> dict[str, str]:
        """Return the jobs of a pipeline and when each runs. Without a branch it is a merge request pipeline."""
        done = self._run("--list-json", "--file", file, *self._options(branch, variables))
        assert done.returncode == 0, done.stdout + done.stderr
        return {job["name"]: job["when"] for job in json.loads(done.stdout) if job["when"] != "never"}

    def pipeline(self, *options: str, branch: str | None = "main", **variables: str) -> Pipeline:
        """Run the pipeline of the newest commit."""
        done = self._run(*_ISOLATED, *options, *self._options(branch, variables))
        logs = (self.clone / ".gitlab-ci-local" / "output").glob("*.log")
        return Pipeline(
            done.returncode == 0, done.stdout + done.stderr, {log.stem: log.read_text() for log in sorted(logs)}
        )

    def delivery(self, branch: str = "main", **variables: str) -> Pipeline:
        """Run the job `plan` of the newest commit, then the child pipelines."""
        return self._children(self.pipeline("plan", branch=branch, **variables), FILE, branch, variables)

    def _children(self, parent: Pipeline, file: str, branch: str, variables: dict[str, str]) -> Pipeline:
        """Run the child pipelines of a pipeline that passed. A trigger job has the result of its child.

        A trigger job hands on the variables of its pipeline and those in the reports of the jobs that it needs.
        """
        jobs = self.jobs(branch, file, **variables)
        for name, job in _trigger_jobs(self.clone / file).items():
            if not parent.passed or jobs.get(name) != "on_success":
                continue
            given = variables | self._reported(job) | {"CI_PIPELINE_SOURCE": "parent_pipeline"}
            (included,) = job["trigger"]["include"]
            child = self.pipeline("--file", included["local"], branch=branch, **given)
            child = self._children(child, included["local"], branch, given)
            parent = Pipeline(child.passed, parent.output + child.output, parent.logs | child.logs)
        return parent

    def _reported(self, job: dict[str, Any]) -> dict[str, str]:
        """Return the variables that the needed jobs of a trigger job reported, none of a job that did not run."""
        needed = [each if isinstance(each, str) else each["job"] for each in job.get("needs", [])]
        reports = [self.artifact(name, ".gitlab-ci-reports/dotenv") for name in needed]
        lines = [line for report in reports for file in report.rglob("*.env") for line in file.read_text().splitlines()]
        return {name: value for name, _, value in (line.partition("=") for line in lines)}

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
        settings = self.clone.parent / ".gitlab-ci-local" / "variables.yml"
        settings.parent.mkdir(exist_ok=True)
        settings.write_text(yaml.safe_dump({"global": self.scoped}))
        # Another home directory: bash with a socket as input may read PATH from ~/.bashrc.
        environment = {**os.environ, "NO_COLOR": "1", "HOME": str(self.clone.parent), **self.environment}
        for name in ("PYTHONPATH", "MLFLOW_TRACKING_URI"):
            environment.pop(name, None)
        return subprocess.run(
            # Its copy of GitLab's schema is older than the one of `make check`.
            [RUNNER, "--no-json-schema-validation", "--ignore-predefined-vars", ",".join(_PREDEFINED), *arguments],
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


class Loader(yaml.SafeLoader):  # type: ignore[misc]  # the library has no types
    """Load !reference as a list."""


Loader.add_constructor("!reference", lambda loader, node: loader.construct_sequence(node))


def _trigger_jobs(file: Path) -> dict[str, dict[str, Any]]:
    """Return the jobs of a pipeline's file that start child pipelines."""
    jobs = yaml.load(file.read_text(), Loader)  # noqa: S506 - it is a SafeLoader
    return {name: job for name, job in jobs.items() if isinstance(job, dict) and "trigger" in job}


def _git(folder: Path, *arguments: str) -> str:
    done = subprocess.run(["git", *arguments], cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()
