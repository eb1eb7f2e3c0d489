"""From `git push` to an answered request, by the real .gitlab-ci.yml.

gitlab-ci-local runs the jobs, each in a copy of the tracked files with no more than the artifacts it asks for; an
emulator holds the buckets; Google's own libraries talk to a double of its APIs that starts the real function for each
revision and routes its traffic. The tests below tell one project's life in order; each of them alone first lives
through what came before. The jobs check, test and audit only say what they would run: these tests are a part of it.
"""

from __future__ import annotations

import pytest

from tests.e2e.conftest import After
from tests.e2e.stage import Stage

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


def test_the_first_push_trains_a_release_and_makes_it_answer(first: After) -> None:
    assert first.prediction["model"]["version"] == first.production
    assert "has no production release yet" in first.pipeline.logs["gate"]
    assert set(first.prediction["predictions"][0]) == {"age", "gender"}


def test_a_change_of_the_training_puts_a_new_release_live(first: After, retrained: After) -> None:
    assert retrained.production != first.production
    assert retrained.prediction["model"]["version"] == retrained.production
    assert retrained.prediction["predictions"] != first.prediction["predictions"]
    assert f"not found worse than {first.production}" in retrained.pipeline.logs["gate"]


def test_the_archive_of_faces_is_fetched_once(first: After, retrained: After) -> None:
    assert "bytes, fetched" in first.pipeline.logs["fetch"]
    assert "bytes, already there" in retrained.pipeline.logs["fetch"]


def test_the_release_is_signed_and_the_signature_is_asked_for(retrained: After) -> None:
    assert "signed by" in retrained.pipeline.logs["publish"]
    assert "signed by" in retrained.pipeline.logs["deploy"]


def test_a_change_of_the_function_alone_makes_a_new_revision_with_the_same_model(
    retrained: After, redeployed: After
) -> None:
    assert "train" not in redeployed.pipeline.logs
    assert redeployed.revision != retrained.revision
    assert redeployed.prediction == retrained.prediction
    assert redeployed.production == retrained.production


def test_a_worse_model_is_stopped_at_the_gate(redeployed: After, worsened: After) -> None:
    assert "gate failed" in worsened.pipeline.logs["gate"]
    assert "publish" not in worsened.pipeline.logs
    assert (worsened.prediction, worsened.traffic) == (redeployed.prediction, redeployed.traffic)
    assert worsened.production == redeployed.production


def test_a_revision_that_does_not_start_gets_no_traffic(redeployed: After, unstartable: After) -> None:
    assert "it does not start" in unstartable.pipeline.logs["deploy"]
    assert "rollout" not in unstartable.pipeline.logs
    assert (unstartable.prediction, unstartable.traffic) == (redeployed.prediction, redeployed.traffic)


def test_a_revision_that_fails_under_traffic_loses_it_again(redeployed: After, wearing: After) -> None:
    assert "\nverified" in wearing.pipeline.logs["verify"]
    told = wearing.pipeline.logs["rollout"]
    assert "10 % of the traffic goes to" in told
    assert "requests failed" in told
    assert f"all traffic is back at {redeployed.revision}" in told
    assert (wearing.prediction, wearing.traffic) == (redeployed.prediction, redeployed.traffic)
    assert wearing.production == redeployed.production


def test_a_rollback_brings_the_earlier_answers_back(first: After, rolled_back: After) -> None:
    assert rolled_back.prediction == first.prediction
    assert rolled_back.production == first.production


def test_no_job_changed_what_was_pushed(delivery: Stage, rolled_back: After) -> None:
    assert delivery.gitlab.git("status", "--porcelain") == ""
