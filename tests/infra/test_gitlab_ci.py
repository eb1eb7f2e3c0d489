"""Checks of .gitlab-ci.yml: its schema, and the files and commands that it names."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.conftest import ROOT
from tests.gitlab import DEPLOYMENT, FILE, TRAINING, Loader
from training import __main__ as command_line
from training import sources
from training.presets import PRESETS

VALUES = "training/pipeline.yml"
# Each with the files that it includes.
PIPELINES = (FILE, TRAINING, DEPLOYMENT)
FILES = [ROOT / name for name in (*PIPELINES, VALUES, "training/pipelines/shared.yml")]
BIN = Path(sys.executable).parent


def _loaded(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = yaml.load(path.read_text(), Loader)  # noqa: S506 - it is a SafeLoader
    return found


# The jobs of all pipelines. No two have the same name.
PIPELINE: dict[str, Any] = {name: job for path in FILES for name, job in _loaded(path).items()}
# Files whose change trains a model on drawn faces.
MODEL_CODE: list[str] = PIPELINE[".merge-request"]["rules"][-1]["changes"]
JOBS = {
    name: job
    for name, job in PIPELINE.items()
    if isinstance(job, dict) and {"script", "before_script", "trigger", "extends"} & {*job}
}


def _lines(job: dict[str, Any]) -> Iterator[str]:
    yield from (line for part in ("before_script", "script") for line in job.get(part, []) if isinstance(line, str))


def _words(line: str) -> list[str]:
    """Return the words of a command, or of the command whose output a variable gets."""
    command = re.sub(r"^\w+=\$\((.*)\)$", r"\1", line)
    # These variables are unquoted, since they contain any number of words.
    return shlex.split(re.sub(r" \$(TRAIN_ARGS|FIRST|PLAN_OPTIONS)\b", "", command))


COMMANDS = [(name, _words(line)) for name, job in JOBS.items() for line in _lines(job)]
STEPS = {name: words[3:] for name, words in COMMANDS if words[:3] == ["python", "-m", "training"]}


def _effective(name: str, key: str) -> Any:
    """Return a job's own or inherited value."""
    job = PIPELINE[name]
    if key in job:
        return job[key]
    parents = job.get("extends", [])
    for parent in reversed([parents] if isinstance(parents, str) else parents):
        if (found := _effective(parent, key)) is not None:
            return found
    return None


def _run(*command: str | Path) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PATH": f"{BIN}:{os.environ['PATH']}", "PYTHONPATH": "function"}
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)


def test_pipeline_matches_the_schema_of_gitlab() -> None:
    schema = ("--builtin-schema", "vendor.gitlab-ci", "--data-transform", "gitlab-ci")
    checked = _run("check-jsonschema", *schema, *FILES)
    assert checked.returncode == 0, checked.stdout


@pytest.mark.parametrize("name", PIPELINES)
def test_shellcheck_finds_nothing(name: str) -> None:
    # The tool resolves includes beside the file, GitLab does so from the project's root.
    options = ("--no-lint-api", "--severity", "warning", "--exclude", "INC-102")
    checked = _run("gitlab-ci-verify", *options, "--gitlab-ci-file", name)
    assert checked.returncode == 0, checked.stdout + checked.stderr


@pytest.mark.parametrize("target", sorted({words[1] for _, words in COMMANDS if words[0] == "make"}))
def test_make_target_exists(target: str) -> None:
    assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text(), re.MULTILINE)


