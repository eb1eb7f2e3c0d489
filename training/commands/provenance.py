"""Where a release comes from: who signed it, and how to make it again."""

from __future__ import annotations

import argparse

from training.commands import Command, registry


def signature(options: argparse.Namespace) -> int:
    """Check that a release is, file by file, what somebody trusted signed; exit code 1 where it is not."""
    from pathlib import Path

    from training import signing
    from training.registry import Registry

    trust = signing.trust(options)
    local = Path(options.version)
    if local.is_dir():
        signer = signing.verify(local, trust)
    else:
        signer = signing.verify_published(Registry(options.registry), options.version, trust)
    print(f"{options.version}: signed by {signer}")
    return 0


def _signature_arguments(parser: argparse.ArgumentParser) -> None:
    from training import signing

    registry(parser)
    parser.add_argument("version", help="as `releases` lists it, or a release's folder")
    signing.arguments(parser)


COMMANDS = (Command(signature, _signature_arguments),)
