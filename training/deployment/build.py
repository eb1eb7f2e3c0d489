"""Build the function's image from function/ with Google's buildpack."""

from __future__ import annotations

import gzip
import hashlib
import io
import tarfile
import time
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path

from google.cloud import run_v2
from google.cloud.devtools import cloudbuild_v1

from training.deployment.clients import READING, calling, client
from training.deployment.config import DeployConfig
from training.deployment.resources import ServiceName
from training.errors import StepError
from training.registry.addresses import open_storage

# `gcloud run deploy` excludes the same files
IGNORED = ".gcloudignore"
# By default the buildpack compiles byte code that is valid for the files' modification times. The image export resets
# these times to 1980, so Python would recompile at every start. With this variable, Python validates by content hash.
BUILD_ENVIRONMENT = {"SOURCE_DATE_EPOCH": "315532801"}


@dataclass(frozen=True)
class BuiltImage:
    """An image built by Cloud Build."""

    uri: str
    """Address with digest: a tag may be moved by a later build, and Cloud Run would follow it."""
    base_image_uri: str
    """Base image, which Cloud Run patches without a rebuild."""
    source: str = ""
    """Digest of its source, as `source_digest` returns it."""


def archive(folder: Path) -> bytes:
    """Return the source as a reproducible .tar.gz: equal files give equal bytes."""
    files = io.BytesIO()
    with tarfile.open(fileobj=files, mode="w") as tar:
        for path in _included(folder):
            entry = tarfile.TarInfo(str(path.relative_to(folder)))
            entry.size = path.stat().st_size
            with path.open("rb") as content:
                tar.addfile(entry, content)
    return gzip.compress(files.getvalue(), mtime=0)


def source_digest(folder: Path) -> str:
    """Return the SHA-256 of what `archive` returns, shortened to 40 digits so that it fits a label."""
    return _digest(archive(folder))


def build(folder: Path, service: ServiceName, commit: str, config: DeployConfig) -> BuiltImage:
    """Upload the source, start the build and wait for the image.

    Raises:
        StepError: The upload failed, or the build failed or timed out. The message names the build log.
    """
    data = archive(folder)
    source = _digest(data)
    tag = f"{commit[:12] or 'unknown'}-{source[:12]}"
    object_name = f"{service.name}/{tag}.tar.gz"
    open_storage(f"gs://{service.source_bucket}").create(object_name, data)
    request = run_v2.SubmitBuildRequest(
        parent=service.location,
        storage_source=run_v2.StorageSource(bucket=service.source_bucket, object_=object_name),
        image_uri=f"{service.image}:{tag}",
        buildpack_build=run_v2.SubmitBuildRequest.BuildpacksBuild(
            base_image=config.base_image,
            function_target=config.target,
            enable_automatic_updates=True,
            environment_variables=BUILD_ENVIRONMENT,
        ),
        service_account=service.builder,
    )
    with calling(f"build of {object_name}"):
        submitted = client(run_v2.BuildsClient).submit_build(request=request)
    metadata = cloudbuild_v1.BuildOperationMetadata()
    submitted.build_operation.metadata.Unpack(cloudbuild_v1.BuildOperationMetadata.pb(metadata))
    built = _wait(metadata.build.name, config)
    if not built.results.images:
        raise StepError(f"the build {built.name} names no image; build log: {built.log_url}")
    return BuiltImage(f"{service.image}@{built.results.images[0].digest}", submitted.base_image_uri, source)


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:40]


def _wait(name: str, config: DeployConfig) -> cloudbuild_v1.Build:
    builds = client(cloudbuild_v1.CloudBuildClient)
    status = cloudbuild_v1.Build.Status
    deadline = time.monotonic() + config.build_seconds
    while True:
        with calling(f"build {name}"):
            build = builds.get_build(request=cloudbuild_v1.GetBuildRequest(name=name), retry=READING)
        if build.status == status.SUCCESS:
            return build
        if build.status not in (status.PENDING, status.QUEUED, status.WORKING):
            detail = build.status_detail or build.failure_info.detail
            raise StepError(f"the build ended with {status(build.status).name}: {detail}; build log: {build.log_url}")
        if time.monotonic() > deadline:
            raise StepError(f"the build did not finish within {config.build_seconds:.0f} s; build log: {build.log_url}")
        time.sleep(config.poll_seconds)


def _included(folder: Path) -> list[Path]:
    patterns = [line for line in (folder / IGNORED).read_text(encoding="utf-8").split() if not line.startswith("#")]
    return [
        path
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not any(_ignores(pattern, path.relative_to(folder)) for pattern in patterns)
    ]


def _ignores(pattern: str, path: Path) -> bool:
    """Match the gitignore rules used here: `folder/` at any depth, or a file name with wildcards."""
    if pattern.endswith("/"):
        return pattern.rstrip("/") in path.parts[:-1]
    return fnmatch(path.name, pattern)