@pytest.mark.parametrize("words", [words for _, words in COMMANDS], ids=lambda words: " ".join(words[:4]))
def test_every_command_accepts_its_arguments(words: list[str]) -> None:
    if words[:3] == ["python", "-m", "training"]:
        # Only these check their values.
        typed = {"$PRESET": "default", "$WATCH_MINUTES": "5", "$TRAIN_DEVICE": "gpu"}
        given = [typed.get(word) or re.sub(r"\$\w+", "x", word) for word in words[3:]]
        command_line.parser().parse_args(given)
    elif words[0] == "pip":
        assert (ROOT / words[-1]).is_file()
    else:
        assert words[0] in {
            "make",
            "npm",
            "apt-get",
            "mkdir",
            "cp",
            "printf",
            "test",
            "false",
            ".",
            "echo",
            "unset",
            "renovate",
            "cd",
            "sh",
            "terraform",
        }


def test_pipeline_contains_all_steps_in_order() -> None:
    way = ["prepare", "train", "convert", "evaluate", "gate", "publish", "deploy", "verify", "rollout"]
    steps = [name for name in STEPS if name in way]
    assert steps == way
    assert all([name, name] in [[job, words[3]] for job, words in COMMANDS if len(words) > 3] for name in way)


@pytest.mark.parametrize("name", PIPELINES)
def test_needed_jobs_exist_in_the_same_or_an_earlier_stage(name: str) -> None:
    pipeline = _loaded(ROOT / name)
    order = pipeline["stages"]
    for own, job in pipeline.items():
        for needed in job.get("needs", []) if own in JOBS else []:
            other = needed if isinstance(needed, str) else needed["job"]
            assert other in pipeline, f"{own} needs {other}"
            assert order.index(_effective(other, "stage")) <= order.index(_effective(own, "stage"))


def test_environment_is_stopped_by_a_separate_job() -> None:
    environments = {name: job["environment"] for name, job in JOBS.items() if "environment" in job}
    stopped = {name: place["on_stop"] for name, place in environments.items() if "on_stop" in place}
    assert stopped
    for name, stop in stopped.items():
        assert environments[stop] == {"name": environments[name]["name"], "action": "stop"}
        # GitLab can stop an environment only with a manual job.
        assert [rule["when"] for rule in _effective(stop, "rules") if rule.get("when") != "never"] == ["manual"]


def test_jobs_that_change_the_service_run_to_the_end() -> None:
    assert all(_effective(name, "interruptible") is False for name, job in JOBS.items() if "environment" in job)


def test_jobs_are_repeated_after_the_failures_of_a_runner() -> None:
    """GitLab, "CI/CD YAML syntax", `retry:when`: a lost runner is one of three failures."""
    retried = set(PIPELINE["default"]["retry"]["when"])
    assert retried == {"runner_system_failure", "runner_interrupted", "no_updates_running", "scheduler_failure"}
    assert not [name for name, job in JOBS.items() if "retry" in job]


def test_artifacts_expire() -> None:
    kept = {name: _effective(name, "artifacts") for name in JOBS if _effective(name, "artifacts")}
    assert [name for name, artifacts in kept.items() if "expire_in" not in artifacts] == []


def test_no_artifact_and_no_cache_has_faces() -> None:
    """GitLab, "Caching in GitLab CI/CD": a cache has no list of readers and does not expire."""
    for name in JOBS:
        caches = _effective(name, "cache") or []
        places = [*(caches if isinstance(caches, list) else [caches]), _effective(name, "artifacts") or {}]
        paths = [path for place in places for path in place.get("paths", [])]
        # Faces of a fine-tuning lie beside its model.
        assert not [path for path in paths if re.match(r"build/(faces|pipeline/(data|model/?$))", path)], name


def test_model_code_lists_the_function_modules_that_training_imports() -> None:
    listed = " ".join(MODEL_CODE)
    modules = {
        f"serving.{folder}{name}".replace("/", ".")
        for folder, names in re.findall(r"function/serving/((?:\w+/)?)\{([\w,]+)\}\.py", listed)
        for name in names.split(",")
    }
    (packages,) = re.findall(r"training/\{([\w,]+)\}/\*\.py", listed)
    folders = (ROOT / "training", *(ROOT / "training" / package for package in packages.split(",")))
    files = (file for folder in folders for file in sorted(folder.glob("*.py")))
    # The command line has the commands of all layers.
    imported = sources.closure(file for file in files if file.name != "__main__.py")
    named = {name: path for name, path in imported.items() if name.startswith("serving.")}
    # The file of a package has the package's name.
    assert {re.sub(r"\.__init__$", "", name) for name in modules} == set(named)
    assert all(
        f"function/serving/{path.parent.name}/*.tflite" in listed
        for path in named.values()
        if path.name == "__init__.py" and any(path.parent.glob("*.tflite"))
    )


