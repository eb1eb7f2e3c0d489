"""The script that sets up GitLab, with a stand-in for glab that refuses what glab refuses."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from tests.infra.conftest import Terraform, outputs

# Create-only `set`, change-only `update`, one value for each scope, as in glab's sources.
_GLAB = r"""#!/bin/sh
case "$1 $2" in
"variable get" | "variable set" | "variable update")
  verb=$2 name=$3 scope='*' value=
  shift 3
  [ "$verb" = get ] || { value=$1; shift; }
  while [ $# -gt 0 ]; do
    case $1 in --scope) scope=$2 ;; --type) ;; *) echo "unknown flag $1" >&2; exit 1 ;; esac
    shift 2
  done
  file="$STATE/variables/$name-$(printf %s "$scope" | tr '*' _)"
  case $verb in
  get) cat "$file" ;;
  set) [ ! -e "$file" ] || { echo "400: $name has already been taken" >&2; exit 1; }; printf %s "$value" >"$file" ;;
  update) [ -e "$file" ] || { echo "404: Variable Not Found" >&2; exit 1; }; printf %s "$value" >"$file" ;;
  esac ;;
"api --method")
  [ "$ROLE" = owner ] || { echo "403 Forbidden" >&2; exit 1; }
  printf %s "${6#*=}" >"$STATE/role" ;;
"api projects/:id") printf '{"id":1,"ci_pipeline_variables_minimum_override_role":"%s","x":1}' "$(cat "$STATE/role")" ;;
*) echo "unknown command $*" >&2; exit 1 ;;
esac
"""
_GCLOUD = r"""#!/bin/sh
for last; do case $last in --output-file=*) printf '{"type": "external_account"}' >"${last#*=}" ;; esac; done
"""


def _run(script: str, folder: Path, role: str = "owner") -> subprocess.CompletedProcess[str]:
    (folder / "variables").mkdir(exist_ok=True)
    (folder / "role").touch()
    for name, text in (("glab", _GLAB), ("gcloud", _GCLOUD)):
        (folder / name).write_text(text)
        (folder / name).chmod(0o755)
    environment = {"PATH": f"{folder}:/usr/bin:/bin", "STATE": str(folder), "ROLE": role}
    return subprocess.run(
        ["sh"], input=script, cwd=folder, env=environment, capture_output=True, text=True, check=False
    )


@pytest.fixture
def script(terraform: Terraform) -> str:
    return outputs(terraform)["gitlab_setup"]


def test_setup_sets_everything_and_can_be_run_again(script: str, tmp_path: Path) -> None:
    for _ in range(2):
        done = _run(script, tmp_path)
        assert done.returncode == 0, done.stderr
        assert done.stdout.endswith("GitLab is set up\n")
    # A changed value reaches GitLab.
    done = _run(script.replace("gs://", "gs://other-"), tmp_path)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "variables" / "REGISTRY-_").read_text().startswith("gs://other-")
    assert (tmp_path / "role").read_text() == "maintainer"
    scopes = [path.name for path in sorted((tmp_path / "variables").glob("GOOGLE_APPLICATION_*"))]
    assert [name.partition("-")[2] for name in scopes] == ["_", "candidate", "infrastructure", "production"]
    kept = json.loads((tmp_path / "variables" / "GOOGLE_APPLICATION_CREDENTIALS-production").read_text())
    assert kept["type"] == "external_account"


def test_setup_says_who_may_change_the_setting(script: str, tmp_path: Path) -> None:
    done = _run(script, tmp_path, role="developer")
    assert done.returncode == 1
    assert "only an Owner of the project can change" in done.stderr
    assert "GitLab is set up" not in done.stdout
