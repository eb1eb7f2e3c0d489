"""Candidates: their contents, and revisions that do not start."""

from __future__ import annotations

import importlib.util
import io
import re
import tarfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from tests.conftest import FUNCTION
from tests.deployment.conftest import FAST, FIRST, SECOND, Setup
from training.deployment import build
from training.deployment.deploy import add_candidate
from training.deployment.releases import find
from training.deployment.service import TrafficSplit, environment
from training.errors import StepError


def test_deploy_leaves_the_traffic_unchanged(setup: Setup) -> None:
    placeholder = setup.service.traffic().production
    first = setup.deploy(FIRST)
    assert setup.service.traffic() == TrafficSplit({placeholder: 100}, {"candidate": first, "production": placeholder})
    second = setup.deploy(SECOND)
    assert setup.service.traffic() == TrafficSplit({placeholder: 100}, {"candidate": second, "production": placeholder})


def test_revision_has_release_commit_and_the_settings_of_the_service(
    setup: Setup, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CI_COMMIT_SHA", "0123456789abcdef0123456789abcdef01234567")
    made = setup.service.revision(setup.deploy(SECOND, FUNCTION))
    before = setup.service.revision(setup.service.traffic().production)
    release = find(setup.registry, SECOND)
    assert environment(made) == {"HEADS": "age,gender", **release.pinned()}
    assert release.pinned().keys() == {"MODEL_URI", "MODEL_SHA256", "MANIFEST_SHA256"}
    assert made.labels["release"] == SECOND
    assert made.labels["commit"] == "0123456789abcdef0123456789abcdef01234567"
    # A retried job could overwrite a tag.
    assert re.fullmatch(r".+@sha256:[0-9a-f]{64}", made.containers[0].image)
    assert made.containers[0].base_image_uri.endswith("/python311")
    assert made.service_account == before.service_account
    # A name in the template would block later changes with Terraform.
    assert setup.service.read().template.revision == ""


def wrong_digest(setup: Setup) -> None:
    release = find(setup.registry, SECOND)
    add_candidate(setup.service, replace(release, sha256="0" * 64), setup.image)


def crash(setup: Setup) -> None:
    source = setup.changed_function("main.py", "API = Api(", 'raise RuntimeError("no")\nAPI = Api(')
    setup.deploy(function=source)


def syntax_error(setup: Setup) -> None:
    setup.deploy(function=setup.changed_function("main.py", "API = Api(SETTINGS", "API = Api((SETTINGS"))


@pytest.mark.parametrize(
    ("break_it", "said"),
    [
        (wrong_digest, "failed to start and listen.*MODEL_SHA256 pins 0000"),
        (crash, "failed to start and listen.*its log.*RuntimeError: no"),
        (syntax_error, "the build ended with FAILURE.*does not compile.*cloud-build/builds/"),
    ],
)
def test_deploy_reports_why_a_revision_does_not_start(
    setup: Setup, break_it: Callable[[Setup], None], said: str
) -> None:
    production = setup.go_live()
    before = setup.service.traffic()
    with pytest.raises(StepError, match=f"(?si){said}"):
        break_it(setup)
    assert setup.service.traffic() == before
    assert before.split == {production: 100}
    assert setup.served() == FIRST
    # The next deployment works.
    assert setup.service.traffic().tags["candidate"] != setup.deploy(SECOND)


def test_archive_is_reproducible_and_minimal() -> None:
    data = build.archive(FUNCTION)
    assert build.archive(FUNCTION) == data
    names = names_of(data)
    assert {"main.py", "requirements.txt", "serving/page/index.html"} <= names
    assert not [name for name in names if name.startswith("age_gender/") or name.endswith((".pyc", ".in"))]


def test_byte_code_in_the_image_is_validated_by_content(setup: Setup) -> None:
    """The image export resets modification times to 1980, which invalidates byte code validated by time."""
    image = build.build(FUNCTION, setup.service.name, "bytecode", FAST)
    folder = setup.fake_cloud.builds.images[image.uri].folder
    modules = list(folder.rglob("*.py"))
    assert modules
    for module in modules:
        compiled = Path(importlib.util.cache_from_source(str(module))).read_bytes()
        flags, digest = int.from_bytes(compiled[4:8], "little"), compiled[8:16]
        assert flags & 0b01, f"{module} is validated by time"
        assert digest == importlib.util.source_hash(module.read_bytes())


def names_of(data: bytes) -> set[str]:
    with tarfile.open(fileobj=io.BytesIO(data), mode="r:gz") as archive:
        return set(archive.getnames())
