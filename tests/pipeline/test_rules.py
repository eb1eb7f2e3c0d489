"""Which jobs a pipeline has, by what started it and what changed: gitlab-ci-local reads the real file's rules."""

from __future__ import annotations

import pytest

from tests.gitlab import Project, project, require_runner

CHECKS = {"check", "audit", "test"}
# of any push to the default branch
PUSHED = CHECKS | {"pages"}
RETRAIN = {"fetch", "prepare", "face-weights", "train", "convert", "evaluate", "gate", "publish", "pages"}
DEPLOY = {"deploy", "verify", "rollout"}
LIVE = {"rollback", "discard"}
EVERYTHING = PUSHED | {"smoke-baseline"} | RETRAIN | DEPLOY | LIVE


@pytest.fixture(scope="module")
def gitlab(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A project whose CI/CD variables are all set."""
    require_runner()
    made = project(tmp_path_factory.mktemp("gitlab"))
    made.variables = {"DATA_BUCKET": "gs://f", "REGISTRY": "gs://r", "SERVICE": "projects/p", "LOG_URI": "gs://l"}
    return made


@pytest.mark.parametrize(
    ("changed", "jobs"),
    [
        ("README.md", PUSHED | LIVE),
        ("docs/index.md", PUSHED | LIVE),
        ("infra/README.md", PUSHED | LIVE),
        ("tests/server.py", PUSHED | LIVE),
        ("training/deployment/service.py", PUSHED | LIVE),
        ("training/registry/registry.py", PUSHED | LIVE),
        ("training/monitoring/drift.py", PUSHED | LIVE),
        ("training/requirements-delivery.txt", PUSHED | LIVE),
        ("training/train.py", EVERYTHING),
        ("training/learning/losses.py", EVERYTHING),
        ("training/pipeline.yml", EVERYTHING),
        ("training/requirements-gpu.txt", EVERYTHING),
        ("training/templates/report.html", EVERYTHING),
        ("function/serving/predictor.py", EVERYTHING),
        ("function/serving/static_files.py", PUSHED | DEPLOY | LIVE),
        ("function/requirements.txt", PUSHED | DEPLOY | LIVE),
        ("function/serving/page/index.html", PUSHED | DEPLOY | LIVE),
    ],
)
def test_a_push_to_the_default_branch_does_what_its_change_asks_for(
    gitlab: Project, changed: str, jobs: set[str]
) -> None:
    content = (gitlab.clone / changed).read_text() if (gitlab.clone / changed).exists() else ""
    gitlab.push(f"Change {changed}", {changed: content + "\n"})
    assert set(gitlab.jobs()) == jobs


def test_a_push_to_another_branch_is_checked_alone(gitlab: Project) -> None:
    gitlab.push("Train otherwise", {"training/train.py": "# anew"})
    assert set(gitlab.jobs(branch="feature")) == CHECKS


@pytest.mark.parametrize(
    ("changed", "smoke"),
    [("training/learning/losses.py", {"smoke", "smoke-gate"}), ("docs/explanation/model.md", set())],
)
def test_a_merge_request_is_checked_and_trained_on_drawn_faces(gitlab: Project, changed: str, smoke: set[str]) -> None:
    gitlab.push(f"Change {changed}", {changed: "# anew"})
    assert set(gitlab.jobs(branch=None)) == CHECKS | smoke


def test_a_tag_is_checked_alone(gitlab: Project) -> None:
    assert set(gitlab.jobs(branch="", CI_COMMIT_TAG="v1")) == CHECKS


def test_a_schedule_retrains(gitlab: Project) -> None:
    assert set(gitlab.jobs(CI_PIPELINE_SOURCE="schedule", SCHEDULE="retrain")) == RETRAIN | DEPLOY | LIVE


def test_a_schedule_looks_for_drift(gitlab: Project) -> None:
    assert set(gitlab.jobs(CI_PIPELINE_SOURCE="schedule", SCHEDULE="drift")) == {"drift"}


def test_drift_retrains_where_that_is_wanted(gitlab: Project) -> None:
    found = gitlab.jobs(CI_PIPELINE_SOURCE="schedule", SCHEDULE="drift", RETRAIN_ON_DRIFT="true")
    assert found == {"drift": "on_success", "retrain-on-drift": "on_failure"}
    assert set(gitlab.jobs(CI_PIPELINE_SOURCE="parent_pipeline", SCHEDULE="retrain")) == RETRAIN | DEPLOY | LIVE


def test_a_pipeline_started_by_hand_retrains(gitlab: Project) -> None:
    assert set(gitlab.jobs(CI_PIPELINE_SOURCE="web")) == CHECKS | RETRAIN | DEPLOY | LIVE
    assert set(gitlab.jobs(branch="feature", CI_PIPELINE_SOURCE="web")) == CHECKS


def test_only_presets_that_start_from_faces_fetch_their_weights(gitlab: Project) -> None:
    assert "face-weights" not in gitlab.jobs(CI_PIPELINE_SOURCE="web", PRESET="imagenet")


def test_a_rollback_waits_for_a_person(gitlab: Project) -> None:
    assert gitlab.jobs()["rollback"] == "manual"


def test_without_a_cloud_a_push_is_checked(gitlab: Project) -> None:
    gitlab.push("Train otherwise", {"training/train.py": "# once more"})
    there, gitlab.variables = gitlab.variables, {}
    try:
        assert set(gitlab.jobs()) == PUSHED | {"smoke-baseline"}
    finally:
        gitlab.variables = there
