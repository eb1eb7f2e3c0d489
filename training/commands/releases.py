"""Releases into the registry, and what is done with those in it."""

from __future__ import annotations

import argparse

from training.commands import Command, registry, work


def publish(options: argparse.Namespace) -> int:
    """Write the release into the registry, never over an existing version."""
    from training import tracking
    from training.publish import publish
    from training.registry import Registry

    address = publish(options.work / "release", Registry(options.registry))
    tracking.of(options.work / "model").release(options.work / "release", address)
    print(f"release: {address}")
    print(f"serve it: MODEL_URI={address} make run")
    return 0


def _publish_arguments(parser: argparse.ArgumentParser) -> None:
    work(parser)
    registry(parser)


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
