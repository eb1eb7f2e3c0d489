"""Attestations of images: provenance and bill of materials of each build, signed like a release, in the registry."""

from __future__ import annotations

import hashlib
import os
import re
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

from training import sbom, slsa
from training.deployment.build import BUILD_ENVIRONMENT, BuiltImage, archive
from training.deployment.config import DeployConfig
from training.deployment.releases import ReleaseRef
from training.errors import StepError
from training.files import write_text
from training.git import commit
from training.registry.local import release_files
from training.registry.registry import IMAGES, Registry
from training.registry.signatures import SIGNATURE
from training.registry.signing import UNSIGNED, Signer, Trust, sign, verify
from training.registry.storage import every_file
from training.sbom import LOCK, SBOM_FILE, Model
from training.slsa import PROVENANCE_FILE, Build

_DIGEST = re.compile(r"(?P<name>.+)@sha256:(?P<digest>[0-9a-f]{64})", re.ASCII)


def attest(
    registry: Registry,
    image: BuiltImage,
    release: ReleaseRef,
    function: Path,
    config: DeployConfig,
    signer: Signer | None = None,
) -> None:
    """Write provenance and bill of materials of an image that was just built, and their signature.

    Each build writes into a folder of its own, since two builds of one source may give one image.

    Args:
        registry: Where they are written, as .images/DIGEST/BUILD.
        image: The image.
        release: Release that its first revision serves.
        function: Folder that it was built from.
        config: Configuration of the build.
        signer: Who signs, None for nobody.

    Raises:
        StepError: They cannot be signed or written.
    """
    name, digest = _parts(image.uri)
    now = datetime.now(UTC).isoformat(timespec="seconds")
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        write_text(folder / PROVENANCE_FILE, slsa.statement({name: digest}, _build(image, function, config, now)))
        model = Model(release.name, release.version, release.sha256)
        write_text(
            folder / SBOM_FILE, sbom.of_image(name, f"sha256:{digest}", now, function, image.base_image_uri, model)
        )
        if signer:
            sign(folder, signer)
        files = release_files(folder)
    build = f"{os.environ.get('CI_JOB_ID', 'manual')}-{time.time_ns():x}"
    for each in sorted(files, key=lambda each: each == SIGNATURE):
        registry.storage.create(f"{IMAGES}/{digest}/{build}/{each}", files[each])


def require(registry: Registry, image: str, trust: Trust) -> str:
    """Check that a trusted signer stated the provenance of an image, and return the signer.

    Args:
        registry: Where the image was attested.
        image: Address of the image with its digest.
        trust: The trusted signers. An image without attestation passes if releases without signature do.

    Raises:
        StepError: There is no attestation, or none of them is signed by a trusted signer and is about this image.
    """
    digest = _parts(image)[1]
    folder = f"{IMAGES}/{digest}"
    problem = f"{registry.uri} has none below {folder}"
    builds = sorted({file.name.split("/")[2] for file in registry.storage.files(folder)})
    for build in builds:
        try:
            return _signer(registry, f"{folder}/{build}", digest, trust)
        except StepError as error:
            problem = f"{error}"
    if trust.unsigned and not builds:
        return UNSIGNED
    raise StepError(f"no trusted signer attests the image sha256:{digest}: {problem}; build it again with `deploy`")


def _signer(registry: Registry, folder: str, digest: str, trust: Trust) -> str:
    """Return who signed the attestation in a folder, which must be about the image with that digest."""
    where = f"{registry.uri}/{folder}"
    files = {name: stored.data for name, stored in every_file(registry.storage, where, folder).items()}
    signer = verify(files, trust, f"the attestation {where}")
    try:
        stated = slsa.subjects(files[PROVENANCE_FILE])
    except (KeyError, ValueError) as error:
        raise StepError(f"{where} has no provenance: {error}") from error
    if list(stated.values()) != [digest]:
        raise StepError(f"{where} is about {', '.join(f'{name}@sha256:{sha}' for name, sha in stated.items())}")
    return signer


def _build(image: BuiltImage, function: Path, config: DeployConfig, finished: str) -> Build:
    parameters = {
        "source": "function",
        "functionTarget": config.target,
        "baseImage": config.base_image,
        "environment": BUILD_ENVIRONMENT,
    }
    return Build(
        kind="image",
        commit=commit(),
        job=os.environ.get("CI_JOB_URL", ""),
        parameters=parameters,
        materials=[
            slsa.configuration(parameters),
            slsa.material("function.tar.gz", hashlib.sha256(archive(function)).hexdigest()),
            slsa.material(f"function/{LOCK}", hashlib.sha256((function / LOCK).read_bytes()).hexdigest()),
            {"name": "base image", "uri": f"https://{image.base_image_uri}"},
        ],
        finished=finished,
        details={"runner": os.environ["CI_RUNNER_ID"]} if "CI_RUNNER_ID" in os.environ else {},
    )


def _parts(image: str) -> tuple[str, str]:
    """Return name and digest of an image."""
    found = _DIGEST.fullmatch(image)
    if found is None:
        raise StepError(f"the image {image} has no digest, so nothing can be known of it; build it with `deploy`")
    return found["name"], found["digest"]
