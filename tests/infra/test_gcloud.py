from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import federation
from tests.infra.conftest import INFRA, ROOT, Terraform, outputs

# Replace placeholders such as <bucket> with words that the linter accepts.
PLACEHOLDER = re.compile(r"<([\w-]+)>")
FENCE = re.compile(r"^```\w*\n(.*?)^```", re.MULTILINE | re.DOTALL)
# A command at the start of a line of a script or of a YAML list, in a substitution, or in backticks.
IN_SCRIPT = re.compile(r"(?:^\s*(?:- )?|\$\()(gcloud [^#|)\n]+)", re.MULTILINE)
IN_PROSE = re.compile(r"`(gcloud [^`]+)`")


@pytest.fixture(scope="module")
def gcloud() -> str:
    found = shutil.which("gcloud")
    if found is None:
        pytest.skip("gcloud is not installed")
    return found


def test_gcloud_accepts_the_commands_in_files(gcloud: str, tmp_path: Path) -> None:
    commands = {command: path for path in _files() for command in _commands(path)}
    assert {path.name for path in commands.values()} >= {"README.md", "variables.tf", "gpu_runner.sh"}
    assert _refused(gcloud, list(commands), tmp_path) == {}


def test_gcloud_accepts_the_commands_in_outputs(gcloud: str, terraform: Terraform, tmp_path: Path) -> None:
    commands = _in_script("\n".join(outputs(terraform).values()))
    assert {command.split()[1] for command in commands} >= {"iam", "run", "storage", "secrets", "compute"}
    assert _refused(gcloud, commands, tmp_path) == {}


@pytest.mark.parametrize("identity", ["training", "deployer", "infra"])
def test_gcloud_makes_the_credential_files_of_the_tests(
    gcloud: str, terraform: Terraform, tmp_path: Path, identity: str
) -> None:
    made = f"{identity}.json"
    script = outputs(terraform)["gitlab_setup"].splitlines()
    (call,) = [line for line in script if line.startswith("credential ") and made in line]
    functions = (INFRA / "gitlab_setup.sh").read_text()
    # Only the upload to GitLab is left out.
    offline = "glab() { :; }\nput() { :; }\nrequire() { :; }\n"
    environment = {**os.environ, "CLOUDSDK_CONFIG": str(tmp_path / "gcloud")}
    command = ["sh", "-c", functions + offline + call]
    subprocess.run(command, cwd=tmp_path, env=environment, check=True, capture_output=True)
    assert json.loads((tmp_path / made).read_text()) == json.loads(federation.credentials(identity))


def test_gcloud_refuses_a_misspelt_flag(gcloud: str, tmp_path: Path) -> None:
    refused = _refused(gcloud, ["gcloud run services update x --no-trafic", "gcloud run services list"], tmp_path)
    assert list(refused) == ["gcloud run services update x --no-trafic"]


def _files() -> Iterator[Path]:
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True)
    for name in listed.stdout.splitlines():
        # Earlier versions had other commands.
        if name.endswith((".md", ".tf", ".sh", ".yml", "Dockerfile")) and name != "CHANGELOG.md":
            yield ROOT / name


def _commands(path: Path) -> list[str]:
    text = path.read_text()
    if path.suffix != ".md":
        # Another test checks the rendered commands of outputs.
        return [*(_in_script(text) if path.suffix != ".tf" else []), *IN_PROSE.findall(text)]
    fenced = "\n".join(FENCE.findall(text))
    return [*_in_script(fenced), *IN_PROSE.findall(FENCE.sub("", text).replace("\n", " "))]


def _in_script(text: str) -> list[str]:
    return [" ".join(command.split()) for command in IN_SCRIPT.findall(text.replace("\\\n", " "))]


def _refused(gcloud: str, commands: list[str], folder: Path) -> dict[str, str]:
    """Return the commands that gcloud's offline linter refuses, with its messages."""
    written = {PLACEHOLDER.sub(r"\1", command): command for command in commands}
    listed = folder / "commands.json"
    listed.write_text(json.dumps([{"command_string": command} for command in written]))
    lint = [gcloud, "meta", "lint-gcloud-commands", f"--commands-file={listed}"]
    linted = json.loads(subprocess.run(lint, capture_output=True, text=True, check=True).stdout)
    assert len(linted) == len(written)
    # The linter keeps the order of the commands, but reformats them.
    return {
        command: result["error_message"]
        for command, result in zip(written.values(), linted, strict=True)
        if not result["success"]
    }
