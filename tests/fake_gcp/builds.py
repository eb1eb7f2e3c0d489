"""Fake Cloud Build: turn an uploaded source into an image, like the buildpack."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import tarfile
import threading
import uuid
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path

import httpx
from google.cloud import run_v2
from google.cloud.devtools import cloudbuild_v1
from google.longrunning import operations_pb2

from tests.conftest import ROOT
from tests.fake_gcp.errors import ApiError

PYTHON = ROOT / ".venv-run" / "bin" / "python"
BASE_IMAGES = ("python311", "python312", "python313")
# modification time that the image export sets: 1980-01-01T00:00:01Z
_EXPORTED = 315532801

Status = cloudbuild_v1.Build.Status


@dataclass(frozen=True)
class FakeImage:
    """A built source and its entry point."""

    folder: Path
    target: str
    storage: str
    """Address of the storage that it reads."""


@dataclass
class FakeBuilds:
    """All builds, and the images by address."""

    state: Path
    sources: str
    """Address of the storage as builds may read it."""
    releases: str
    """Address of the storage as revisions may read it."""
    images: dict[str, FakeImage] = field(default_factory=dict)
    _builds: dict[str, cloudbuild_v1.Build] = field(default_factory=dict)

    def submit(self, request: run_v2.SubmitBuildRequest) -> run_v2.SubmitBuildResponse:
        """Start a build."""
        _check(request)
        project = request.parent.split("/")[1]
        number = str(uuid.uuid4())
        build = cloudbuild_v1.Build(
            name=f"{request.parent}/builds/{number}",
            id=number,
            project_id=project,
            status=Status.QUEUED,
            log_url=f"https://console.cloud.google.com/cloud-build/builds/{number}",
            service_account=request.service_account,
        )
        self._builds[build.name] = build
        threading.Thread(target=self._run, args=(build, request), daemon=True).start()
        operation = operations_pb2.Operation(name=f"operations/build/{project}/{number}")
        metadata = cloudbuild_v1.BuildOperationMetadata(build=build)
        operation.metadata.Pack(cloudbuild_v1.BuildOperationMetadata.pb(metadata))
        base = f"us-central1-docker.pkg.dev/serverless-runtimes/google-22-full/runtimes/{BASE_IMAGES[0]}"
        return run_v2.SubmitBuildResponse(build_operation=operation, base_image_uri=base)

    def get(self, name: str) -> cloudbuild_v1.Build:
        """Return a build."""
        if name not in self._builds:
            raise ApiError(404, f"build {name} not found")
        return self._builds[name]

    def _run(self, build: cloudbuild_v1.Build, request: run_v2.SubmitBuildRequest) -> None:
        build.status = Status.WORKING
        folder = self.state / "images" / build.id
        try:
            _unpack(self.sources, request.storage_source, folder)
            _compile(folder, dict(request.buildpack_build.environment_variables))
        except _BuildError as error:
            shutil.rmtree(folder, ignore_errors=True)
            build.status_detail = str(error)
            build.status = Status.FAILURE
            return
        digest = f"sha256:{hashlib.sha256(build.id.encode()).hexdigest()}"
        repository = request.image_uri.rpartition(":")[0] or request.image_uri
        image = FakeImage(folder, request.buildpack_build.function_target, self.releases)
        # A tag means the newest build of it.
        self.images |= {request.image_uri: image, f"{repository}@{digest}": image}
        build.results.images = [cloudbuild_v1.BuiltImage(name=request.image_uri, digest=digest)]
        build.status = Status.SUCCESS


class _BuildError(Exception):
    pass


def _check(request: run_v2.SubmitBuildRequest) -> None:
    buildpack = request.buildpack_build
    project, region = request.parent.split("/")[1::2]
    if not request.storage_source.bucket or not request.storage_source.object_.endswith(".tar.gz"):
        raise ApiError(400, "storage_source must name a gzipped archive in a bucket")
    if buildpack.base_image not in BASE_IMAGES:
        raise ApiError(400, f"base_image {buildpack.base_image!r} is not one of {BASE_IMAGES}")
    if not buildpack.function_target:
        raise ApiError(400, "function_target is required for function builds")
    if not re.fullmatch(
        rf"{region}-docker\.pkg\.dev/{project}/[a-z0-9-]+/[a-z0-9-]+(:[\w.-]{{1,128}})?", request.image_uri
    ):
        raise ApiError(400, f"image_uri {request.image_uri!r} is no image in this project's Artifact Registry")
    if not re.fullmatch(r"projects/[^/]+/serviceAccounts/[^/@]+@[^/]+", request.service_account):
        raise ApiError(400, "service_account is not projects/PROJECT/serviceAccounts/EMAIL")


def _unpack(storage: str, source: run_v2.StorageSource, folder: Path) -> None:
    address = f"{storage}/storage/v1/b/{source.bucket}/o/{source.object_.replace('/', '%2F')}"
    found = httpx.get(f"{address}?alt=media&generation={source.generation}", timeout=30)
    if found.is_error:
        raise _BuildError(f"the source gs://{source.bucket}/{source.object_} cannot be read: {found.status_code}")
    folder.mkdir(parents=True)
    with tarfile.open(fileobj=BytesIO(found.content), mode="r:gz") as archive:
        archive.extractall(folder, filter="data")
    if not (folder / "main.py").is_file():
        raise _BuildError("missing main.py")
    requirements = folder / "requirements.txt"
    if not requirements.is_file() or not re.search(r"(?m)^functions-framework\b", requirements.read_text()):
        raise _BuildError("requirements.txt does not list functions-framework")


def _compile(folder: Path, environment: dict[str, str]) -> None:
    """Compile the source like the buildpack, and reset modification times like the image export."""
    compiled = subprocess.run(
        [PYTHON, "-m", "compileall", "-f", "-q", "."],
        cwd=folder,
        env={**environment, "PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        check=False,
    )
    if compiled.returncode:
        raise _BuildError(f"the source does not compile: {compiled.stdout.strip()[-500:]}")
    for path in folder.rglob("*"):
        os.utime(path, (_EXPORTED, _EXPORTED))
