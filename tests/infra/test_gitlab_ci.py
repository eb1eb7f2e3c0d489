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
from training import __main__ as command_line
from training import sources
from training.presets import PRESETS

FILES = [ROOT / ".gitlab-ci.yml", ROOT / "training" / "pipeline.yml"]
BIN = Path(sys.executable).parent


class _Loader(yaml.SafeLoader):  # type: ignore[misc]  # the library has no types
    """Load !reference as a list."""


_Loader.add_constructor("!reference", lambda loader, node: loader.construct_sequence(node))
PIPELINE: dict[str, Any] = yaml.load(FILES[0].read_text(), _Loader)  # noqa: S506 - it is a SafeLoader
# Files whose change trains.
MODEL_CODE: list[str] = PIPELINE[".retraining"]["rules"][-1]["changes"]
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
    return shlex.split(re.sub(r" \$(TRAIN_ARGS|FIRST)\b", "", command))


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


def test_shellcheck_finds_nothing() -> None:
    checked = _run("gitlab-ci-verify", "--no-lint-api", "--severity", "warning")
    assert checked.returncode == 0, checked.stdout + checked.stderr


@pytest.mark.parametrize("target", sorted({words[1] for _, words in COMMANDS if words[0] == "make"}))
def test_make_target_exists(target: str) -> None:
    assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text(), re.MULTILINE)


@pytest.mark.parametrize("words", [words for _, words in COMMANDS], ids=lambda words: " ".join(words[:4]))
def test_every_command_accepts_its_arguments(words: list[str]) -> None:
    if words[:3] == ["python", "-m", "training"]:
        # Only --preset and --minutes check their values.
        typed = {"$PRESET": "default", "$WATCH_MINUTES": "5"}
        given = [typed.get(word) or re.sub(r"\$\w+", "x", word) for word in words[3:]]
        command_line.parser().parse_args(given)
    elif words[0] == "pip":
        assert (ROOT / words[-1]).is_file()
    else:
        assert words[0] in {"make", "npm", "apt-get", "mkdir", "cp", "printf", "test", "false", "."}


def test_pipeline_contains_all_steps_in_order() -> None:
    way = ["fetch", "prepare", "train", "convert", "evaluate", "gate", "publish", "deploy", "verify", "rollout"]
    steps = [name for name in STEPS if name in way]
    assert steps == way
    assert all([name, name] in [[job, words[3]] for job, words in COMMANDS if len(words) > 3] for name in way)
    stages = [PIPELINE["stages"].index(PIPELINE[name]["stage"]) for name in way]
    assert stages == sorted(stages)


def test_needed_jobs_exist_in_the_same_or_an_earlier_stage() -> None:
    order = PIPELINE["stages"]
    for name, job in JOBS.items():
        for needed in job.get("needs", []):
            other = needed if isinstance(needed, str) else needed["job"]
            assert other in JOBS, f"{name} needs {other}"
            assert order.index(_effective(other, "stage")) <= order.index(_effective(name, "stage"))


def test_environment_is_stopped_by_a_separate_job() -> None:
    environments = {name: job["environment"] for name, job in JOBS.items() if "environment" in job}
    stopped = {name: place["on_stop"] for name, place in environments.items() if "on_stop" in place}
    assert stopped
    for name, stop in stopped.items():
        assert environments[stop] == {"name": environments[name]["name"], "action": "stop"}
        # GitLab can stop an environment only with a manual job.
        assert [rule["when"] for rule in _effective(stop, "rules") if rule.get("when") != "never"] == ["manual"]


def test_deployments_run_one_at_a_time() -> None:
    for name, job in JOBS.items():
        if "environment" in job:
            assert _effective(name, "resource_group") == "production"
            assert _effective(name, "interruptible") is False


def test_only_runner_failures_are_retried() -> None:
    assert PIPELINE["default"]["retry"]["when"] == ["runner_system_failure", "scheduler_failure"]
    assert not [name for name, job in JOBS.items() if "retry" in job]


def test_artifacts_expire() -> None:
    kept = {name: _effective(name, "artifacts") for name in JOBS if _effective(name, "artifacts")}
    assert [name for name, artifacts in kept.items() if "expire_in" not in artifacts] == []


def test_only_developers_can_read_faces() -> None:
    for name in JOBS:
        artifacts = _effective(name, "artifacts") or {}
        if any("faces/" in path or "/data/" in path for path in artifacts.get("paths", [])):
            assert artifacts["access"] == "developer"
            assert artifacts["expire_in"] == "1 day"


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
        if path.name == "__init__.py"
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


def test_the_cache_of_a_training_has_its_key() -> None:
    prepare, train = PIPELINE["prepare"], PIPELINE["train"]
    (words,) = (words for name, words in COMMANDS if name == "prepare" and "train-key" in words)
    assert words[words.index("--env-file") + 1] == prepare["artifacts"]["reports"]["dotenv"]
    assert train["cache"]["key"] == "model-$TRAIN_DIGEST"
    assert "prepare" in train["needs"]
    # Where the variable were empty, the cache would have another training.
    assert {"--resume", "--restart"} <= set(STEPS["train"])


def _expanded(patterns: list[str]) -> Iterator[str]:
    """Write out the braces of patterns, which Python does not know."""
    for pattern in patterns:
        if match := re.search(r"\{([^}]+)\}", pattern):
            yield from (pattern.replace(match[0], name) for name in match[1].split(","))
        else:
            yield pattern


def test_pipeline_offers_every_preset_with_its_initial_weights() -> None:
    assert yaml.safe_load(FILES[1].read_text())["variables"]["PRESET"]["options"] == [*PRESETS]
    fetching = re.findall(r'\$PRESET != "(\w+)"', PIPELINE["face-weights"]["rules"][0]["if"])
    assert fetching == [name for name, preset in PRESETS.items() if preset.train.init_from == "faceres"]


def test_pipeline_refuses_earlier_names_of_variables() -> None:
    job = PIPELINE["renamed-variables"]
    variables = yaml.safe_load(FILES[1].read_text())["variables"]
    for former, name in {"FACES": "DATASET_ARCHIVE", "DATA_SHA256": "DATA_FINGERPRINT", "TRAIN": "TRAIN_ARGS"}.items():
        assert f"${former} ||" in job["rules"][0]["if"]
        assert f"{former} is now {name}" in job["script"][0]
        assert name in variables
    assert "LOGS is now LOG_URI" in job["script"][0]
    assert job["script"][-1] == "false"
    assert PIPELINE["stages"][0] == job["stage"]


def test_no_job_gets_a_secret() -> None:
    tokens = [token for name in JOBS for token in JOBS[name].get("id_tokens", {}).values()]
    assert tokens
    assert all(set(token) == {"aud"} for token in tokens)
    assert not re.search(r"secret|password|_key", FILES[0].read_text().replace("no secret in it", ""), re.IGNORECASE)


def test_infra_and_pipeline_agree_on_audience_and_path_of_the_token() -> None:
    infra = "".join(file.read_text() for file in (ROOT / "infra").glob("*.tf"))
    google = PIPELINE[".google"]
    audience = google["id_tokens"]["GITLAB_OIDC_TOKEN"]["aud"]
    path = google["before_script"][-1].split(" > ")[1]
    assert f'gitlab_audience = "{audience}"' in infra
    assert f"--credential-source-file={path} " in infra
