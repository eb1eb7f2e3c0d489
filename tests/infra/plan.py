"""Read the grants and the federation out of a mocked apply of infra/, for the fake Google Cloud.

    python -m tests.infra.plan

writes them into tests/fake_gcp/access.json.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from tests.fake_gcp.access import FILE
from tests.infra import provider

INFRA = Path(__file__).parents[2] / "infra"
PLANS = Path(__file__).with_name("plans")
# With all optional resources.
_PLAN = "tests/outputs.tftest.hcl"


def copy_module(folder: Path) -> None:
    """Copy infra/ with its plans into a folder."""
    for file in [*INFRA.glob("*.tf"), *INFRA.glob("*.sh")]:
        shutil.copy(file, folder)
    shutil.copytree(PLANS, folder / "tests")


def access(folder: Path, environment: dict[str, str]) -> dict[str, Any]:
    """Return what the initialised module in `folder` grants."""
    command = ["terraform", "test", "-json", "-verbose", f"-filter={_PLAN}"]
    tested = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert tested.returncode == 0, tested.stdout[-2000:] + tested.stderr
    events = [json.loads(line) for line in tested.stdout.splitlines()]
    (state,) = [event["test_state"] for event in events if event["type"] == "test_state"]
    resources = state["root_module"]["resources"]
    return {
        "project": "faces-project",
        "pool": _values(resources, "google_iam_workload_identity_pool")[0]["name"],
        "providers": {
            each["workload_identity_pool_provider_id"]: _provider(each)
            for each in _values(resources, "google_iam_workload_identity_pool_provider")
        },
        "roles": {
            each["name"]: sorted(each["permissions"]) for each in _values(resources, "google_project_iam_custom_role")
        },
        "grants": sorted(_grants(resources), key=lambda grant: json.dumps(grant, sort_keys=True)),
    }


def _grants(resources: list[dict[str, Any]]) -> Iterator[dict[str, str]]:
    kinds: dict[str, Callable[[dict[str, Any]], str]] = {
        "google_project_iam_member": lambda _: "project",
        "google_storage_bucket_iam_member": lambda each: f"bucket {each['bucket']}",
        "google_cloud_run_v2_service_iam_member": lambda each: f"service {each['name']}",
        "google_service_account_iam_member": lambda each: f"account {each['service_account_id'].rpartition('/')[2]}",
        "google_artifact_registry_repository_iam_member": lambda _: "repository",
        "google_secret_manager_secret_iam_member": lambda each: f"secret {each['secret_id']}",
    }
    for resource in resources:
        if resource["type"].endswith("_iam_member"):
            each = resource["values"]
            condition = each["condition"][0]["expression"] if each.get("condition") else ""
            grant = {"on": kinds[resource["type"]](each), "role": each["role"], "member": each["member"]}
            yield grant | {"condition": condition}


def _provider(values: dict[str, Any]) -> dict[str, Any]:
    (oidc,) = values["oidc"]
    return {
        "name": values["workload_identity_pool_provider_id"],
        "issuer": oidc["issuer_uri"],
        "audiences": oidc["allowed_audiences"],
        "condition": values["attribute_condition"],
        "mapping": values["attribute_mapping"],
    }


def _values(resources: list[dict[str, Any]], kind: str) -> list[dict[str, Any]]:
    return [each["values"] for each in resources if each["type"] == kind]


def main() -> None:
    with provider.serving() as found_at, tempfile.TemporaryDirectory() as temporary:
        environment, folder = os.environ | found_at, Path(temporary)
        copy_module(folder)
        command = ["terraform", "init", "-backend=false", "-input=false"]
        subprocess.run(command, cwd=folder, env=environment, check=True, stdout=subprocess.DEVNULL)
        FILE.write_text(json.dumps(access(folder, environment), indent=1, sort_keys=True) + "\n")


if __name__ == "__main__":
    main()
