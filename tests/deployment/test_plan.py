"""What a pipeline has to do, decided by what is there."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.conftest import FUNCTION
from tests.deployment.conftest import FAST, FIRST, SECOND, STATS, Setup, release_of, training
from training.deployment import plan as planning
from training.deployment.config import RolloutConfig
from training.deployment.deploy import deploy, reuse
from training.deployment.plan import DEPLOY, NOTHING, TRAIN, Plan, made_from, plan, version_of
from training.deployment.releases import find
from training.deployment.rollback import rollback
from training.deployment.rollout import rollout
from training.deployment.service import REFUSED
from training.errors import StepError

WANTED = "0" * 64
MADE = "20261103-cccccccc"


def _plan(setup: Setup, wanted: str = "", function: Path = FUNCTION, *, by_hand: bool = False) -> Plan:
    return plan(setup.registry, setup.service, wanted, function, by_hand=by_hand)


def _publish(setup: Setup) -> None:
    """Publish a release that states WANTED."""
    files = release_of(MADE)
    manifest = json.loads(files["manifest.json"])
    manifest["provenance"]["made_from"] = WANTED
    setup.owned.publish(MADE, {**files, "manifest.json": json.dumps(manifest).encode()})


def test_a_state_without_a_release_is_trained(setup: Setup) -> None:
    setup.go_live()
    assert _plan(setup, WANTED).action == TRAIN


def test_without_data_the_release_in_production_is_deployed(setup: Setup) -> None:
    assert _plan(setup).action == DEPLOY
    assert version_of(setup.registry, "") == FIRST


def test_what_is_live_is_not_deployed_again(setup: Setup) -> None:
    setup.go_live()
    assert _plan(setup).action == NOTHING


def test_another_function_is_deployed_whatever_the_push_changed(setup: Setup) -> None:
    setup.go_live()
    changed = setup.changed_function("serving/static_files.py", "from __future__", "# new\nfrom __future__")
    assert _plan(setup, function=changed).action == DEPLOY


def test_a_release_whose_rollout_was_cancelled_is_deployed_without_a_training(setup: Setup) -> None:
    setup.go_live()
    _publish(setup)
    assert _plan(setup, WANTED).action == DEPLOY
    assert version_of(setup.registry, WANTED) == MADE


def test_a_state_that_the_gate_refused_is_not_trained_again(setup: Setup) -> None:
    setup.go_live()
    setup.owned.refuse(WANTED, "age error")
    setup.owned.refuse(WANTED, "another pipeline, the same state")
    found = _plan(setup, WANTED)
    assert found.action == NOTHING
    assert "refused" in found.reason
    assert "age error" in found.reason
    assert _plan(setup, WANTED, by_hand=True).action == TRAIN


def test_a_refused_training_does_not_hold_up_the_function(setup: Setup) -> None:
    setup.owned.refuse(WANTED, "age error")
    assert _plan(setup, WANTED).action == DEPLOY


def test_a_release_that_was_rolled_back_stays_away(setup: Setup) -> None:
    first = setup.go_live(FIRST)
    _publish(setup)
    setup.go_live(MADE)
    setup.registry.promote(MADE)
    assert rollback(setup.service, setup.registry, "") == first
    assert _plan(setup, WANTED).action == NOTHING
    assert version_of(setup.registry, WANTED) == FIRST


def test_a_function_that_was_rolled_back_stays_away(setup: Setup) -> None:
    setup.go_live(FIRST)
    changed = setup.changed_function("serving/static_files.py", "from __future__", "# new\nfrom __future__")
    after = setup.go_live(FIRST, changed)
    rollback(setup.service, setup.registry, FIRST)
    assert setup.service.traffic().tags[REFUSED] == after
    assert _plan(setup, function=changed).action == NOTHING


def test_a_candidate_that_users_did_not_get_along_with_is_not_deployed_again(setup: Setup) -> None:
    setup.go_live(FIRST)
    failing = setup.changed_function("serving/api.py", STATS, f'            raise RuntimeError("no")\n{STATS}')
    revision = setup.deploy(FIRST, failing)
    config = RolloutConfig(minutes=0.01, log_seconds=5, log_pause=0.2)
    with pytest.raises(StepError, match="all traffic is back"):
        rollout(setup.service, setup.registry, revision, config, lambda _: None)
    assert setup.service.traffic().tags[REFUSED] == revision
    assert _plan(setup, function=failing).action == NOTHING


def test_deploy_keeps_the_function_of_a_newer_commit(setup: Setup, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CI_COMMIT_TIMESTAMP", "2026-11-02T12:00:00+01:00")
    live = setup.go_live(FIRST, FUNCTION)
    monkeypatch.setenv("CI_COMMIT_TIMESTAMP", "2026-11-02T10:59:59Z")
    older = setup.changed_function("serving/static_files.py", "from __future__", "# old\nfrom __future__")
    made = setup.service.revision(deploy(setup.service, setup.registry, find(setup.registry, SECOND), FAST, older))
    assert made.containers[0].image == setup.service.revision(live).containers[0].image
    assert made.labels["source"] == setup.service.revision(live).labels["source"]


def test_deploy_reuses_what_another_pipeline_has_deployed(setup: Setup) -> None:
    live = setup.go_live(FIRST)
    assert reuse(setup.service, find(setup.registry, FIRST)) == live
    assert reuse(setup.service, find(setup.registry, SECOND)) == ""
    assert setup.service.traffic().tags["candidate"] == live


def test_the_state_changes_with_data_code_and_configuration(monkeypatch: pytest.MonkeyPatch) -> None:
    before = made_from([100, "AAAA"])
    assert before == made_from([100, "AAAA"])
    assert before != made_from([100, "AAAB"])
    monkeypatch.setattr(planning, "_FILES", planning._FILES[1:])
    assert before != made_from([100, "AAAA"])


def test_the_command_writes_the_variables_of_later_jobs(setup: Setup, tmp_path: Path) -> None:
    file = tmp_path / "plan.env"
    done = training("plan", *setup.arguments, "--env-file", file)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("deploy: ")
    stated = ["PLAN=deploy", f"REFUSALS={setup.registry.uri}"]
    assert file.read_text().splitlines() == stated


def test_a_missing_archive_is_named(setup: Setup) -> None:
    done = training("plan", *setup.arguments, "--data", f"{setup.registry.uri}/none.tar.gz")
    assert done.returncode == 1
    assert "none.tar.gz does not exist; upload the archive of faces" in done.stderr
