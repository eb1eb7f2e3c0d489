"""A GitLab job signs with who it is: the whole of sigstore's way, against an instance on loopback."""

from __future__ import annotations

import base64
import json
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from tests.fake_sigstore import Notary, id_token, notary
from tests.signatures import bundle, digest, public, restate
from training.errors import StepError
from training.registry import signing
from training.registry.signing import Signer, Trust, sign, verify

PROJECT = "gitlab.com/group/project//.gitlab-ci.yml@refs/heads/main"


@pytest.fixture(scope="module")
def witness() -> Iterator[Notary]:
    with notary() as running:
        yield running


def test_a_job_signs_with_its_identity(release: Path, witness: Notary, tmp_path: Path) -> None:
    instance = witness.configuration(tmp_path / "instance.json")
    who = f"https://{PROJECT} of https://gitlab.com"
    assert sign(release, Signer(token=id_token(PROJECT), instance=instance)) == who
    assert verify(release, Trust(identity=f"https://{PROJECT}", instance=instance)) == who
    (release / "card.md").write_text("another")
    with pytest.raises(StepError, match=f"is not what {who} signed: altered card.md;"):
        verify(release, Trust(identity=f"https://{PROJECT}", instance=instance))


def test_the_log_shows_the_project_to_everybody(release: Path, witness: Notary, tmp_path: Path) -> None:
    sign(release, Signer(token=id_token(PROJECT), instance=witness.configuration(tmp_path / "instance.json")))
    entry = json.loads(witness.entries[-1])
    shown = x509.load_pem_x509_certificate(base64.b64decode(entry["spec"]["signatures"][0]["verifier"]))
    assert f"https://{PROJECT}".encode() in shown.public_bytes(Encoding.DER)


@pytest.mark.parametrize(
    ("identity", "issuer"),
    [
        (f"https://{PROJECT}".replace("main", "feature"), "https://gitlab.com"),
        (f"https://{PROJECT}".replace("group", "fork"), "https://gitlab.com"),
        (f"https://{PROJECT}", "https://gitlab.example"),
    ],
)
def test_another_identity_does_not_count(
    release: Path, witness: Notary, tmp_path: Path, identity: str, issuer: str
) -> None:
    instance = witness.configuration(tmp_path / "instance.json")
    sign(release, Signer(token=id_token(PROJECT), instance=instance))
    with pytest.raises(StepError, match=f"signed by https://{PROJECT} of https://gitlab.com, trusted is {identity} of"):
        verify(release, Trust(identity=identity, issuer=issuer, instance=instance))


def test_a_certificate_of_another_authority_does_not_count(release: Path, witness: Notary, tmp_path: Path) -> None:
    with notary() as impostor:
        sign(release, Signer(token=id_token(PROJECT), instance=impostor.configuration(tmp_path / "impostor.json")))
    instance = witness.configuration(tmp_path / "instance.json")
    with pytest.raises(StepError, match="cannot be verified: failed to build timestamp certificate chain"):
        verify(release, Trust(identity=f"https://{PROJECT}", instance=instance))


@pytest.mark.parametrize(
    "damage",
    [
        lambda content: restate(content, "model.tflite", b"another"),
        lambda content: content["verificationMaterial"]["tlogEntries"][0]["inclusionProof"].update(rootHash="AAAA"),
        lambda content: content["verificationMaterial"].update(tlogEntries=[]),
    ],
    ids=["restated", "not in the log", "without the log"],
)
def test_a_damaged_proof_does_not_count(
    release: Path, witness: Notary, tmp_path: Path, damage: Callable[[dict[str, Any]], None]
) -> None:
    instance = witness.configuration(tmp_path / "instance.json")
    sign(release, Signer(token=id_token(PROJECT), instance=instance))
    (release / "model.tflite").write_bytes(b"another")
    bundle(release, lambda content: restate(content, "model.tflite", b"another"))
    bundle(release, damage)
    with pytest.raises(
        StepError, match=r"cannot be verified: .*; try again with a connection to sigstore; if there is one"
    ):
        verify(release, Trust(identity=f"https://{PROJECT}", instance=instance))


def test_a_certificate_that_names_nobody_is_no_signature(release: Path, witness: Notary, tmp_path: Path) -> None:
    instance = witness.configuration(tmp_path / "instance.json")
    sign(release, Signer(token=id_token(PROJECT), instance=instance))
    root = base64.b64encode(witness.root().public_bytes(Encoding.DER)).decode()
    bundle(release, lambda content: content["verificationMaterial"]["certificate"].update(rawBytes=root))
    with pytest.raises(StepError, match=r"model\.sig is no signature of a release .*without one name of its owner"):
        verify(release, Trust(identity=f"https://{PROJECT}", instance=instance))


def test_a_key_is_no_identity_and_the_other_way_round(
    release: Path, signed: Path, ours: Path, witness: Notary, tmp_path: Path
) -> None:
    with pytest.raises(StepError, match=f"signed by the key {digest(ours)}, trusted is https://{PROJECT} of"):
        verify(signed, Trust(identity=f"https://{PROJECT}"))
    sign(release, Signer(token=id_token(PROJECT), instance=witness.configuration(tmp_path / "instance.json")))
    with pytest.raises(StepError, match=f"signed by https://{PROJECT} of https://gitlab.com, trusted is the key"):
        verify(release, Trust(key=public(ours)))


@pytest.mark.parametrize(
    ("token", "said"),
    [
        ("token", "malformed"),
        (id_token(PROJECT, audience="https://gitlab.com"), "malformed .*Audience doesn't match"),
    ],
)
def test_a_token_that_cannot_sign_says_why(
    release: Path, witness: Notary, tmp_path: Path, token: str, said: str
) -> None:
    instance = witness.configuration(tmp_path / "instance.json")
    with pytest.raises(StepError, match=f"the identity of SIGSTORE_ID_TOKEN: .*{said}"):
        sign(release, Signer(token=token, instance=instance))
    assert not (release / "model.sig").exists()


def test_a_sigstore_that_is_gone_ends_in_a_sentence(release: Path, tmp_path: Path) -> None:
    with notary() as gone:
        instance = gone.configuration(tmp_path / "instance.json")
    with pytest.raises(StepError, match=r"cannot be signed .*refused.*; try again, or sign with a key \("):
        sign(release, Signer(token=id_token(PROJECT), instance=instance))


def test_a_sigstore_that_never_answers_is_not_waited_for(
    release: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(signing, "_SIGSTORE_SECONDS", 1)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        instance = Notary(url).configuration(tmp_path / "instance.json")
        with pytest.raises(StepError, match=r"cannot be signed .*: no response within 1 s; try again"):
            sign(release, Signer(token=id_token(PROJECT), instance=instance))
