"""Identity tokens from GitLab's identity, without a key."""

from __future__ import annotations

import json
from base64 import urlsafe_b64encode
from pathlib import Path

import pytest
from google.auth import iam

from tests.scripted_server import scripted
from training.deployment import identity
from training.errors import StepError

AUDIENCE = "https://age-gender-abcdefghij-ew.a.run.app"


def test_service_on_loopback_needs_no_token() -> None:
    assert identity.token("http://127.0.0.1:8080/run/age-gender") == ""


def test_gitlab_identity_creates_a_service_account_token(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    payload = urlsafe_b64encode(json.dumps({"exp": 2_000_000_000}).encode()).decode().rstrip("=")
    token = f"{urlsafe_b64encode(b'{}').decode().rstrip('=')}.{payload}.AAAA"
    exchanged = {
        "access_token": "federated",
        "issued_token_type": "urn:ietf:params:oauth:token-type:access_token",
        "token_type": "Bearer",
        "expires_in": 3600,
    }
    with scripted((200, exchanged, {}), (200, {"token": token}, {})) as google:
        subject = tmp_path / "gitlab-oidc-token"
        subject.write_text("of GitLab")
        account = "age-gender-deployer@a-project.iam.gserviceaccount.com"
        file = tmp_path / "credentials.json"
        file.write_text(
            json.dumps(
                {
                    "type": "external_account",
                    "audience": "//iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/p/providers/p",
                    "subject_token_type": "urn:ietf:params:oauth:token-type:jwt",
                    "token_url": f"{google.url}/v1/token",
                    "credential_source": {"file": str(subject)},
                    "service_account_impersonation_url": "https://iamcredentials.googleapis.com/v1/projects/-/"
                    f"serviceAccounts/{account}:generateAccessToken",
                }
            )
        )
        monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(file))
        monkeypatch.setattr(iam, "_IAM_IDTOKEN_ENDPOINT", google.url + "/v1/serviceAccounts/{}:generateIdToken")
        assert identity.token(AUDIENCE) == token
    headers = [{name.lower(): value for name, value in request.items()} for request in google.requests]
    assert [each.get("authorization") for each in headers] == [None, "Bearer federated"]


def test_credentials_without_identity_tokens_are_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(tmp_path / "none.json"))
    with pytest.raises(StepError, match="use a service account that may invoke"):
        identity.token(AUDIENCE)
