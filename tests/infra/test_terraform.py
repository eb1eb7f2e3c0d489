from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from serving.settings import variables
from tests.infra.conftest import INFRA, Terraform

PLANS = Path(__file__).with_name("plans")


@pytest.mark.parametrize("folder", [INFRA, PLANS], ids=lambda folder: folder.name)
def test_files_are_formatted(program: str, folder: Path) -> None:
    command = [program, "fmt", "-check", "-diff", "-recursive", str(folder)]
    checked = subprocess.run(command, capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stdout


def test_configuration_fits_the_providers_schema(terraform: Terraform) -> None:
    validated = terraform("validate")
    assert validated.returncode == 0, validated.stderr


def test_misspelt_argument_is_refused(terraform: Terraform, module: Path) -> None:
    bucket = module / "release_bucket.tf"
    bucket.write_text(bucket.read_text().replace("public_access_prevention", "public_access_prevented"))
    validated = terraform("validate")
    assert 'argument named "public_access_prevented" is not expected' in validated.stderr


@pytest.mark.parametrize("plan", sorted(path.name for path in PLANS.glob("*.hcl")))
def test_plan_is_the_intended_one(terraform: Terraform, plan: str) -> None:
    tested = terraform("test", f"-filter=tests/{plan}")
    assert tested.returncode == 0, tested.stdout + tested.stderr


def test_settings_are_the_functions_own() -> None:
    [listed] = re.findall(r"settings = \[(.+?)\]", (INFRA / "service.tf").read_text(), re.DOTALL)
    # Set by the pipeline, in Secret Manager, and by Terraform itself.
    others = {"MODEL_URI", "MODEL_SHA256", "MANIFEST_SHA256", "API_KEY", "GOOGLE_CLOUD_PROJECT"}
    assert re.findall(r'"(\w+)"', listed) == sorted({variable.name for variable in variables()} - others)


def test_readme_names_every_variable_and_output() -> None:
    readme = (INFRA / "README.md").read_text()
    source = "".join(file.read_text() for file in INFRA.glob("*.tf"))
    documented = {"variable": "| `{}` |", "output": "terraform output -raw {}"}
    named = re.findall(r'^(variable|output) "(\w+)"', source, re.MULTILINE)
    assert [name for kind, name in named if documented[kind].format(name) not in readme] == []
