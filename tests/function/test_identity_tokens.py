"""Identity tokens for a private service, from each of their sources."""

from __future__ import annotations

import base64
import json
import time
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from age_gender.identity import IdentityTokens
from age_gender.transport import ServerError
from tests.scripted_server import scripted

URL = "https://faces.example/prefix"


def token(seconds: float, name: str = "") -> str:
    """A token that expires in so many seconds."""
    payload = json.dumps({"exp": int(time.time() + seconds), "name": name}).encode()
    return f"e30.{base64.urlsafe_b64encode(payload).decode().rstrip('=')}.c2ln"


TOKEN = token(3600)


@pytest.fixture(autouse=True)
def no_sources(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """No credentials, no metadata server, no gcloud; the folder is the PATH."""
    monkeypatch.delenv("GOOGLE_APPLICATION_CREDENTIALS", raising=False)
    monkeypatch.setenv("GCE_METADATA_HOST", "127.0.0.1:1")
    monkeypatch.setenv("PATH", str(tmp_path))
    return tmp_path


def gcloud(folder: Path, script: str) -> None:
    (folder / "gcloud").write_text(f"#!/bin/sh\n{script}\n")
    (folder / "gcloud").chmod(0o755)


def test_each_source_that_has_no_token_is_named() -> None:
    with pytest.raises(ServerError) as refusal:
        IdentityTokens(URL)()
    assert str(refusal.value) == (
        "no identity token for https://faces.example: GOOGLE_APPLICATION_CREDENTIALS is not set; there is no metadata "
        "server; gcloud is not installed. Sign in with `gcloud auth login`, or give a token to --identity-token"
    )


def test_a_source_that_returns_something_else_is_passed_over(monkeypatch: pytest.MonkeyPatch, no_sources: Path) -> None:
    gcloud(no_sources, f"echo {TOKEN}")
    with scripted((200, b"<html>Sign in to this network</html>", {})) as portal:
        monkeypatch.setenv("GCE_METADATA_HOST", portal.url.removeprefix("http://"))
        assert IdentityTokens(URL)() == TOKEN


def test_gcloud_gives_the_token_of_a_person(no_sources: Path) -> None:
    gcloud(no_sources, f'[ "$*" = "auth print-identity-token" ] && echo {TOKEN}')
    assert IdentityTokens(URL)() == TOKEN
    gcloud(no_sources, "echo 'ERROR: You do not have an active account' >&2; exit 1")
    with pytest.raises(ServerError, match="gcloud: ERROR: You do not have an active account"):
        IdentityTokens(URL)()


def test_the_metadata_server_gives_the_token_of_a_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    with scripted((200, TOKEN.encode(), {})) as metadata:
        monkeypatch.setenv("GCE_METADATA_HOST", metadata.url.removeprefix("http://"))
        assert IdentityTokens(URL)() == TOKEN
    path = "/computeMetadata/v1/instance/service-accounts/default/identity?audience=https%3A%2F%2Ffaces.example"
    assert metadata.targets == [f"GET {path}"]
    assert metadata.requests[0]["Metadata-Flavor"] == "Google"


def test_application_default_credentials_give_the_token_of_a_service_account(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    key = rsa.generate_private_key(65537, 2048).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    with scripted((200, {"id_token": TOKEN}, {"Content-Type": "application/json"})) as google:
        account = {"type": "service_account", "client_email": "caller@faces.example", "private_key": key.decode()}
        (tmp_path / "key.json").write_text(json.dumps({**account, "private_key_id": "1", "token_uri": google.url}))
        monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(tmp_path / "key.json"))
        assert IdentityTokens(URL)() == TOKEN


def test_a_token_is_kept_until_it_expires(no_sources: Path) -> None:
    tokens = IdentityTokens(URL)
    gcloud(no_sources, f"echo {token(3600, 'first')}")
    first = tokens()
    gcloud(no_sources, f"echo {token(60, 'second')}")
    assert tokens() == first
    other = IdentityTokens(URL)
    second = other()
    gcloud(no_sources, f"echo {token(3600, 'third')}")
    assert other() != second
