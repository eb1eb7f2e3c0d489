from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.infra import provider
from tests.infra.plan import copy_module

ROOT = Path(__file__).parents[2]
INFRA = ROOT / "infra"
Terraform = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="session")
def program() -> str:
    found = shutil.which("terraform")
    if found is None:
        pytest.skip("terraform is not installed")
    return found


@pytest.fixture(scope="session")
def reattached() -> Iterator[dict[str, str]]:
    with provider.serving() as found_at:
        # The user's configuration may name mirrors, but the tests must not download anything.
        yield {k: v for k, v in os.environ.items() if k != "TF_CLI_CONFIG_FILE"} | found_at


@pytest.fixture
def module(tmp_path: Path) -> Path:
    """Return a copy of infra/ that tests may change."""
    copy_module(tmp_path)
    return tmp_path


@pytest.fixture
def terraform(program: str, reattached: dict[str, str], module: Path) -> Terraform:
    """Return a function that runs Terraform in the copy."""

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [program, *arguments, "-no-color"]
        return subprocess.run(command, cwd=module, env=reattached, capture_output=True, text=True, check=False)

    initialised = run("init", "-backend=false", "-input=false")
    assert initialised.returncode == 0, initialised.stderr
    return run


def outputs(terraform: Terraform) -> dict[str, str]:
    """Return all rendered outputs, with all optional resources."""
    told = terraform("test", "-json", "-verbose", "-filter=tests/outputs.tftest.hcl").stdout
    [state] = [event["test_state"] for event in map(json.loads, told.splitlines()) if event["type"] == "test_state"]
    return {name: output["value"] for name, output in state["outputs"].items()}