@pytest.mark.parametrize("step", ["prepare", "train", "convert", "evaluate"])
def test_a_change_of_the_code_in_a_key_trains(step: str) -> None:
    for path in sources.digests(f"training.{step}"):
        name = f"function/{path}" if path.startswith("serving/") else path
        # It only states what the package is.
        own = name in (
            "function/serving/__init__.py",
            *(f"training/{each}/__init__.py" for each in ("data", "learning")),
        )
        assert own or any(fnmatch(name, pattern) for pattern in _expanded(MODEL_CODE)), name


def test_the_checkpoints_of_a_training_have_its_key() -> None:
    (words,) = (words for name, words in COMMANDS if name == "prepare" and "train-key" in words)
    assert words[words.index("--env-file") + 1] == PIPELINE["prepare"]["artifacts"]["reports"]["dotenv"]
    train = STEPS["train"]
    assert train[train.index("--backup") + 1] == "$WORK_BUCKET/model-$TRAIN_DIGEST"
    for name in ("train", ".model"):
        assert 'restore "$WORK_BUCKET/model-$TRAIN_DIGEST" build/pipeline/model' in PIPELINE[name]["before_script"][-1]
    assert all("prepare" in JOBS[name]["needs"] for name in ("train", "convert", "evaluate"))
    # Where the variable were empty, the checkpoints would be those of another training.
    assert {"--resume", "--restart"} <= set(train)


def _expanded(patterns: list[str]) -> Iterator[str]:
    """Write out the braces of patterns, which Python does not know."""
    for pattern in patterns:
        if match := re.search(r"\{([^}]+)\}", pattern):
            yield from (pattern.replace(match[0], name) for name in match[1].split(","))
        else:
            yield pattern


def test_pipeline_offers_every_preset_with_its_initial_weights() -> None:
    assert _loaded(ROOT / VALUES)["variables"]["PRESET"]["options"] == [*PRESETS]
    fetching = re.findall(r'\$PRESET == "(\w+)"', PIPELINE["face-weights"]["rules"][0]["if"])
    assert fetching == [name for name, preset in PRESETS.items() if preset.train.init_from == "faceres"]


def test_pipeline_refuses_earlier_names_of_variables() -> None:
    job = PIPELINE["renamed-variables"]
    variables = _loaded(ROOT / VALUES)["variables"]
    for former, name in {"FACES": "DATASET_ARCHIVE", "DATA_SHA256": "DATA_FINGERPRINT", "TRAIN": "TRAIN_ARGS"}.items():
        assert f"${former} ||" in job["rules"][0]["if"]
        assert f"{former} is now {name}" in job["script"][0]
        assert name in variables
    assert "LOGS is now LOG_URI" in job["script"][0]
    assert job["script"][-1] == "false"
    assert _loaded(ROOT / FILE)["stages"][0] == job["stage"]


def test_no_job_gets_a_secret() -> None:
    tokens = [token for name in JOBS for token in JOBS[name].get("id_tokens", {}).values()]
    assert tokens
    assert all(set(token) == {"aud"} for token in tokens)
    text = "".join(file.read_text() for file in FILES)
    for allowed in ("no secret in it", "code, secrets and dependencies", "Jobs/Secret-Detection.gitlab-ci.yml"):
        text = text.replace(allowed, "")
    assert not re.search(r"secret|password|_key", text, re.IGNORECASE)


