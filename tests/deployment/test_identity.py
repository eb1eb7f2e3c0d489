"""Identity tokens from GitLab's identity, without a key."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.deployment.conftest import Setup
from tests.fake_gcp import tokens
from training.deployment import identity
from training.errors import StepError

AUDIENCE = "https://age-gender-abcdefghij-ew.a.run.app"


def test_service_on_loopback_needs_no_token() -> None:
    assert identity.token("http://127.0.0.1:8080/run/age-gender") == ""


def test_gitlab_identity_creates_a_service_account_token(setup: Setup) -> None:
    """GitLab's own identity creates it: the access token of the account may not."""
    address = setup.service.address()
    found = tokens.claims(identity.token(address), address)
    assert (found["members"], found["email"]) == (["deployer"], "deployer@example.com")


def test_credentials_without_identity_tokens_are_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(tmp_path / "none.json"))
    with pytest.raises(StepError, match="use a service account that may invoke"):
        identity.token(AUDIENCE)
