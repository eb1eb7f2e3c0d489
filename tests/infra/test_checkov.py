from __future__ import annotations

import json
import os
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.infra.conftest import INFRA, ROOT

CHECKOV = ROOT / ".venv-checkov" / "bin" / "checkov"

pytestmark = pytest.mark.skipif(not CHECKOV.exists(), reason="checkov is not installed: run `make check`")


@pytest.mark.slow
def test_checkov_finds_nothing_in_any_resource() -> None:
    found = _check(INFRA)
    assert [f"{check['check_id']} {check['resource']}" for check in found["failed_checks"]] == []
    seen = {check["resource"].split("[")[0] for check in [*found["passed_checks"], *found["skipped_checks"]]}
    source = "".join(file.read_text() for file in INFRA.glob("*.tf"))
    kinds = {f"{kind}.{name}" for kind, name in re.findall(r'^resource "(\w+)" "(\w+)"', source, re.MULTILINE)}
    assert {"google_storage_bucket.releases", "google_project_iam_member.deployer"} <= seen
    # checkov also checks optional resources.
    assert "google_compute_instance.gpu_runner" in seen
    assert seen <= kinds


def test_every_exception_has_a_reason() -> None:
    source = "".join(file.read_text() for file in INFRA.glob("*.tf"))
    exceptions = re.findall(r"#checkov:skip=(.*)", source)
    assert len(exceptions) > 5
    assert [exception for exception in exceptions if not re.fullmatch(r"CKV2?_GCP_\d+: .{20,}", exception)] == []


@pytest.mark.slow
def test_checkov_finds_a_public_bucket(tmp_path: Path) -> None:
    bucket = (INFRA / "release_bucket.tf").read_text()
    (tmp_path / "bucket.tf").write_text(bucket.replace('public_access_prevention    = "enforced"', ""))
    assert "CKV_GCP_114" in [check["check_id"] for check in _check(tmp_path)["failed_checks"]]


def _check(folder: Path) -> dict[str, Any]:
    command = [str(CHECKOV), "--directory", str(folder), "--skip-download", "--output", "json"]
    # The user's configuration may name mirrors, but the tests must not download anything.
    environment = {name: value for name, value in os.environ.items() if name != "TF_CLI_CONFIG_FILE"}
    told = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    results: dict[str, Any] = json.loads(told.stdout)["results"]
    return results
