"""A local GitLab, its runner, the buckets and Cloud Run."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from tests.conftest import ROOT
from tests.emulator import Emulator, cloud_storage
from tests.fake_gcp import tokens
from tests.fake_gcp.access import OWNER, planned
from tests.fake_gcp.internet import internet
from tests.fake_gcp.server import HOSTS
from tests.federation import ENVIRONMENTS, credentials, job_token
from tests.gitlab import Project, project
from tests.strict_storage import strict
from training.faces import draw, write_faces

PROJECT, REGION, NAME = planned().project, "europe-west1", "age-gender"
SERVICE = f"projects/{PROJECT}/locations/{REGION}/services/{NAME}"
_FACES, _WORK = f"{PROJECT}-faces", f"{PROJECT}-work"
# Enough training images for the smallest network.
FACES = 500
# Test image. Different models give different predictions of it.
FACE = draw(age=30, gender=1, ethnicity=2, seed=7)


@dataclass(frozen=True)
class Stage:
    """The running services."""

    gitlab: Project
    storage: Emulator
    google: str
    """Address of the fake Google Cloud."""

    def live(self) -> dict[str, Any]:
        """Return the service's response to a test image: the predictions and the model."""
        headers = {"Content-Type": "image/jpeg", **_owner(self.service()["uri"])}
        response = httpx.post(f"{self.google}/run/{NAME}/predict", content=FACE, headers=headers, timeout=60)
        assert response.status_code == 200, response.text
        found: dict[str, Any] = response.json()
        return found

    def traffic(self) -> dict[str, int]:
        """Return the percent of traffic of each revision."""
        statuses = self.service()["trafficStatuses"]
        return {each["revision"]: each["percent"] for each in statuses if each.get("percent")}

    def service(self) -> dict[str, Any]:
        """Return the service in the format of Google's API."""
        answer = httpx.get(f"{self.google}/v2/{SERVICE}", headers=_owner(tokens.ACCESS))
        found: dict[str, Any] = answer.raise_for_status().json()
        return found

    def production(self) -> str:
        """Return the version of the registry's production pointer, or ""."""
        found = httpx.get(f"{self.storage.url}/storage/v1/b/{self.storage.bucket}/o/production?alt=media")
        return "" if found.status_code == 404 else str(found.json()["version"])

    def manifest(self, version: str) -> dict[str, Any]:
        """Return the manifest of a release in the registry."""
        objects = f"{self.storage.url}/storage/v1/b/{self.storage.bucket}/o"
        found: dict[str, Any] = httpx.get(f"{objects}/{version}%2Fmanifest.json?alt=media").raise_for_status().json()
        return found


@contextmanager
def stage(folder: Path) -> Iterator[Stage]:
    """Start everything with a first commit, an archive of drawn faces and a placeholder service."""
    with ExitStack() as running:
        storage = running.enter_context(cloud_storage(f"{PROJECT}-releases"))
        for bucket in (_FACES, _WORK, f"run-sources-{PROJECT}-{REGION}"):
            storage.create_bucket(bucket)
        archive = _upload_faces(storage, folder)
        places = (running.enter_context(strict(storage, planned(), each)) for each in ("builder", "runtime"))
        google = running.enter_context(_google(folder / "google", *places))
        guarded = running.enter_context(strict(storage, planned()))
        hosts = {f"{name}.googleapis.com": google for name in HOSTS} | {"*.run.app": google}
        reached = running.enter_context(internet(folder, hosts | {"storage.googleapis.com": guarded.url}))
        gitlab = project(folder)
        gitlab.environment = reached | tools(folder)
        gitlab.scoped = _identities()
        gitlab.variables = {
            "DATA_BUCKET": f"gs://{_FACES}",
            "WORK_BUCKET": f"gs://{_WORK}",
            "DATASET_ARCHIVE": archive,
            "GOOGLE_CLOUD_PROJECT": PROJECT,
            "REGISTRY": f"gs://{storage.bucket}",
            "SERVICE": SERVICE,
            "PRESET": "smoke",
            "TRAIN_DEVICE": "any",
            "WATCH_MINUTES": "0.05",
            **_keys(folder),
        }
        yield Stage(gitlab, storage, google)


def _identities() -> dict[str, dict[str, Any]]:
    """Return the variables that identify a job to Google: its token, and the credential file for its environment."""
    environments = {"*": "", **{name: name for name in ENVIRONMENTS}}
    files = {scope: credentials("deployer" if name else "training") for scope, name in environments.items()}
    own = {scope: job_token(name) for scope, name in environments.items()}
    return {
        "GOOGLE_APPLICATION_CREDENTIALS": {"type": "file", "values": files},
        "GITLAB_OIDC_TOKEN": {"values": own},
    }


def _owner(audience: str) -> dict[str, str]:
    """Return the headers of the project's owner."""
    return {"Authorization": f"Bearer {tokens.issue(audience, members=[OWNER])}"}


def _keys(folder: Path) -> dict[str, str]:
    """Return a key pair that signs releases instead of GitLab's identity."""
    key = ec.generate_private_key(ec.SECP256R1())
    secret = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    public = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    variables = {}
    for name, content in (("SIGNING_KEY", secret), ("TRUSTED_KEY", public)):
        path = folder / f"{name}.pem"
        path.write_bytes(content)
        variables[name] = str(path)
    return variables


def _upload_faces(storage: Emulator, folder: Path) -> str:
    """Upload an archive of drawn faces to the bucket of faces. Return its name."""
    faces = folder / "faces"
    write_faces(faces, FACES)
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        archive.add(faces, "faces")
    address = f"{storage.url}/upload/storage/v1/b/{_FACES}/o?uploadType=media&name=faces.tar.gz"
    httpx.post(address, content=packed.getvalue(), timeout=30).raise_for_status()
    return "faces.tar.gz"


def tools(folder: Path) -> dict[str, str]:
    """Return the environment of jobs, with replacements of tools at the start of PATH.

    The test environment already contains every package, so `pip` only checks that the lock file exists and `apt-get`
    does nothing. `make` only prints commands, since `make test` runs these tests.
    """
    tools = folder / "tools"
    tools.mkdir()
    for name, script in (("pip", 'for last; do :; done; test -f "$last"'), ("apt-get", "true")):
        (tools / name).write_text(f"#!/bin/sh\n{script}\n")
        (tools / name).chmod(0o755)
    path = f"{tools}:{Path(sys.executable).parent}:{os.environ['PATH']}"
    # If a job finds the real `pip`, it must not install anything.
    return {"PATH": path, "MAKEFLAGS": "n", "PIP_NO_INDEX": "1", "PIP_REQUIRE_VIRTUALENV": "1"}


@contextmanager
def _google(state: Path, sources: Emulator, releases: Emulator) -> Iterator[str]:
    options = ("--state", str(state), "--sources", sources.url, "--releases", releases.url, "--service", SERVICE)
    command = [sys.executable, "-m", "tests.fake_gcp", *options]
    paths = os.pathsep.join((str(ROOT), str(ROOT / "function")))
    double = subprocess.Popen(
        command, cwd=ROOT, env={**os.environ, "PYTHONPATH": paths}, stdout=subprocess.PIPE, text=True
    )
    try:
        assert double.stdout
        url = double.stdout.readline().strip()
        assert url, "the fake Google Cloud did not start"
        yield url
    finally:
        double.terminate()
        double.wait(30)
