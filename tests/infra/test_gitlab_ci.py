from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PIPELINE = (ROOT / ".gitlab-ci.yml").read_text()
STEPS = re.findall(r"\[python -m training (\w+) (.+)\]", PIPELINE)


def test_pipeline_fits_gitlabs_schema() -> None:
    command = ["check-jsonschema", "--builtin-schema", "vendor.gitlab-ci", "--data-transform", "gitlab-ci"]
    checked = subprocess.run(
        [Path(sys.executable).with_name(command[0]), *command[1:], ROOT / ".gitlab-ci.yml"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert checked.returncode == 0, checked.stdout


@pytest.mark.parametrize("target", sorted(set(re.findall(r"\[make (\S+)\]", PIPELINE))))
def test_make_target_exists(target: str) -> None:
    assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text(), re.MULTILINE)


@pytest.mark.parametrize(("step", "arguments"), STEPS, ids=[step for step, _ in STEPS])
def test_step_exists_with_the_options_it_is_called_with(step: str, arguments: str) -> None:
    command = [sys.executable, "-m", "training", step, "--help"]
    told = subprocess.run(
        command, cwd=ROOT, env={"PYTHONPATH": "function"}, capture_output=True, text=True, check=False
    )
    assert told.returncode == 0, told.stderr
    assert [option for option in re.findall(r"--[\w-]+", arguments) if option not in told.stdout] == []


def test_the_whole_way_is_in_the_pipeline() -> None:
    steps = [step for step, _ in STEPS]
    assert steps == ["prepare", "train", "convert", "evaluate", "gate", "publish", "promote", "rollback"]


def test_google_expects_the_tokens_audience_and_path() -> None:
    infra = "".join(file.read_text() for file in (ROOT / "infra").glob("*.tf"))
    [audience] = re.findall(r"\{aud: (\S+)\}", PIPELINE)
    [path] = re.findall(r'"\$GITLAB_OIDC_TOKEN" > (\S+)', PIPELINE)
    assert f'gitlab_audience = "{audience}"' in infra
    assert f"--credential-source-file={path} " in infra