def test_scanners_are_gitlabs_own_and_run_where_a_project_asks_for_them() -> None:
    """GitLab: "Use include with rules" (a template that is not included is not fetched)."""
    templates = [entry for entry in _loaded(ROOT / FILE)["include"] if "template" in entry]
    assert {entry["template"] for entry in templates} == {
        f"Jobs/{name}.gitlab-ci.yml" for name in ("SAST", "Secret-Detection", "Dependency-Scanning")
    }
    assert all(entry["rules"] == [{"if": '$SCANNERS == "true"'}] for entry in templates)
    # The templates' jobs are in this stage.
    assert "test" in _loaded(ROOT / FILE)["stages"]


def test_renovate_runs_only_in_its_schedule_with_a_token() -> None:
    """GitLab: "Add a job to a scheduled pipeline with rules"."""
    job = JOBS["renovate"]
    assert [rule["if"] for rule in job["rules"]] == [
        '$SCHEDULE == "renovate" && $RENOVATE_TOKEN && $CI_COMMIT_BRANCH == $CI_DEFAULT_BRANCH'
    ]
    assert job["cache"] == []
    assert "id_tokens" not in job


def test_jobs_that_sign_have_a_token_for_sigstore() -> None:
    """GitLab, "Use Sigstore for keyless signing and verification": the audience is `sigstore`."""
    signing = {name for name in JOBS if "SIGSTORE_ID_TOKEN" in _tokens(name)}
    assert signing == {"publish", "deploy"}
    assert {JOBS[name]["id_tokens"]["SIGSTORE_ID_TOKEN"]["aud"] for name in signing} == {"sigstore"}


def test_infra_and_pipeline_agree_on_audience_and_path_of_the_token() -> None:
    infra = "".join(file.read_text() for file in (ROOT / "infra").glob("*.tf"))
    google = PIPELINE[".google"]
    audience = google["id_tokens"]["GITLAB_OIDC_TOKEN"]["aud"]
    path = google["before_script"][-1].split(" > ")[1]
    assert f'gitlab_audience = "{audience}"' in infra
    assert f"--credential-source-file={path} " in (ROOT / "infra" / "gitlab_setup.sh").read_text()


# Rules of GitLab that the local runner ignores, each with the title of GitLab's page.


def test_no_push_cancels_the_pipeline_of_the_default_branch() -> None:
    """GitLab, "CI/CD YAML syntax", `workflow:rules:auto_cancel`: the default cancels a pipeline before its first
    job with `interruptible: false`."""
    rules = [rule for rule in PIPELINE["workflow"]["rules"] if "auto_cancel" in rule]
    assert rules == [{"if": "$CI_COMMIT_BRANCH == $CI_DEFAULT_BRANCH", "auto_cancel": {"on_new_commit": "none"}}]


def test_a_merge_request_of_the_default_branch_stops_no_delivery() -> None:
    """GitLab, "Predefined CI/CD variables reference": CI_OPEN_MERGE_REQUESTS is also set on the default branch."""
    (rule,) = [rule for rule in PIPELINE["workflow"]["rules"] if rule.get("when") == "never"]
    assert "$CI_COMMIT_BRANCH != $CI_DEFAULT_BRANCH" in rule["if"]


def test_delivery_depends_on_no_diff() -> None:
    """GitLab, "CI/CD YAML syntax", `rules:changes`: a push is compared with the one before it only."""
    for name in ("plan", "delivery"):
        assert not [rule for rule in JOBS[name]["rules"] if "changes" in rule]
    assert not [path for path in (TRAINING, DEPLOYMENT) if "changes:" in (ROOT / path).read_text()]


TRIGGERS = {name: job for name, job in JOBS.items() if "trigger" in job}


