"""Options for the signer of a release and for trusted signers."""

from __future__ import annotations

import argparse
import os

from training.errors import StepError
from training.registry import keys
from training.registry.signing import GITLAB, Signer, Trust


def trust_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options that `trust` reads."""
    parser.add_argument(
        "--trusted-key",
        metavar="FILE",
        default=os.environ.get("TRUSTED_KEY", ""),
        help="PEM file of the trusted public key (default: TRUSTED_KEY)",
    )
    parser.add_argument(
        "--trusted-identity",
        metavar="IDENTITY",
        default=os.environ.get("TRUSTED_IDENTITY", ""),
        help="trusted identity, for example "
        "https://gitlab.com/GROUP/PROJECT//.gitlab-ci.yml@refs/heads/main (default: TRUSTED_IDENTITY)",
    )
    parser.add_argument(
        "--identity-issuer",
        metavar="URL",
        default=os.environ.get("IDENTITY_ISSUER") or GITLAB,
        help=f"OpenID Connect issuer of the identity (default: IDENTITY_ISSUER, or else {GITLAB})",
    )
    parser.add_argument("--allow-unsigned", action="store_true", help="accept an unsigned release")
    _instance(parser)


def trust(options: argparse.Namespace) -> Trust:
    """Return the signers that the command line trusts.

    Raises:
        StepError: there are none, or the key's file cannot be used.
    """
    found = trust_if_any(options)
    if found is None:
        raise StepError("no signer is trusted; use --trusted-key, --trusted-identity or --allow-unsigned")
    return found


def trust_if_any(options: argparse.Namespace) -> Trust | None:
    """Return the signers that the command line trusts, or None if it names none.

    Raises:
        StepError: the key's file cannot be used.
    """
    found = Trust(
        options.trusted_key,
        options.trusted_identity,
        options.identity_issuer,
        options.allow_unsigned,
        options.sigstore_instance,
    )
    if found.key:
        # An unusable key is refused before anything is fetched.
        keys.public_digest(found.key)
    return found if found.key or found.identity or found.unsigned else None


def signer_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options that `signer` reads."""
    signing_key(parser, "the release")
    _instance(parser)


def signing_key(parser: argparse.ArgumentParser, what: str) -> None:
    """Add the option for the key that signs `what`, to those of `trust_arguments`."""
    parser.add_argument(
        "--signing-key",
        metavar="FILE",
        default=os.environ.get("SIGNING_KEY", ""),
        help=f"PEM file of the private key that signs {what}; {keys.RECIPE} makes one (default: SIGNING_KEY, or "
        "else the identity in SIGSTORE_ID_TOKEN)",
    )


def signer(options: argparse.Namespace) -> Signer | None:
    """Return the signer: the key on the command line, else the identity in SIGSTORE_ID_TOKEN, else None."""
    found = Signer(options.signing_key, os.environ.get("SIGSTORE_ID_TOKEN", ""), options.sigstore_instance)
    return found if found.key or found.token else None


def _instance(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--sigstore-instance",
        metavar="FILE",
        default=os.environ.get("SIGSTORE_INSTANCE", ""),
        help="client trust configuration of a private sigstore (default: SIGSTORE_INSTANCE, or else the public one)",
    )
