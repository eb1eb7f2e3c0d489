"""The options that say who signs a release, and whose signature counts."""

from __future__ import annotations

import argparse
import os

from training.errors import StepError
from training.registry import keys
from training.registry.signing import GITLAB, Signer, Trust


def trust_arguments(parser: argparse.ArgumentParser) -> None:
    """The options that `trust` reads."""
    parser.add_argument(
        "--trusted-key",
        metavar="FILE",
        default=os.environ.get("TRUSTED_KEY", ""),
        help="PEM file of the public key whose signature counts (default: TRUSTED_KEY)",
    )
    parser.add_argument(
        "--trusted-identity",
        metavar="IDENTITY",
        default=os.environ.get("TRUSTED_IDENTITY", ""),
        help="whose signature counts, for example "
        "https://gitlab.com/GROUP/PROJECT//.gitlab-ci.yml@refs/heads/main (default: TRUSTED_IDENTITY)",
    )
    parser.add_argument(
        "--identity-issuer",
        metavar="URL",
        default=os.environ.get("IDENTITY_ISSUER") or GITLAB,
        help=f"who vouches for the identity (default: IDENTITY_ISSUER, or else {GITLAB})",
    )
    parser.add_argument("--allow-unsigned", action="store_true", help="accept a release that nobody signed")
    _instance(parser)


def trust(options: argparse.Namespace) -> Trust:
    """Whom the command line trusts.

    Raises:
        StepError: nobody, or the key's file cannot be used.
    """
    found = Trust(
        options.trusted_key,
        options.trusted_identity,
        options.identity_issuer,
        options.allow_unsigned,
        options.sigstore_instance,
    )
    if not (found.key or found.identity or found.unsigned):
        raise StepError("whose releases are trusted? name --trusted-key, --trusted-identity or --allow-unsigned")
    str(found)
    return found


def signer_arguments(parser: argparse.ArgumentParser) -> None:
    """The options that `signer` reads."""
    parser.add_argument(
        "--signing-key",
        metavar="FILE",
        default=os.environ.get("SIGNING_KEY", ""),
        help=f"PEM file of the private key that signs the release; {keys.RECIPE} makes one (default: SIGNING_KEY; "
        "without it the identity in SIGSTORE_ID_TOKEN signs, where there is one)",
    )
    _instance(parser)


def signer(options: argparse.Namespace) -> Signer | None:
    """Who signs according to the command line and SIGSTORE_ID_TOKEN: a key before an identity, or nobody."""
    found = Signer(options.signing_key, os.environ.get("SIGSTORE_ID_TOKEN", ""), options.sigstore_instance)
    return found if found.key or found.token else None


def _instance(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--sigstore-instance",
        metavar="FILE",
        default=os.environ.get("SIGSTORE_INSTANCE", ""),
        help="client trust configuration of a private sigstore (default: SIGSTORE_INSTANCE, or else the public one)",
    )
