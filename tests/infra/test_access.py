"""The fake Google Cloud grants what infra/ grants, in roles and permissions that Google has."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from tests.fake_gcp import tokens
from tests.fake_gcp.access import FILE, planned
from tests.fake_gcp.errors import ApiError
from tests.fake_gcp.iam import AUDIENCE
from tests.fake_gcp.roles import CALLS, REFRESH, ROLES
from tests.federation import job_token
from tests.infra.conftest import INFRA, Terraform
from tests.infra.plan import access

_PLANS = "projects/p/roles/infra"
_FILE = "gitlab.com/group/age-gender//.gitlab-ci.yml@"
_KNOWN = frozenset().union(*ROLES.values())


def test_fake_cloud_has_the_grants_of_the_plan(terraform: Terraform, module: Path, reattached: dict[str, str]) -> None:
    """`python -m tests.infra.plan` writes the file again."""
    assert terraform("validate").returncode == 0
    assert json.loads(FILE.read_text()) == access(module, reattached)


def test_every_permission_of_a_custom_role_is_in_a_predefined_role() -> None:
    """Google refuses a custom role with a permission that it does not know, and `apply` ends there."""
    custom = {name: permissions for name, permissions in planned().roles.items() if name not in ROLES}
    assert {name: unknown for name, permissions in custom.items() if (unknown := permissions - _KNOWN)} == {}
    # The role that infra/README.md names as the fall-back.
    build = next(permissions for name, permissions in custom.items() if name.endswith("/build"))
    assert build <= ROLES["roles/run.sourceDeveloper"]


def test_every_granted_role_is_known() -> None:
    assert {grant["role"] for grant in planned().grants} <= set(planned().roles)


def test_every_call_needs_a_permission_that_google_has() -> None:
    assert set(CALLS.values()) <= _KNOWN


def test_no_custom_role_has_a_permission_that_no_call_needs() -> None:
    # A change of metadata reads the object, too.
    holds = {"storage.objects.get", "storage.objects.update"}
    # The next test has the role of plans.
    custom = {name: permissions for name, permissions in planned().roles.items() if name not in {*ROLES, _PLANS}}
    assert frozenset().union(*custom.values()) <= {*CALLS.values(), *holds}


def test_a_plan_may_read_every_resource_and_nothing_else() -> None:
    """A missing permission fails `terraform plan` with 403; the state itself is read from its bucket."""
    source = "".join(file.read_text() for file in INFRA.glob("*.tf"))
    kinds = set(re.findall(r'^resource "(\w+)"', source, re.MULTILINE))
    assert kinds == set(REFRESH)
    needed = frozenset().union(*(REFRESH[kind] for kind in kinds)) - REFRESH["google_billing_budget"]
    of_pools = "roles/iam.workloadIdentityPoolViewer"
    granted = {(grant["on"], grant["role"]) for grant in planned().grants if grant["member"] == "infra"}
    state = ("bucket faces-project-terraform", "roles/storage.objectViewer")
    assert granted == {("project", _PLANS), ("project", of_pools), state}
    assert ROLES[of_pools] | planned().roles[_PLANS] == needed
    # Only what the predefined role lacks is in the custom one, but for the project's own name.
    assert ROLES[of_pools] & planned().roles[_PLANS] == {"resourcemanager.projects.get"}


_DEFAULT = {"ref_path": "refs/heads/main", "ci_config_ref_uri": f"{_FILE}refs/heads/main"}
_TRUSTED = {"ref_path": "refs/heads/infra", "ci_config_ref_uri": f"{_FILE}refs/heads/infra"}
_OTHER = {"ref_path": "refs/heads/release", "ci_config_ref_uri": f"{_FILE}refs/heads/release"}


@pytest.mark.parametrize("claims", [_DEFAULT, _TRUSTED], ids=["default branch", "trusted branch"])
def test_a_job_that_plans_has_the_identity_of_plans(claims: dict[str, str]) -> None:
    assert f"principalSet://iam.googleapis.com/{planned().pool}/attribute.environment/infrastructure" in _members(
        claims
    )


@pytest.mark.parametrize(
    "claims",
    [
        _TRUSTED | {"ref_protected": "false"},
        _OTHER,
        # A merge request from a fork: GitLab's claims are those of its source project.
        _TRUSTED | {"project_id": "4712", "ref_protected": "false"},
        _TRUSTED | {"project_id": "4712"},
        _TRUSTED | {"ci_config_ref_uri": f"{_FILE}refs/heads/feature"},
        _DEFAULT | {"environment": "production"},
    ],
    ids=["unprotected", "other branch", "fork", "protected in a fork", "other file", "deployment"],
)
def test_no_other_job_has_the_identity_of_plans(claims: dict[str, str]) -> None:
    with pytest.raises(ApiError, match="rejected by the attribute condition"):
        _members(claims)


def _members(claims: dict[str, Any]) -> list[str]:
    """Return who a job is to the provider of plans."""
    assertion = tokens.claims(job_token(**{"environment": "infrastructure"} | claims), AUDIENCE)
    return planned().federated(f"//iam.googleapis.com/{planned().pool}/providers/infra", assertion)
