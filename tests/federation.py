"""The identity of a job: GitLab's token, and the credential file that infra/ makes for it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.fake_gcp import tokens
from tests.fake_gcp.access import planned
from tests.fake_gcp.iam import AUDIENCE

ENVIRONMENTS = ("candidate", "production")
WRITTEN_AT = "build/gitlab-oidc-token"
"""Where a job writes its token."""
# seconds; a token lives as long as the timeout of its job, here of the longest
_TIMEOUT = 3 * 3600
# Claims of a job on the default branch: GitLab, "OpenID Connect (OIDC) authentication using ID tokens".
_CLAIMS = {
    "iss": "https://gitlab.com",
    "sub": "project_path:group/age-gender:ref_type:branch:ref:main",
    "project_id": "4711",
    "project_path": "group/age-gender",
    "job_id": "9876543210",
    "ref": "main",
    "ref_type": "branch",
    "ref_path": "refs/heads/main",
    "ref_protected": "true",
    "ci_config_ref_uri": "gitlab.com/group/age-gender//.gitlab-ci.yml@refs/heads/main",
}


def job_token(environment: str = "", seconds: float = _TIMEOUT, **claims: str) -> str:
    """Return the token that GitLab gives a job, of an environment or of none."""
    own = {"environment": environment, "environment_protected": "true"} if environment else {}
    return tokens.issue(AUDIENCE, seconds, **{**_CLAIMS, **own, **claims})


def credentials(identity: str, token_file: str = WRITTEN_AT) -> str:
    """Return the file that `gcloud iam workload-identity-pools create-cred-config` makes.

    Args:
        identity: "training", "deployer" or "infra".
        token_file: path of GitLab's token.
    """
    account = f"{identity}@example.com"
    made = {
        "universe_domain": "googleapis.com",
        "type": "external_account",
        "audience": f"//iam.googleapis.com/{planned().pool}/providers/{identity}",
        "subject_token_type": "urn:ietf:params:oauth:token-type:jwt",
        "token_url": "https://sts.googleapis.com/v1/token",
        "service_account_impersonation_url": (
            f"https://iamcredentials.googleapis.com/v1/projects/-/serviceAccounts/{account}:generateAccessToken"
        ),
        "credential_source": {"file": token_file},
    }
    return json.dumps(made, indent=2)


def job(folder: Path, environment: str = "", **claims: Any) -> Mapping[str, str]:
    """Return the environment variables of a job of GitLab whose files lie in `folder`."""
    token, file = folder / "gitlab-oidc-token", folder / "credentials.json"
    token.write_text(job_token(environment, **claims))
    file.write_text(credentials("deployer" if environment else "training", str(token)))
    return {"GOOGLE_APPLICATION_CREDENTIALS": str(file), "GOOGLE_CLOUD_PROJECT": planned().project}
