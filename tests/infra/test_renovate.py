"""Renovate finds every image that this project names, so that none is left behind when digests are pinned."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import ROOT

CONFIG: dict[str, Any] = json.loads((ROOT / ".gitlab" / "renovate.json").read_text())
IMAGE = re.compile(
    r"(?<![\w/.-])(?:[a-z0-9.-]+\.io/)?(?:renovatebot/renovate|hashicorp/terraform|python|node):\d[\w.-]*"
)
# Renovate's own manager reads FROM and the ARG of a base image.
DOCKERFILE = re.compile(r"^(?:FROM|ARG TRAINING_BASE=) ?(\S+)", re.MULTILINE)


def files() -> list[Path]:
    places = [
        "Dockerfile",
        ".gitlab-ci.yml",
        "training/pipeline.yml",
        "training/pipelines/*.yml",
        "infra/*.sh",
        "infra/*.tf",
    ]
    return [path for place in places for path in sorted(ROOT.glob(place))]


def found(path: Path) -> set[str]:
    """Return the images that Renovate's managers find in a file, as `name:tag`."""
    text, name = path.read_text(), path.relative_to(ROOT).as_posix()
    if name == "Dockerfile":
        return {each for each in DOCKERFILE.findall(text) if ":" in each}
    matches = (
        match
        for manager in CONFIG["customManagers"]
        if any(re.search(pattern.strip("/"), name) for pattern in manager["managerFilePatterns"])
        for expression in manager["matchStrings"]
        # Python spells named groups in another way than JavaScript.
        for match in re.finditer(expression.replace("(?<", "(?P<"), text)
    )
    return {f"{match['depName']}:{match['currentValue']}" for match in matches}


@pytest.mark.parametrize("path", files(), ids=lambda path: path.relative_to(ROOT).as_posix())
def test_every_image_is_found(path: Path) -> None:
    assert found(path) >= set(IMAGE.findall(path.read_text()))


def test_images_are_found_with_a_digest_too() -> None:
    (expression,) = CONFIG["customManagers"][0]["matchStrings"]
    pinned = f"  PYTHON_IMAGE: python:3.11-trixie@sha256:{'0' * 64}"
    match = re.search(expression.replace("(?<", "(?P<"), pinned)
    assert match
    assert (match["currentValue"], match["currentDigest"]) == ("3.11-trixie", f"sha256:{'0' * 64}")


def test_there_are_images_to_find() -> None:
    assert len({image for path in files() for image in found(path)}) >= 4
    assert "docker:pinDigests" in CONFIG["extends"]
    assert {"dockerfile", "custom.regex", "terraform", "npm"} <= set(CONFIG["enabledManagers"])
