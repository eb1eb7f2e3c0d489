"""A release is signed whole, and what was changed, added, left out or signed by others is told by name."""

from __future__ import annotations

import argparse
import base64
import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from tests.conftest import FUNCTION
from tests.signatures import bundle, digest, public, restate, write_key
from training.commands import signing as options
from training.errors import StepError
from training.registry import keys, signing
from training.registry.local import release_files
from training.registry.registry import Registry
from training.registry.signatures import SIGNATURE
from training.registry.signing import Signer, Trust, sign, verify

PROJECT = "gitlab.com/group/project//.gitlab-ci.yml@refs/heads/main"
FILES = sorted(path.name for path in (FUNCTION / "model").iterdir() if path.name != SIGNATURE)


def test_a_signed_release_tells_whose_it_is(signed: Path, ours: Path) -> None:
    assert verify(signed, Trust(key=public(ours))) == f"the key {digest(ours)}"
    assert verify(release_files(signed), Trust(key=public(ours))) == f"the key {digest(ours)}"


@pytest.mark.skipif(not shutil.which("openssl"), reason="openssl is not installed")
def test_the_recipes_make_keys_that_sign(release: Path, tmp_path: Path) -> None:
    for recipe in (keys.RECIPE, keys.PUBLIC_RECIPE):
        subprocess.run(recipe.strip("`"), shell=True, cwd=tmp_path, check=True, capture_output=True)  # noqa: S602
    sign(release, Signer(key=str(tmp_path / "signing-key.pem")))
    assert (
        verify(release, Trust(key=public(tmp_path / "signing-key.pem")))
        == f"the key {digest(tmp_path / 'signing-key.pem')}"
    )


@pytest.mark.parametrize("name", FILES)
def test_an_altered_file_is_named(signed: Path, ours: Path, name: str) -> None:
    with (signed / name).open("ab") as file:
        file.write(b"\n")
    with pytest.raises(StepError, match=f"is not what the key {digest(ours)} signed: altered {name};"):
        verify(signed, Trust(key=public(ours)))


@pytest.mark.parametrize("name", FILES)
def test_a_missing_file_is_named(signed: Path, ours: Path, name: str) -> None:
    (signed / name).unlink()
    with pytest.raises(StepError, match=f"signed: missing {name};"):
        verify(signed, Trust(key=public(ours)))


@pytest.mark.parametrize("name", ["another.tflite", ".hidden", "model.sig.old", ".gitignore"])
def test_an_added_file_is_named(signed: Path, ours: Path, name: str) -> None:
    (signed / name).write_bytes(b"")
    with pytest.raises(StepError, match=f"signed: added {name};"):
        verify(signed, Trust(key=public(ours)))


def test_all_that_was_done_to_a_release_is_told_at_once(signed: Path, ours: Path) -> None:
    (signed / "card.md").rename(signed / "readme.md")
    (signed / "gate.json").write_text("{}")
    with pytest.raises(StepError, match=r"signed: altered gate.json, added readme.md, missing card.md;"):
        verify(signed, Trust(key=public(ours)))


def test_a_file_outside_of_the_release_is_an_added_one(signed: Path, ours: Path) -> None:
    files = release_files(signed) | {"../outside": b""}
    with pytest.raises(StepError, match=r"signed: added \.\./outside;"):
        verify(files, Trust(key=public(ours)))


def test_who_restates_the_digests_lacks_the_key(signed: Path, ours: Path) -> None:
    data = (signed / "model.tflite").read_bytes()[::-1]
    (signed / "model.tflite").write_bytes(data)
    bundle(signed, lambda content: restate(content, "model.tflite", data))
    with pytest.raises(StepError, match=f"names the key {digest(ours)}, which did not sign it"):
        verify(signed, Trust(key=public(ours)))


def test_a_signature_that_only_claims_a_key_does_not_count(release: Path, ours: Path, theirs: Path) -> None:
    sign(release, Signer(key=str(theirs)))
    with pytest.raises(StepError, match=f"signed by the key {digest(theirs)}, trusted is the key {digest(ours)};"):
        verify(release, Trust(key=public(ours)))
    bundle(release, lambda content: content["verificationMaterial"]["publicKey"].update(hint=digest(ours)))
    with pytest.raises(StepError, match=f"names the key {digest(ours)}, which did not sign it"):
        verify(release, Trust(key=public(ours)))


@pytest.mark.parametrize(
    "data",
    [b"", b"signed", b"[]", b"{}", b'{"dsseEnvelope": {"payload": "e30="}}', b'{"dsseEnvelope": {"payload": "!"}}'],
)
def test_what_is_no_signature_is_refused(release: Path, ours: Path, data: bytes) -> None:
    (release / "model.sig").write_bytes(data)
    with pytest.raises(StepError, match=r"model.sig is no signature of a release"):
        verify(release, Trust(key=public(ours)))


def test_a_signature_that_leads_elsewhere_is_refused(signed: Path, ours: Path) -> None:
    def lead_elsewhere(content: dict[str, Any]) -> None:
        statement = {"predicate": {"resources": [{"name": "../card.md", "algorithm": "sha256", "digest": "0"}]}}
        content["dsseEnvelope"]["payload"] = base64.b64encode(json.dumps(statement).encode()).decode()

    bundle(signed, lead_elsewhere)
    with pytest.raises(StepError, match=r"no signature of a release.*\.\./card\.md"):
        verify(signed, Trust(key=public(ours)))


