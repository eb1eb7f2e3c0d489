from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.infra import provider

INFRA = Path(__file__).parents[2] / "infra"
Terraform = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def program() -> str:
    found = shutil.which("terraform")
    if found is None:
        pytest.skip("terraform is not installed: infra/ stays unchecked here")
    return found


@pytest.fixture(scope="module")
def reattached() -> Iterator[dict[str, str]]:
    with provider.serving() as found_at:
        # A configuration file of the user's may name mirrors; nothing is to be downloaded.
        yield {k: v for k, v in os.environ.items() if k != "TF_CLI_CONFIG_FILE"} | found_at


@pytest.fixture
def module(tmp_path: Path) -> Path:
    """A copy of infra/ to change and to initialise."""
    for file in [*INFRA.glob("*.tf"), *INFRA.glob("*.sh")]:
        shutil.copy(file, tmp_path)
    (tmp_path / "tests").mkdir()
    shutil.copy(Path(__file__).with_name("plan.tftest.hcl"), tmp_path / "tests")
    return tmp_path


@pytest.fixture
def terraform(program: str, reattached: dict[str, str], module: Path) -> Terraform:
    """Runs Terraform in the copy."""

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [program, *arguments, "-no-color"]
        return subprocess.run(command, cwd=module, env=reattached, capture_output=True, text=True, check=False)

    initialised = run("init", "-backend=false", "-input=false")
    assert initialised.returncode == 0, initialised.stderr
    return run


@pytest.mark.parametrize("folder", [INFRA, Path(__file__).parent], ids=lambda folder: folder.name)
def test_files_are_formatted(program: str, folder: Path) -> None:
    checked = subprocess.run([program, "fmt", "-check", "-diff", folder], capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stdout


def test_configuration_fits_the_providers_schema(terraform: Terraform) -> None:
    validated = terraform("validate")
    assert validated.returncode == 0, validated.stderr


def test_misspelt_argument_is_refused(terraform: Terraform, module: Path) -> None:
    bucket = module / "release_bucket.tf"
    bucket.write_text(bucket.read_text().replace("public_access_prevention", "public_access_prevented"))
    validated = terraform("validate")
    assert 'argument named "public_access_prevented" is not expected' in validated.stderr


def test_rights_and_conditions_are_the_intended_ones(terraform: Terraform) -> None:
    tested = terraform("test")
    assert tested.returncode == 0, tested.stdout + tested.stderr


def test_readme_names_every_variable_and_output() -> None:
    readme = (INFRA / "README.md").read_text()
    source = "".join(file.read_text() for file in INFRA.glob("*.tf"))
    documented = {"variable": "| `{}` |", "output": "terraform output -raw {}"}
    named = re.findall(r'^(variable|output) "(\w+)"', source, re.MULTILINE)
    assert [name for kind, name in named if documented[kind].format(name) not in readme] == []