def test_child_pipelines_keep_the_variables_of_the_project() -> None:
    """GitLab, "Downstream pipelines": the variables of the YAML would replace those of the project."""
    assert TRIGGERS
    for job in TRIGGERS.values():
        assert job["inherit"] == {"variables": False}
        # It also hands on the reports of needed jobs.
        assert job["trigger"]["forward"] == {"pipeline_variables": True}
        assert job["trigger"]["strategy"] == "mirror"


def test_nothing_waits_for_a_training() -> None:
    """GitLab, "Resource group": a job of a group that is created, but has nothing to do yet, can block the group."""
    groups = {name: _effective(name, "resource_group") for name in JOBS if _effective(name, "resource_group")}
    # The trigger job exists in a pipeline that trains. So the order of the group must stay GitLab's default.
    assert groups == {"train": "training-$MADE_FROM", "deployment": "deployment"}
    assert "resource_groups" not in (ROOT / "infra" / "README.md").read_text()


def test_child_pipelines_are_two_levels_deep_at_most() -> None:
    """GitLab, "Downstream pipelines": a parent pipeline, its child pipelines, and theirs."""
    levels = [
        {
            each["local"]
            for job in _loaded(ROOT / name).values()
            if isinstance(job, dict) and "trigger" in job
            for each in job["trigger"]["include"]
        }
        for name in PIPELINES
    ]
    assert levels == [{TRAINING}, {DEPLOYMENT}, set()]


def test_trainings_on_drawn_faces_tell_nobody() -> None:
    """GitLab, "CI/CD variables": those of the project come before those of a job, so only its script can remove one."""
    assert "unset MLFLOW_TRACKING_URI NOTICE_WEBHOOK" in PIPELINE[".smoke"]["before_script"]


def test_reported_files_are_artifacts_of_the_job_that_writes_them() -> None:
    """GitLab, "CI/CD artifacts reports types": a report is uploaded by the job that has the file."""
    assert PIPELINE["gate"]["artifacts"]["reports"]["metrics"] in PIPELINE["evaluate"]["artifacts"]["paths"]


def test_all_files_have_the_same_cache_of_packages() -> None:
    assert PIPELINE[".packages"]["cache"] == PIPELINE["default"]["cache"]


def _tokens(name: str) -> set[str]:
    """Return the tokens of a job: `extends` merges those of all its parents."""
    parents = PIPELINE[name].get("extends", [])
    inherited = [_tokens(parent) for parent in ([parents] if isinstance(parents, str) else parents)]
    return set(PIPELINE[name].get("id_tokens", {})).union(*inherited)


def _expanded_lines(lines: list[Any]) -> Iterator[str]:
    """Write out references in a script."""
    for line in lines:
        if isinstance(line, str):
            yield line
        else:
            yield from _expanded_lines(PIPELINE[line[0]][line[1]])


def test_jobs_that_open_gs_addresses_have_a_token() -> None:
    """GitLab, "CI/CD YAML syntax", `id_tokens`: only a job that declares a token gets one."""
    addresses = re.compile(r"\$\{?(REGISTRY|DATA_BUCKET|LOG_URI|WORK_BUCKET|SERVICE|TRAIN_ARGS)\b")
    opening = {name for name, job in JOBS.items() if any(addresses.search(line) for line in _lines(job))}
    assert {"prepare", "train", "evaluate", "plan", "rollback"} <= opening
    for name in opening:
        assert "GITLAB_OIDC_TOKEN" in _tokens(name), name
        lines = [*_expanded_lines(_effective(name, "before_script")), *(_effective(name, "script") or [])]
        first = next(place for place, line in enumerate(lines) if addresses.search(line))
        assert any("> build/gitlab-oidc-token" in line for line in lines[:first]), name


# Jobs of Terraform that have an identity.
PLANNING = [name for name in JOBS if PIPELINE[name].get("extends") == ".infra"]