def test_an_unsigned_release_has_to_be_allowed(release: Path, ours: Path) -> None:
    with pytest.raises(StepError, match=r"has no signature, model.sig; .* --allow-unsigned"):
        verify(release, Trust(key=public(ours)))
    assert verify(release, Trust(unsigned=True)) == signing.UNSIGNED
    assert verify(release, Trust(key=public(ours), unsigned=True)) == signing.UNSIGNED


def test_allowing_unsigned_ones_allows_none_that_others_signed(release: Path, ours: Path, theirs: Path) -> None:
    sign(release, Signer(key=str(theirs)))
    with pytest.raises(StepError, match="trusted is the key"):
        verify(release, Trust(key=public(ours), unsigned=True))
    assert "no signer is trusted" in verify(release, Trust(unsigned=True))


@pytest.mark.parametrize(
    ("key", "said"),
    [
        ("absent.pem", "cannot be read: .*No such file"),
        ("rsa.pem", "is not an elliptic curve key"),
        ("locked.pem", "cannot be read: Password was not given"),
        ("ours.pub.pem", "cannot be read"),
    ],
)
def test_a_key_that_cannot_sign_says_why_and_how_to_make_one(release: Path, ours: Path, key: str, said: str) -> None:
    write_key(ours.parent, "rsa", rsa.generate_private_key(65537, 2048))
    write_key(ours.parent, "locked", ec.generate_private_key(ec.SECP256R1()), "secret")
    with pytest.raises(StepError, match=f"{said}.*openssl ecparam"):
        sign(release, Signer(key=str(ours.parent / key)))
    assert not (release / "model.sig").exists()


@pytest.mark.parametrize("key", ["absent.pub.pem", "rsa.pub.pem", "ours.pem"])
def test_a_key_that_cannot_be_trusted_says_so_before_anything_is_fetched(ours: Path, key: str) -> None:
    write_key(ours.parent, "rsa", rsa.generate_private_key(65537, 2048))
    with pytest.raises(StepError, match=r"the public key .*openssl"):
        options.trust(_options(options.trust_arguments, "--trusted-key", str(ours.parent / key)))


def test_gitlab_sets_the_options_by_variables(monkeypatch: pytest.MonkeyPatch, ours: Path) -> None:
    for name, value in {
        "TRUSTED_KEY": public(ours),
        "TRUSTED_IDENTITY": f"https://{PROJECT}",
        "IDENTITY_ISSUER": "https://gitlab.example",
        "SIGSTORE_INSTANCE": "instance.json",
        "SIGSTORE_ID_TOKEN": "token",
    }.items():
        monkeypatch.setenv(name, value)
    trusted = options.trust(_options(options.trust_arguments))
    assert trusted == Trust(public(ours), f"https://{PROJECT}", "https://gitlab.example", False, "instance.json")
    assert options.signer(_options(options.signer_arguments)) == Signer("", "token", "instance.json")
    monkeypatch.setenv("SIGNING_KEY", str(ours))
    assert options.signer(_options(options.signer_arguments)) == Signer(str(ours), "token", "instance.json")


def test_without_any_option_nobody_signs_and_nobody_is_trusted(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("TRUSTED_KEY", "TRUSTED_IDENTITY", "SIGNING_KEY", "SIGSTORE_ID_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    assert options.signer(_options(options.signer_arguments)) is None
    with pytest.raises(StepError, match="use --trusted-key, --trusted-identity or --allow-unsigned"):
        options.trust(_options(options.trust_arguments))


def version_of(release: Path) -> str:
    return str(json.loads((release / "manifest.json").read_text())["version"])


def test_a_published_release_is_verified_where_it_lies(signed: Path, registry: Registry, ours: Path) -> None:
    version, trusted = version_of(signed), Trust(key=public(ours))
    registry.publish(version, release_files(signed))
    assert registry.read(version, trusted).signer == f"the key {digest(ours)}"
    registry.storage.create(f"{version}/another.tflite", b"")
    with pytest.raises(StepError, match=r"signed: added another\.tflite;"):
        registry.read(version, trusted)


def test_a_release_under_the_name_of_another_is_refused(signed: Path, registry: Registry, ours: Path) -> None:
    registry.publish(version_of(signed), release_files(signed))
    for name, data in release_files(signed).items():
        registry.storage.create(f"20990101-00000000/{name}", data)
    with pytest.raises(StepError, match=f"its manifest.json is that of '{version_of(signed)}'"):
        registry.read("20990101-00000000", Trust(key=public(ours)))


def test_a_hidden_file_is_a_file_too(signed: Path, tmp_path: Path, ours: Path) -> None:
    registry, version = Registry(str(tmp_path / "registry")), version_of(signed)
    (Path(registry.publish(version, release_files(signed))) / ".partial-abc").write_bytes(b"half")
    with pytest.raises(StepError, match=r"added \.partial-abc"):
        registry.read(version, Trust(key=public(ours)))


def _options(arguments: Callable[[argparse.ArgumentParser], None], *given: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    arguments(parser)
    return parser.parse_args(given)
