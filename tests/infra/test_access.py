"""The fake Google Cloud grants what infra/ grants, in roles and permissions that Google has."""

from __future__ import annotations

import json
from pathlib import Path

from tests.fake_gcp.access import FILE, planned
from tests.fake_gcp.roles import CALLS, ROLES
from tests.infra.conftest import Terraform
from tests.infra.plan import access

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
    custom = {name: permissions for name, permissions in planned().roles.items() if name not in ROLES}
    assert frozenset().union(*custom.values()) <= {*CALLS.values(), *holds}
