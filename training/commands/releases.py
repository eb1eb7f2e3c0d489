"""Releases into the registry, and what is done with those in it."""

from __future__ import annotations

import argparse
from pathlib import Path

from training.commands import Command, registry, work


def publish(options: argparse.Namespace) -> int:
    """Write the release into the registry, never over an existing version."""
    from training import signing, tracking
    from training.publish import publish
    from training.registry import Registry
    from training.signatures import SIGNATURE

    release = options.work / "release"
    address = publish(release, Registry(options.registry), signing.signer(options))
    tracking.of(options.work / "model").release(release, address)
    # For a pipeline's later jobs.
    (options.work / "release.env").write_text(f"VERSION={address.rpartition('/')[2]}\n")
    print(_signed(release / SIGNATURE))
    print(f"release: {address}")
    print(f"serve it: MODEL_URI={address} make run")
    return 0


def _publish_arguments(parser: argparse.ArgumentParser) -> None:
    from training import signing

    work(parser)
    registry(parser)
    signing.signer_arguments(parser)


def _signed(signature: Path) -> str:
    from training import signatures

    if not signature.is_file():
        return "unsigned: neither --signing-key nor SIGSTORE_ID_TOKEN says who signs"
    return f"signed by {signatures.read(signature.read_bytes())}"


def releases(options: argparse.Namespace) -> int:
    """List the releases of a registry."""
    from training.registry import Registry

    registry = Registry(options.registry)
    production = registry.production()
    for manifest in registry.releases():
        mark = "*" if production and production.version == manifest["version"] else " "
        age, gender = manifest["metrics"]["age_mae"]["value"], manifest["metrics"]["gender_accuracy"]["value"]
        preset = manifest["provenance"]["preset"]
        print(
            f"{mark} {manifest['version']}  {preset:8}  age {age:.2f} years  gender {gender:.1%}  {manifest['created']}"
        )
    print(f"production: {production.version if production else 'none yet'}")
    return 0


def promote(options: argparse.Namespace) -> int:
    """Point `production` at a release."""
    from training.registry import Registry

    print(f"production: {Registry(options.registry).promote(options.version).version}")
    return 0


def _promote_arguments(parser: argparse.ArgumentParser) -> None:
    registry(parser)
    parser.add_argument("version", help="as `releases` lists it")


def rollback(options: argparse.Namespace) -> int:
    """Point `production` at the release before, or at an earlier one."""
    from training.registry import Registry

    print(f"production: {Registry(options.registry).rollback(options.version).version}")
    return 0


def _rollback_arguments(parser: argparse.ArgumentParser) -> None:
    registry(parser)
    parser.add_argument("version", nargs="?", default="", help="an earlier one (default: the one before)")


COMMANDS = (
    Command(publish, _publish_arguments),
    Command(releases, registry),
    Command(promote, _promote_arguments),
    Command(rollback, _rollback_arguments),
)
