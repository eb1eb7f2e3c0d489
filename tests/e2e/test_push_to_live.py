"""From `git push` to a prediction, with the real .gitlab-ci.yml.

gitlab-ci-local runs each job in a copy of the tracked files with only the artifacts that it needs. Google's libraries
exchange GitLab's token of the job and connect to a fake Google Cloud, which asks for the permissions that `infra/`
grants, runs the real function for each revision and splits its traffic. An emulator provides the buckets. The tests
follow one project in order. A single test first runs all earlier pipelines. The jobs check, test and audit only print
their commands, since these tests are part of them.
"""

from __future__ import annotations

import pytest

from tests.e2e.conftest import After
from tests.e2e.stage import Stage

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


def test_first_push_trains_and_deploys_a_release(first: After) -> None:
    assert first.prediction["model"]["version"] == first.production
    assert "has no production release yet" in first.pipeline.logs["gate"]
    assert set(first.prediction["predictions"][0]) == {"age", "gender"}


def test_change_of_the_training_deploys_a_new_release(first: After, retrained: After) -> None:
    assert retrained.production != first.production
    assert retrained.prediction["model"]["version"] == retrained.production
    assert retrained.prediction["predictions"] != first.prediction["predictions"]
    assert f"significantly worse than that of {first.production}" in retrained.pipeline.logs["gate"]


def test_a_training_begins_with_a_release_of_the_registry(delivery: Stage, first: After, retrained: After) -> None:
    initial = delivery.manifest(retrained.production)["provenance"]["trained"]["releases"]
    assert [release["version"] for release in initial.values()] == [first.production]


def test_a_second_training_finds_the_prepared_faces_in_the_bucket(first: After, retrained: After) -> None:
    assert "nothing there" in first.pipeline.logs["prepare"]
    assert "files in build/pipeline/data" in first.pipeline.logs["train"]
    assert "-work/model-" in retrained.pipeline.logs["convert"]


def test_release_is_signed_and_deploy_verifies_it(retrained: After) -> None:
    assert "signed by" in retrained.pipeline.logs["publish"]
    assert "signed by" in retrained.pipeline.logs["deploy"]


def test_image_is_attested_and_rollout_verifies_it(retrained: After, redeployed: After) -> None:
    for after in (retrained, redeployed):
        assert "image attested by: the key " in after.pipeline.logs["rollout"]


def test_the_next_push_deploys_the_function_of_a_cancelled_one(retrained: After, redeployed: After) -> None:
    assert "train" not in redeployed.pipeline.logs
    assert redeployed.revision != retrained.revision
    assert redeployed.prediction == retrained.prediction
    assert redeployed.production == retrained.production


def test_a_push_that_changes_nothing_of_it_leaves_production_alone(redeployed: After, documented: After) -> None:
    assert "nothing: " in documented.pipeline.logs["plan"]
    assert documented.pipeline.logs.keys() == {"plan", "up-to-date"}
    assert (documented.prediction, documented.traffic) == (redeployed.prediction, redeployed.traffic)


def test_gate_stops_a_worse_model(redeployed: After, worsened: After) -> None:
    assert "gate failed" in worsened.pipeline.logs["gate"]
    assert "publish" not in worsened.pipeline.logs
    assert (worsened.prediction, worsened.traffic) == (redeployed.prediction, redeployed.traffic)
    assert worsened.production == redeployed.production


def test_a_model_that_the_gate_refused_is_not_trained_again(unstartable: After) -> None:
    assert "deploy: the gate refused what was made from this data" in unstartable.pipeline.logs["plan"]
    assert "train" not in unstartable.pipeline.logs


def test_revision_that_does_not_start_gets_no_traffic(redeployed: After, unstartable: After) -> None:
    assert "it does not start" in unstartable.pipeline.logs["deploy"]
    assert "rollout" not in unstartable.pipeline.logs
    assert (unstartable.prediction, unstartable.traffic) == (redeployed.prediction, redeployed.traffic)


def test_revision_that_fails_under_traffic_loses_it(redeployed: After, wearing: After) -> None:
    assert "\nverified" in wearing.pipeline.logs["verify"]
    told = wearing.pipeline.logs["rollout"]
    assert "10 % of the traffic goes to" in told
    assert "requests failed" in told
    assert f"all traffic is back on {redeployed.revision}" in told
    assert (wearing.prediction, wearing.traffic) == (redeployed.prediction, redeployed.traffic)
    assert wearing.production == redeployed.production


def test_rollback_restores_the_earlier_predictions(first: After, rolled_back: After) -> None:
    assert rolled_back.prediction == first.prediction
    assert rolled_back.production == first.production


def test_no_job_changes_tracked_files(delivery: Stage, rolled_back: After) -> None:
    assert delivery.gitlab.git("status", "--porcelain") == ""
