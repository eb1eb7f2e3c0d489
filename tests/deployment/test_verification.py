"""What `verify` finds of candidates that are good, and of such that are not."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tests.deployment.conftest import FIRST, SECOND, Place
from training.deployment.config import VerifyConfig
from training.deployment.probe_images import drawn, real
from training.deployment.verification import Verification, verify
from training.errors import StepError

# The machine that tests run on is busy.
CONFIG = VerifyConfig(faces=6, p95_seconds=5, p95_slack=2)


def verified(place: Place, revision: str, config: VerifyConfig = CONFIG) -> Verification:
    return verify(place.service, revision, drawn(config.faces), config)


def test_the_first_release_beside_the_placeholder_has_nothing_to_be_compared_with(place: Place) -> None:
    found = verified(place, place.deploy())
    assert found.failed == []
    assert "placeholder" in found.comparison[0]


def test_another_release_may_answer_differently_and_the_table_says_how(place: Place) -> None:
    place.go_live(FIRST)
    found = verified(place, place.deploy(SECOND))
    assert found.failed == []
    table = "\n".join(found.comparison)
    assert FIRST in table
    assert SECOND in table
    assert "gender" in table


def test_the_same_release_must_answer_the_same(place: Place) -> None:
    place.go_live(FIRST)
    found = verified(place, place.deploy(FIRST))
    assert found.failed == []
    assert "same release, same answers" in [check.name for check in found.checks]


def test_a_function_that_answers_differently_from_its_release_is_found(place: Place) -> None:
    place.go_live(FIRST)
    old = "    years = decide_ages(distribution, calibration.decision)\n"
    source = place.changed_function(
        "serving/predictor.py", old, "    years = decide_ages(distribution, calibration.decision) + 7\n"
    )
    found = verified(place, place.deploy(FIRST, source))
    assert found.failed == ["known answers", "same release, same answers"]


@pytest.mark.parametrize(
    ("file", "old", "new", "failed"),
    [
        (
            "main.py",
            "    g.stats = RequestStats(len(images))\n",
            "    import time; time.sleep(0.6)\n    g.stats = RequestStats(len(images))\n",
            "latency",
        ),
        (
            "serving/inference.py",
            "return Problem(HTTPStatus.UNSUPPORTED_MEDIA_TYPE",
            "return Problem(HTTPStatus.BAD_REQUEST",
            "not an image",
        ),
    ],
)
def test_a_function_that_breaks_a_promise_is_found(place: Place, file: str, old: str, new: str, failed: str) -> None:
    found = verified(
        place, place.deploy(FIRST, place.changed_function(file, old, new)), replace(CONFIG, p95_seconds=0.6)
    )
    assert found.failed == [failed]


def test_real_faces_have_known_answers_too(place: Place, utkface: Path) -> None:
    found = verify(place.service, place.deploy(), real(utkface, 6), CONFIG)
    assert found.failed == []


def test_a_folder_without_images_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(StepError, match="holds no images"):
        real(tmp_path, 6)


def test_only_the_candidate_is_verified(place: Place) -> None:
    former = place.deploy(FIRST)
    latest = place.deploy(SECOND)
    with pytest.raises(StepError, match=f"{former} is not the candidate .+, {latest} is"):
        verified(place, former)
