"""Sign and verify releases, and attestations of images, with sigstore's model signing.

The signature is a sigstore bundle (https://github.com/sigstore/model-transparency): an in-toto statement with the
SHA-256 of each file. A key signs it, or the certificate of an OpenID Connect identity such as a GitLab job's.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path

from training.errors import StepError
from training.registry import keys, timeouts
from training.registry.local import release_files
from training.registry.signatures import SIGNATURE, Signature, differences, read

UNSIGNED = "nobody: there is no signature"
GITLAB = "https://gitlab.com"
# seconds; the library has no time limit
_SIGSTORE_SECONDS = 120


@dataclass(frozen=True)
class Signer:
    """Signer of a release: a key, or the identity in a token."""

    key: str = ""
    """PEM file of a private elliptic curve key, "" for none."""
    token: str = ""
    """OpenID Connect token for the audience `sigstore`."""
    instance: str = ""
    """File with the client trust configuration of a sigstore instance, "" for the public one."""


@dataclass(frozen=True)
class Trust:
    """Signers whose releases are accepted."""

    key: str = ""
    """PEM file of a public elliptic curve key, "" for none."""
    identity: str = ""
    """Identity in the certificate, "" for none."""
    issuer: str = GITLAB
    """OpenID Connect issuer of the identity."""
    unsigned: bool = False
    """Whether a release without a signature is accepted, too."""
    instance: str = ""
    """File with the client trust configuration of a sigstore instance, "" for the public one."""

    def __str__(self) -> str:
        named = [f"the key {keys.public_digest(self.key)}"] if self.key else []
        return " or ".join([*named, *([f"{self.identity} of {self.issuer}"] if self.identity else [])]) or "nobody"


def sign(folder: Path, signer: Signer) -> str:
    """Write the signature of every other file in `folder` into it, and return the signer.

    Raises:
        StepError: the key cannot be used, sigstore cannot be reached or refuses the token, or the folder cannot be
            written or has other folders in it.
    """
    from model_signing import hashing, signing

    path = folder / SIGNATURE
    release_files(folder)
    every_file = hashing.Config().set_ignored_paths(paths=[SIGNATURE], ignore_git_paths=False)
    config = signing.Config().set_hashing_config(every_file)
    if signer.key:
        keys.require_private(signer.key)
    try:
        path.unlink(missing_ok=True)
        if signer.key:
            config.use_elliptic_key_signer(private_key=signer.key).sign(folder, path)
        else:
            instance = _path(signer.instance)
            timeouts.within(
                _SIGSTORE_SECONDS,
                lambda: config.use_sigstore_signer(identity_token=signer.token, trust_config=instance).sign(
                    folder, path
                ),
                "the release cannot be signed with the identity of SIGSTORE_ID_TOKEN",
                "try again, or sign with a key (--signing-key)",
            )
    except OSError as error:
        raise StepError(f"{path} cannot be written: {error.strerror}; make {folder} writable") from error
    except ValueError as error:
        raise StepError(f"the key {signer.key} cannot sign: {error}; {keys.RECIPE} makes one") from error
    return str(read(path.read_bytes()))


def verify(release: Path | dict[str, bytes], trust: Trust, what: str = "the release") -> str:
    """Verify that a trusted signer signed exactly these files, and return the signer.

    Args:
        release: its folder, or its files by name.
        trust: the trusted signers.
        what: name of what is signed, for messages.

    Raises:
        StepError: there is no signature, a file was altered, added or is missing, another signer signed, or sigstore's
            root of trust cannot be fetched.
    """
    files = release if isinstance(release, dict) else release_files(release)
    if SIGNATURE not in files:
        if trust.unsigned:
            return UNSIGNED
        raise StepError(
            f"{what} has no signature, {SIGNATURE}; make it again with --signing-key or with GitLab's identity, or "
            "accept it unsigned with --allow-unsigned"
        )
    signature = read(files[SIGNATURE])
    # With --allow-unsigned alone, this release would be accepted without its signature, too.
    proof_wanted = bool(trust.key or trust.identity or not trust.unsigned)
    if proof_wanted:
        _require_trusted(signature, trust, what)
    if changes := differences(signature, files):
        raise StepError(
            f"{what} is not what {signature} signed: {changes}; do not deploy it, find the reason, and make another"
        )
    if not proof_wanted:
        return f"{signature}, not verified: no signer is trusted"
    with tempfile.TemporaryDirectory() as folder:
        for name, data in files.items():
            Path(folder, name).write_bytes(data)
        _prove(Path(folder), signature, trust)
    return str(signature)


def _require_trusted(signature: Signature, trust: Trust, what: str) -> None:
    if signature.identity:
        known = bool(trust.identity) and (signature.identity, signature.issuer) == (trust.identity, trust.issuer)
    else:
        known = bool(trust.key) and signature.key == keys.public_digest(trust.key)
    if not known:
        raise StepError(
            f"{what} is signed by {signature}, trusted is {trust}; use one of a trusted signer, or trust this one with "
            "--trusted-key or --trusted-identity if you know it"
        )


def _prove(folder: Path, signature: Signature, trust: Trust) -> None:
    """Let the library verify the signature, the certificate, the transparency log and the files."""
    from model_signing import verifying

    config = verifying.Config()
    path = folder / SIGNATURE
    if signature.identity:
        timeouts.within(
            _SIGSTORE_SECONDS,
            lambda: config.use_sigstore_verifier(
                identity=trust.identity, oidc_issuer=trust.issuer, trust_config=_path(trust.instance)
            ).verify(folder, path),
            f"the signature of {signature} cannot be verified",
            "try again with a connection to sigstore; if there is one, do not deploy the release",
        )
        return
    try:
        config.use_elliptic_key_verifier(public_key=trust.key).verify(folder, path)
    # Any error of the library means that the signature is invalid.
    except Exception as error:
        raise StepError(
            f"{SIGNATURE} names {signature}, which did not sign it ({timeouts.reason(error)}); do not deploy it"
        ) from error


def _path(file: str) -> Path | None:
    return Path(file) if file else None
