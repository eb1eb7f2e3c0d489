"""Who made a release: sigstore's model signing over every file of it, and whom a deployment trusts.

The signature is a sigstore bundle (https://github.com/sigstore/model-transparency): an in-toto statement with the
SHA-256 of each file, signed by a key or by a certificate of an OpenID Connect identity, such as a GitLab job's.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from serving.release import MANIFEST, parse_manifest
from training.errors import StepError
from training.registry import keys, timeouts
from training.registry.signatures import SIGNATURE, Signature, differences, read

if TYPE_CHECKING:
    from training.registry.registry import Registry

UNSIGNED = "nobody: the release is unsigned"
GITLAB = "https://gitlab.com"
# The library would wait for a silent server without end.
_SIGSTORE_SECONDS = 120


@dataclass(frozen=True)
class Signer:
    """Who signs: a key, or else the identity in a token."""

    # PEM file of a private elliptic curve key; "" for none
    key: str = ""
    # OpenID Connect token for the audience `sigstore`
    token: str = ""
    # file of a sigstore instance's client trust configuration; "" for the public one
    instance: str = ""


@dataclass(frozen=True)
class Trust:
    """Whose releases are accepted."""

    # PEM file of a public elliptic curve key; "" for none
    key: str = ""
    identity: str = ""
    issuer: str = GITLAB
    # whether a release without a signature is accepted too
    unsigned: bool = False
    # as the signer's
    instance: str = ""

    def __str__(self) -> str:
        named = [f"the key {keys.public_digest(self.key)}"] if self.key else []
        return " or ".join([*named, *([f"{self.identity} of {self.issuer}"] if self.identity else [])]) or "nobody"


def sign(folder: Path, signer: Signer) -> str:
    """Write the signature of every other file in `folder` beside them and return who signed.

    Raises:
        StepError: the key cannot be used, or sigstore cannot be reached or refuses the token.
    """
    from model_signing import hashing, signing

    path = folder / SIGNATURE
    path.unlink(missing_ok=True)
    every_file = hashing.Config().set_ignored_paths(paths=[SIGNATURE], ignore_git_paths=False)
    config = signing.Config().set_hashing_config(every_file)
    if signer.key:
        keys.require_private(signer.key)
        config.use_elliptic_key_signer(private_key=signer.key).sign(folder, path)
    else:
        instance = _path(signer.instance)
        timeouts.within(
            _SIGSTORE_SECONDS,
            lambda: config.use_sigstore_signer(identity_token=signer.token, trust_config=instance).sign(folder, path),
            "the release cannot be signed with the identity of SIGSTORE_ID_TOKEN",
            "try again, or sign with a key (--signing-key)",
        )
    return str(read(path.read_bytes()))


def verify(release: Path | dict[str, bytes], trust: Trust) -> str:
    """Check that a release is, file by file, what somebody trusted signed, and return who that is.

    Args:
        release: its folder, or its files by name.
        trust: who is trusted.

    Raises:
        StepError: there is no signature, a file was altered, added or is missing, somebody else signed, or sigstore's
            root of trust cannot be fetched.
    """
    from training.registry.registry import release_files

    files = release if isinstance(release, dict) else release_files(release)
    if SIGNATURE not in files:
        if trust.unsigned:
            return UNSIGNED
        raise StepError(
            f"the release holds no signature, {SIGNATURE}; publish it again with --signing-key or with GitLab's "
            "identity, or accept it as it is with --allow-unsigned"
        )
    signature = read(files[SIGNATURE])
    # Who accepts a release without a signature, and trusts nobody, would accept this one without its signature.
    proof_wanted = bool(trust.key or trust.identity or not trust.unsigned)
    if proof_wanted:
        _require_trusted(signature, trust)
    if changes := differences(signature, files):
        raise StepError(
            f"the release is not what {signature} signed: {changes}; do not deploy it, find out who changed it, "
            "and publish another"
        )
    if not proof_wanted:
        return f"{signature}, or so it says: nobody is trusted"
    with tempfile.TemporaryDirectory() as folder:
        for name, data in files.items():
            Path(folder, name).write_bytes(data)
        _prove(Path(folder), signature, trust)
    return str(signature)


def verify_published(registry: Registry, version: str, trust: Trust) -> str:
    """`verify` a release in a registry, which must also be the one that it is stored as.

    Raises:
        StepError: as `verify`, or there is no such release, or it is another one.
    """
    files = registry.files(version)
    signer = verify(files, trust)
    stated = parse_manifest(files[MANIFEST])["version"]
    if stated != version:
        raise StepError(f"{registry.uri}/{version} holds the release {stated}; do not deploy it, publish another")
    return signer


def _require_trusted(signature: Signature, trust: Trust) -> None:
    if signature.identity:
        known = bool(trust.identity) and (signature.identity, signature.issuer) == (trust.identity, trust.issuer)
    else:
        known = bool(trust.key) and signature.key == keys.public_digest(trust.key)
    if not known:
        raise StepError(
            f"the release is signed by {signature}, trusted is {trust}; deploy a release of theirs, or name this "
            "signer with --trusted-key or --trusted-identity if you know it"
        )


def _prove(folder: Path, signature: Signature, trust: Trust) -> None:
    """Let the library do all of it: the signature's mathematics, the certificate, the log, and the files once more."""
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
            "try again where sigstore can be reached; if it can, do not deploy the release",
        )
        return
    try:
        config.use_elliptic_key_verifier(public_key=trust.key).verify(folder, path)
    # Whatever it is that the library stumbles over, the signature is not good.
    except Exception as error:
        raise StepError(
            f"{SIGNATURE} names {signature} but is not by it ({timeouts.reason(error)}); do not deploy the release"
        ) from error


def _path(file: str) -> Path | None:
    return Path(file) if file else None