def test_terraform_reads_the_state_of_the_default_branch_and_of_one_other_branch() -> None:
    """GitLab, "Merge request pipelines", "Use with forked projects": a project's member can run the code of a fork."""
    assert PLANNING == ["infra-plan", "infra-drift"]
    _, own, trusted = JOBS["infra-plan"]["rules"]
    (drift,) = JOBS["infra-drift"]["rules"]
    assert own["if"] == '$CI_PIPELINE_SOURCE == "push" && $CI_COMMIT_BRANCH == $CI_DEFAULT_BRANCH'
    for condition in (
        "$INFRA_BRANCH",
        "$CI_MERGE_REQUEST_SOURCE_BRANCH_NAME == $INFRA_BRANCH",
        "$CI_MERGE_REQUEST_SOURCE_PROJECT_ID == $CI_PROJECT_ID",
    ):
        assert f"&& {condition}" in trusted["if"]
    assert "$CI_COMMIT_BRANCH == $CI_DEFAULT_BRANCH" in drift["if"]


def test_a_project_without_a_state_in_a_bucket_has_no_job_of_terraform() -> None:
    """GitLab, "Specify when jobs run with rules": the first rule that matches decides."""
    for name in ("infra-check", "infra-plan"):
        assert JOBS[name]["rules"][0] == {"if": "$STATE_BUCKET == null || $SCHEDULE", "when": "never"}
    assert all("&& $STATE_BUCKET &&" in rule["if"] for rule in JOBS["infra-drift"]["rules"])


def test_a_plan_reaches_the_merge_request_as_numbers() -> None:
    """GitLab, "CI/CD artifacts reports types", `artifacts:reports:terraform`: a report is as visible as its job.

    A plan file has the values of the state, so it is no artifact.
    """
    assert JOBS["infra-plan"]["artifacts"]["reports"] == {"terraform": "infra/build/plan.json"}
    assert [name for name in PLANNING if "paths" in (_effective(name, "artifacts") or {})] == []
    # A cache is shared between jobs.
    assert all(_effective(name, "cache") == [] for name in PLANNING)


def test_the_environment_of_a_plan_selects_its_identity_and_deploys_nothing() -> None:
    """GitLab, "CI/CD YAML syntax", `environment:action`: `access` creates no deployment."""
    identity = (ROOT / "infra" / "plan_identity.tf").read_text()
    (name,) = re.findall(r'plan_environment = "(\w+)"', identity)
    assert PIPELINE[".infra"]["environment"] == {"name": name, "action": "access"}


def test_terraform_runs_where_the_credential_file_expects_the_token() -> None:
    """GitLab, "CI/CD YAML syntax", `before_script`: it is one shell with `script`."""
    assert PIPELINE[".infra"]["before_script"] == ["cd infra || exit 1", [".google", "before_script"]]
    assert all("GITLAB_OIDC_TOKEN" in _tokens(name) for name in PLANNING)


def test_a_check_of_infra_has_no_identity() -> None:
    """GitLab, "CI/CD YAML syntax", `id_tokens`: only a job that declares a token gets one."""
    assert not _tokens("infra-check")
    assert "environment" not in JOBS["infra-check"]
    assert "terraform init -backend=false" in JOBS["infra-check"]["script"]


def test_no_job_applies_or_destroys() -> None:
    scripts = [*FILES, ROOT / "infra" / "plan.sh"]
    assert not [
        path for path in scripts if re.search(r"terraform (-\S+ )*(apply|destroy|import|state)", path.read_text())
    ]


@pytest.mark.parametrize("name", ["infra-check", *PLANNING])
def test_the_image_of_terraform_runs_a_shell(name: str) -> None:
    """GitLab, "CI/CD YAML syntax", `image:entrypoint`: the one of this image is the program itself."""
    assert _effective(name, "image") == {"name": "$TERRAFORM_IMAGE", "entrypoint": [""]}
    assert PIPELINE["variables"]["TERRAFORM_IMAGE"].startswith("hashicorp/terraform:")
