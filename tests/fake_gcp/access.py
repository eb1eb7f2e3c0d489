"""Who may do what: the grants and the federation of infra/, as Terraform plans them.

access.json has them; `python -m tests.infra.plan` writes it, and a test compares it with the plan.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from tests.fake_gcp.errors import ApiError
from tests.fake_gcp.roles import ROLES

FILE = Path(__file__).with_name("access.json")
OWNER = "owner"
"""A person who owns the project."""
_SUBJECT_BYTES = 127


@dataclass(frozen=True)
class Access:
    """The grants of one Google Cloud project."""

    project: str
    roles: dict[str, frozenset[str]]
    grants: tuple[dict[str, str], ...]
    pool: str
    providers: dict[str, dict[str, Any]]
    """Providers of the identity pool by name."""

    def require(self, members: list[str], permission: str, on: str = "project", name: str = "") -> None:
        """Refuse a caller without the permission.

        Args:
            members: names of the caller in grants.
            permission: for example run.services.get.
            on: "bucket B", "service S", "account A", "repository", or "project". A grant on the project covers all.
            name: full name of an object, for conditions.

        Raises:
            ApiError: 403.
        """
        if OWNER not in members and not any(self._allows(each, members, permission, on, name) for each in self.grants):
            raise ApiError(403, f"Permission '{permission}' denied on {on} {name}".rstrip() + f" for {members}.")

    def federated(self, audience: str, assertion: dict[str, Any]) -> list[str]:
        """Return the members that GitLab's token is for a provider.

        Raises:
            ApiError: 400 if there is no such provider, 401 if the token does not meet its condition.
        """
        found = [
            each
            for each in self.providers.values()
            if audience == f"//iam.googleapis.com/{self.pool}/providers/{each['name']}"
        ]
        if not found:
            raise ApiError(400, f"Invalid value for audience: {audience}")
        (provider,) = found
        if assertion.get("iss") != provider["issuer"] or assertion["aud"] not in provider["audiences"]:
            raise ApiError(401, "The issuer or the audience of the credential is not allowed.")
        if not _evaluated(provider["condition"], assertion):
            raise ApiError(401, f"The given credential is rejected by the attribute condition {provider['condition']}.")
        values = {name: _evaluated(expression, assertion) for name, expression in provider["mapping"].items()}
        if len(values["google.subject"].encode()) > _SUBJECT_BYTES:
            raise ApiError(400, f"The size of mapped attribute google.subject exceeds {_SUBJECT_BYTES} bytes.")
        return [f"principalSet://iam.googleapis.com/{self.pool}/{name}/{value}" for name, value in values.items()]

    def _allows(self, grant: dict[str, str], members: list[str], permission: str, on: str, name: str) -> bool:
        return (
            grant["member"] in members
            and grant["on"] in ("project", on)
            and permission in self.roles[grant["role"]]
            and _holds(grant["condition"], name)
        )


@cache
def planned() -> Access:
    """Return what infra/ grants."""
    stated = json.loads(FILE.read_text())
    roles = ROLES | {name: frozenset(permissions) for name, permissions in stated["roles"].items()}
    return Access(stated["project"], roles, tuple(stated["grants"]), stated["pool"], stated["providers"])


def _holds(condition: str, name: str) -> bool:
    """Evaluate a condition about the name of an object."""
    if not condition:
        return True
    match = re.fullmatch(r'resource\.name(?: (==|!=) |\.(startsWith)\()"([^"]+)"\)?', condition)
    assert match, condition
    if match[2]:
        return name.startswith(match[3])
    return (match[3] == name) == (match[1] == "==")


def _evaluated(expression: str, assertion: dict[str, Any]) -> Any:
    """Evaluate an expression of the Common Expression Language, of which infra/ uses what Python has, too."""
    text = expression.replace("&&", " and ").replace("||", " or ")
    try:
        return eval(text, {"__builtins__": {}, "assertion": SimpleNamespace(**assertion)})  # noqa: S307 - our own
    except AttributeError as error:
        raise ApiError(401, f"The credential lacks a claim of {expression}: {error}") from error
