"""A revision without traffic: what it is made of, and what becomes of one that does not start."""

from __future__ import annotations

import importlib.util
import io
import tarfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from tests.conftest import FUNCTION
from tests.deployment.conftest import FAST, FIRST, SECOND, Place
from training.deployment import build
from training.deployment.deploy import add_candidate
from training.deployment.releases import find
from training.deployment.service import TrafficSplit, environment
from training.errors import StepError


def test_the_traffic_stays_where_it_is(place: Place) -> None:
    placeholder = place.service.traffic().production
    first = place.deploy(FIRST)
    assert place.service.traffic() == TrafficSplit({placeholder: 100}, {"candidate": first, "production": placeholder})
    second = place.deploy(SECOND)
    assert place.service.traffic() == TrafficSplit({placeholder: 100}, {"candidate": second, "production": placeholder})


def test_a_revision_names_its_release_and_commit_and_keeps_the_services_settings(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CI_COMMIT_SHA", "0123456789abcdef0123456789abcdef01234567")
    made = place.service.revision(place.deploy(SECOND, FUNCTION))
    before = place.service.revision(place.service.traffic().production)
    release = find(place.registry, SECOND)
    assert environment(made) == {"HEADS": "age,gender", **release.pinned()}
    assert release.pinned().keys() == {"MODEL_URI", "MODEL_SHA256", "MANIFEST_SHA256"}
    assert made.labels["release"] == SECOND
    assert made.labels["commit"] == "0123456789abcdef0123456789abcdef01234567"
    assert ":0123456789ab-" in made.containers[0].image
    assert made.containers[0].base_image_uri.endswith("/python311")
    assert made.service_account == before.service_account
    # A name in the template would forbid Terraform to change anything else of it.
    assert place.service.read().template.revision == ""


def wrong_digest(place: Place) -> None:
    release = find(place.registry, SECOND)
    add_candidate(place.service, replace(release, sha256="0" * 64), place.image)


def crash(place: Place) -> None:
    source = place.changed_function("main.py", "RELEASE = INFERENCE", 'raise RuntimeError("no")\nRELEASE = INFERENCE')
    place.deploy(function=source)


def syntax_error(place: Place) -> None:
    place.deploy(function=place.changed_function("main.py", "ROUTES = _routes()", "ROUTES = _routes("))


@pytest.mark.parametrize(
    ("break_it", "said"),
    [
        (wrong_digest, "failed to start and listen.*MODEL_SHA256 pins 0000"),
        (crash, "failed to start and listen.*its? log.*RuntimeError: no"),
        (syntax_error, "the build ended with FAILURE.*does not compile.*cloud-build/builds/"),
    ],
)
def test_what_does_not_start_says_why_and_changes_nothing_for_users(
    place: Place, break_it: Callable[[Place], None], said: str
) -> None:
    production = place.go_live()
    before = place.service.traffic()
    with pytest.raises(StepError, match=f"(?si){said}"):
        break_it(place)
    assert place.service.traffic() == before
    assert before.split == {production: 100}
    assert place.served() == FIRST
    # Nor does it stand in the way of the next one.
    assert place.service.traffic().tags["candidate"] != place.deploy(SECOND)


def test_the_archive_is_what_the_function_needs_and_always_the_same() -> None:
    data = build.archive(FUNCTION)
    assert build.archive(FUNCTION) == data
    names = names_of(data)
    assert {"main.py", "requirements.txt", "serving/page/index.html"} <= names
    assert not [name for name in names if name.startswith("age_gender/") or name.endswith((".pyc", ".in"))]


def test_byte_code_in_the_image_outlives_the_times_of_its_files(place: Place) -> None:
    """The export of an image sets every file back to 1980, which invalidates byte code that goes by times."""
    image = build.build(FUNCTION, place.service.name, "bytecode", FAST)
    folder = place.double.builds.images[image.uri].folder
    modules = list(folder.rglob("*.py"))
    assert modules
    for module in modules:
        compiled = Path(importlib.util.cache_from_source(str(module))).read_bytes()
        flags, digest = int.from_bytes(compiled[4:8], "little"), compiled[8:16]
        assert flags & 0b01, f"{module} goes by its time"
        assert digest == importlib.util.source_hash(module.read_bytes())


def names_of(data: bytes) -> set[str]:
    with tarfile.open(fileobj=io.BytesIO(data), mode="r:gz") as archive:
        return set(archive.getnames())
