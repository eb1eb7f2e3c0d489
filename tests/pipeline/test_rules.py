"""Which jobs a pipeline has, by what started it and what changed: gitlab-ci-local reads the real file's rules."""

from __future__ import annotations

import pytest

from tests.gitlab import DEPLOYMENT, TRAINING, Project, project, require_runner

CHECKS = {"check", "audit", "test"}
PLAN = {"plan", "delivery"}
# of any push to the default branch
PUSHED = CHECKS | PLAN | {"pages", "rollback"}
TRAIN = {"prepare", "face-weights", "train", "convert", "evaluate", "gate", "publish"}


@pytest.fixture(scope="module")
def gitlab(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A project whose CI/CD variables are all set."""
    require_runner()
    made = project(tmp_path_factory.mktemp("gitlab"))
    made.variables = {"DATA_BUCKET": "gs://f", "REGISTRY": "gs://r", "SERVICE": "projects/p", "LOG_URI": "gs://l"}
    return made


@pytest.mark.parametrize(
    ("changed", "smoke"),
    [
        ("README.md", set()),
        ("tests/server.py", set()),
        ("training/deployment/service.py", set()),
        ("training/requirements-delivery.txt", set()),
        ("function/serving/page/index.html", set()),
        ("training/train.py", {"smoke-baseline"}),
        ("training/learning/losses.py", {"smoke-baseline"}),
        ("training/pipeline.yml", {"smoke-baseline"}),
        ("training/templates/report.html", {"smoke-baseline"}),
        ("function/serving/predictor.py", {"smoke-baseline"}),
    ],
)
def test_every_push_to_the_default_branch_plans_the_delivery(gitlab: Project, changed: str, smoke: set[str]) -> None:
    content = (gitlab.clone / changed).read_text() if (gitlab.clone / changed).exists() else ""
    gitlab.push(f"Change {changed}", {changed: content + "\n"})
    assert set(gitlab.jobs()) == PUSHED | smoke


@pytest.mark.parametrize(
    ("plan", "jobs"),
    [
        ("train", TRAIN | {"deployment"}),
        ("deploy", {"deployment"}),
        ("nothing", {"up-to-date"}),
        ("", {"no-plan"}),
    ],
)
def test_the_delivery_does_what_is_planned(gitlab: Project, plan: str, jobs: set[str]) -> None:
    assert set(gitlab.jobs(file=TRAINING, PLAN=plan)) == jobs


def test_without_a_service_a_training_ends_with_its_release(gitlab: Project) -> None:
    assert set(gitlab.jobs(file=TRAINING, PLAN="train", SERVICE="")) == TRAIN


def test_a_deployment_is_verified_and_rolled_out(gitlab: Project) -> None:
    found = gitlab.jobs(file=DEPLOYMENT)
    assert found == {
        "deploy": "on_success",
        "verify": "on_success",
        "rollout": "on_success",
        "discard": "manual",
    }


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
    noted = {"smoke-note"} if smoke else set()
    assert set(gitlab.jobs(branch=None, **{"NOTE_TOKEN": "any"})) == CHECKS | smoke | noted


def test_a_tag_is_checked_alone(gitlab: Project) -> None:
    assert set(gitlab.jobs(branch="", CI_COMMIT_TAG="v1")) == CHECKS


def test_a_schedule_plans_a_delivery(gitlab: Project) -> None:
    assert set(gitlab.jobs(CI_PIPELINE_SOURCE="schedule", SCHEDULE="retrain")) == PLAN | {"rollback"}


def test_a_schedule_looks_for_drift(gitlab: Project) -> None:
    assert set(gitlab.jobs(CI_PIPELINE_SOURCE="schedule", SCHEDULE="drift")) == {"drift", "settle"}


def test_a_table_of_true_labels_adds_feedback_to_the_schedule(gitlab: Project) -> None:
    found = gitlab.jobs(CI_PIPELINE_SOURCE="schedule", SCHEDULE="drift", FEEDBACK_LABELS="gs://l/labels.csv")
    assert set(found) == {"drift", "feedback", "settle"}
    assert "feedback" not in gitlab.jobs(FEEDBACK_LABELS="gs://l/labels.csv")


def test_drift_plans_a_delivery_where_that_is_wanted(gitlab: Project) -> None:
    found = gitlab.jobs(CI_PIPELINE_SOURCE="schedule", SCHEDULE="drift", RETRAIN_ON_DRIFT="true")
    drifting = {"drift": "on_success", "settle": "on_success"}
    assert found == {**drifting, "plan": "on_failure", "delivery": "on_success"}


def test_a_pipeline_started_by_hand_plans_a_delivery(gitlab: Project) -> None:
    assert set(gitlab.jobs(CI_PIPELINE_SOURCE="web")) == CHECKS | PLAN | {"rollback"}
    # glab ci run
    assert set(gitlab.jobs(CI_PIPELINE_SOURCE="api")) == CHECKS | PLAN | {"rollback"}
    assert set(gitlab.jobs(branch="feature", CI_PIPELINE_SOURCE="web")) == CHECKS


def test_only_presets_that_start_from_faces_fetch_their_weights(gitlab: Project) -> None:
    assert "face-weights" not in gitlab.jobs(file=TRAINING, PLAN="train", PRESET="imagenet")


def test_a_rollback_waits_for_a_person(gitlab: Project) -> None:
    assert gitlab.jobs()["rollback"] == "manual"


def test_without_a_cloud_a_push_is_checked(gitlab: Project) -> None:
    gitlab.push("Train otherwise", {"training/train.py": "# once more"})
    there, gitlab.variables = gitlab.variables, {}
    try:
        assert set(gitlab.jobs()) == CHECKS | {"pages", "smoke-baseline"}
    finally:
        gitlab.variables = there


INFRA = {"STATE_BUCKET": "my-project-terraform", "INFRA_BRANCH": "infra", "CI_PROJECT_ID": "4711"}


def test_a_push_that_changes_infra_is_planned(gitlab: Project) -> None:
    gitlab.push("Change infra", {"infra/variables.tf": "# anew"})
    assert set(gitlab.jobs()) == PUSHED
    assert set(gitlab.jobs(**INFRA)) == PUSHED | {"infra-check", "infra-plan"}
    assert set(gitlab.jobs(branch="feature", **INFRA)) == CHECKS | {"infra-check"}


def test_a_push_of_a_document_of_infra_plans_nothing(gitlab: Project) -> None:
    gitlab.push("Describe infra", {"infra/README.md": "# anew"})
    assert set(gitlab.jobs(**INFRA)) == PUSHED


@pytest.mark.parametrize(
    ("branch", "project", "planned"),
    [("infra", "4711", {"infra-plan"}), ("feature", "4711", set()), ("infra", "4712", set())],
    ids=["trusted branch", "other branch", "fork"],
)
def test_only_merge_requests_of_the_trusted_branch_are_planned(
    gitlab: Project, branch: str, project: str, planned: set[str]
) -> None:
    source = {"CI_MERGE_REQUEST_SOURCE_BRANCH_NAME": branch, "CI_MERGE_REQUEST_SOURCE_PROJECT_ID": project}
    gitlab.push("Change infra", {"infra/variables.tf": f"# for {branch} of {project}"})
    assert set(gitlab.jobs(branch=None, **INFRA, **source)) == CHECKS | {"infra-check"} | planned


def test_a_schedule_looks_for_drift_of_infra(gitlab: Project) -> None:
    found = gitlab.jobs(CI_PIPELINE_SOURCE="schedule", SCHEDULE="infra-drift", **INFRA)
    assert found == {"infra-drift": "on_success", "rollback": "manual"}
