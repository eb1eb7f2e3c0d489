"""infra/plan.sh with the real Terraform, its state in a bucket, and the identity of a job of GitLab.

The module is a small one of Terraform's own resources, since no provider is downloaded.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests import federation
from tests.emulator import Emulator
from tests.fake_gcp.access import planned
from tests.fake_gcp.errors import ApiError
from tests.fake_gcp.internet import internet
from tests.fake_gcp.server import cloud
from tests.infra.conftest import INFRA
from tests.strict_storage import strict

BUCKET = "faces-project-terraform"
ENVIRONMENT = "infrastructure"
BACKEND = 'terraform {\n  backend "gcs" {\n    prefix = "age-gender"\n  }\n}\n'
ADDRESS = "https://gitlab.com/group/age-gender/-/jobs/1"


@dataclass
class Job:
    """A job of GitLab beside a module that its owner has applied."""

    folder: Path
    environment: dict[str, str]
    owner: dict[str, str]

    def write(self, **resources: str) -> None:
        """Write the module: names of resources and their values."""
        blocks = [
            f'resource "terraform_data" "{name}" {{\n  input = "{value}"\n}}\n' for name, value in resources.items()
        ]
        (self.folder / "main.tf").write_text(BACKEND + "".join(blocks))

    def apply(self, **resources: str) -> None:
        """Apply a module as the project's owner does."""
        self.write(**resources)
        for command in (["init", f"-backend-config=bucket={BUCKET}"], ["apply", "-auto-approve"]):
            subprocess.run(["terraform", *command], cwd=self.folder, env=self.owner, check=True, capture_output=True)
        # A job starts in a fresh clone.
        shutil.rmtree(self.folder / ".terraform")

    def plan(self, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
        """Run the script as the job does."""
        command = ["sh", "plan.sh", *arguments]
        environment = self.environment | variables
        return subprocess.run(command, cwd=self.folder, env=environment, capture_output=True, text=True, check=False)

    def report(self) -> Any:
        """Return what GitLab's merge request shows."""
        return json.loads((self.folder / "build" / "plan.json").read_text())


@pytest.fixture(scope="module")
def google(program: str, emulator: Emulator, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """Serve Google Cloud with the grants of infra/. Yield the environment variables of its clients."""
    assert program
    folder = tmp_path_factory.mktemp("google")
    emulator.create_bucket(BUCKET)
    with (
        strict(emulator, planned()) as storage,
        cloud(folder) as running,
        internet(folder, {**running.hosts(), "storage.googleapis.com": storage.url}) as reached,
    ):
        yield reached


@pytest.fixture
def job(google: dict[str, str], emulator: Emulator, tmp_path: Path) -> Job:
    shutil.copy(INFRA / "plan.sh", tmp_path)
    (tmp_path / "build").mkdir()
    (tmp_path / federation.WRITTEN_AT).write_text(federation.job_token(ENVIRONMENT))
    credentials = tmp_path / "credentials.json"
    credentials.write_text(federation.credentials("infra"))
    own = {name: value for name, value in os.environ.items() if name != "TF_CLI_CONFIG_FILE"}
    gitlab = {
        "CI_DEFAULT_BRANCH": "main",
        "CI_JOB_URL": ADDRESS,
        "CI_PROJECT_ID": "4711",
        "CI_PROJECT_PATH": "group/age-gender",
        "CI_SERVER_URL": "https://gitlab.com",
        "GOOGLE_APPLICATION_CREDENTIALS": str(credentials),
        "GOOGLE_CLOUD_PROJECT": planned().project,
        "STATE_BUCKET": BUCKET,
        "TF_CLI_ARGS_init": "-no-color",
        "TF_CLI_ARGS_plan": "-no-color",
    }
    return Job(tmp_path, {**own, **google, **gitlab}, {**own, "STORAGE_EMULATOR_HOST": emulator.url})


def test_the_plan_counts_what_changes(job: Job) -> None:
    job.apply(kept="1", changed="1", gone="1")
    job.write(kept="1", changed="2", new="1")
    done = job.plan()
    assert done.returncode == 0, done.stderr
    assert "terraform_data.new will be created" in done.stdout
    assert job.report() == {"create": 1, "update": 1, "delete": 1}


def test_a_plan_without_changes_counts_none(job: Job) -> None:
    job.apply(kept="1")
    assert job.plan().returncode == 0
    assert job.report() == {"create": 0, "update": 0, "delete": 0}


def test_a_plan_in_other_words_is_an_error(job: Job) -> None:
    tools = job.folder / "tools"
    tools.mkdir()
    (tools / "terraform").write_text('#!/bin/sh\n[ "$1" != plan ] || exit 2\necho "One resource: more."\n')
    (tools / "terraform").chmod(0o755)
    done = job.plan(PATH=f"{tools}:{os.environ['PATH']}")
    assert done.returncode == 1
    assert "adapt infra/plan.sh" in done.stderr


def test_the_plan_leaves_the_state_alone(job: Job, emulator: Emulator) -> None:
    """Its identity may not even write the lock."""
    job.apply(kept="1")
    before = _objects(emulator)
    assert job.plan().returncode == 0
    assert _objects(emulator) == before
    for permission in ("create", "delete", "update"):
        with pytest.raises(ApiError, match="denied"):
            planned().require(["infra"], f"storage.objects.{permission}", f"bucket {BUCKET}")


def test_a_job_of_another_branch_reads_no_state(job: Job) -> None:
    job.apply(kept="1")
    token = federation.job_token(ENVIRONMENT, ref_protected="false", ref_path="refs/heads/feature")
    (job.folder / federation.WRITTEN_AT).write_text(token)
    done = job.plan()
    assert done.returncode == 1
    assert "rejected by the attribute condition" in done.stderr
    assert not (job.folder / "build" / "plan.json").exists()


def test_drift_fails_with_a_notice(job: Job) -> None:
    job.apply(kept="1")
    assert job.plan("drift").returncode == 0
    job.write(kept="2")
    with webhook() as hook:
        done = job.plan("drift", NOTICE_WEBHOOK=hook.address)
    assert done.returncode == 2
    assert "terraform_data.kept will be updated in-place" in done.stdout
    (notice,) = hook.received
    assert notice["text"].startswith("group/age-gender: Google Cloud is not as infra/ says")
    assert notice["text"].endswith(f"\n{ADDRESS}")


def test_drift_fails_without_a_webhook_that_answers(job: Job) -> None:
    job.apply(kept="1")
    job.write(kept="2")
    assert job.plan("drift").returncode == 2
    done = job.plan("drift", NOTICE_WEBHOOK="http://127.0.0.1:9/secret")
    assert done.returncode == 2
    assert "the notice could not be sent" in done.stderr
    assert "127.0.0.1:9" not in done.stdout + done.stderr


def test_an_error_is_no_drift(job: Job) -> None:
    (job.folder / "main.tf").write_text(BACKEND + "resource\n")
    with webhook() as hook:
        done = job.plan("drift", NOTICE_WEBHOOK=hook.address)
    assert done.returncode == 1
    assert hook.received == []


def _objects(emulator: Emulator) -> dict[str, str]:
    """Return the generations of the bucket's objects."""
    listed = httpx.get(f"{emulator.url}/storage/v1/b/{BUCKET}/o").raise_for_status().json()
    return {item["name"]: item["generation"] for item in listed["items"]}


@dataclass
class Webhook:
    """A server that takes notices."""

    address: str = ""
    received: list[Any] = field(default_factory=list)


@contextmanager
def webhook() -> Iterator[Webhook]:
    """Take notices; skip the test if the script cannot send them."""
    if shutil.which("wget") is None:
        pytest.skip("wget is not installed")
    hook = Webhook()

    class Taking(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            assert self.headers["Content-Type"] == "application/json"
            hook.received.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Be quiet."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Taking) as server:
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        hook.address = f"http://127.0.0.1:{server.server_address[1]}/hook"
        yield hook
        server.shutdown()
