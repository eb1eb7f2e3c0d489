"""Verification of good and faulty candidates."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tests.deployment.conftest import FIRST, SECOND, STATS, Setup
from training.deployment.config import VerifyConfig
from training.deployment.probe_images import drawn, real
from training.deployment.verification import Verification, verify
from training.errors import StepError

# Limits for a busy test machine.
CONFIG = VerifyConfig(faces=6, p95_seconds=5, p95_slack=2)


def verified(setup: Setup, revision: str, config: VerifyConfig = CONFIG) -> Verification:
    return verify(setup.service, revision, drawn(config.faces), config)


def test_verify_compares_with_no_placeholder(setup: Setup) -> None:
    found = verified(setup, setup.deploy())
    assert found.failed == []
    assert "placeholder" in found.comparison[0]


def test_verify_tabulates_the_differences_of_another_release(setup: Setup) -> None:
    setup.go_live(FIRST)
    found = verified(setup, setup.deploy(SECOND))
    assert found.failed == []
    table = "\n".join(found.comparison)
    assert FIRST in table
    assert SECOND in table
    assert "gender" in table


def test_verify_requires_equal_predictions_of_the_same_release(setup: Setup) -> None:
    setup.go_live(FIRST)
    found = verified(setup, setup.deploy(FIRST))
    assert found.failed == []
    assert "equal predictions" in [check.name for check in found.checks]


def test_verify_finds_wrong_predictions(setup: Setup) -> None:
    setup.go_live(FIRST)
    old = "    years = decide_ages(distribution, calibration.decision)\n"
    source = setup.changed_function(
        "serving/predictor.py", old, "    years = decide_ages(distribution, calibration.decision) + 7\n"
    )
    found = verified(setup, setup.deploy(FIRST, source))
    assert found.failed == ["expected predictions", "equal predictions"]


@pytest.mark.parametrize(
    ("file", "old", "new", "failed"),
    [
        (
            "serving/api.py",
            STATS,
            f"            import time; time.sleep(0.6)\n{STATS}",
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
def test_verify_finds_slow_and_incorrect_responses(setup: Setup, file: str, old: str, new: str, failed: str) -> None:
    found = verified(
        setup, setup.deploy(FIRST, setup.changed_function(file, old, new)), replace(CONFIG, p95_seconds=0.6)
    )
    assert found.failed == [failed]


def test_verify_accepts_real_faces(setup: Setup, utkface: Path) -> None:
    found = verify(setup.service, setup.deploy(), real(utkface, 6), CONFIG)
    assert found.failed == []


def test_real_refuses_a_folder_without_images(tmp_path: Path) -> None:
    with pytest.raises(StepError, match="contains no images"):
        real(tmp_path, 6)


def test_verify_refuses_other_revisions(setup: Setup) -> None:
    former = setup.deploy(FIRST)
    latest = setup.deploy(SECOND)
    with pytest.raises(StepError, match=f"{former} is not the candidate .+, {latest} is"):
        verified(setup, former)
