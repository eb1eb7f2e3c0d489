"""Where a release comes from: who signed it, and how to make it again."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from training.commands import Command, signing


def verify_signature(options: argparse.Namespace) -> int:
    """Check that a release is, file by file, what somebody trusted signed; exit code 1 where it is not."""
    from training.registry.registry import Registry
    from training.registry.signing import verify, verify_published

    trust = signing.trust(options)
    local = Path(options.version)
    if local.is_dir():
        signer = verify(local, trust)
    else:
        signer = verify_published(Registry(_registry(options)), options.version, trust)
    print(f"{options.version}: signed by {signer}")
    return 0


def _verify_signature_arguments(parser: argparse.ArgumentParser) -> None:
    _release(parser)
    signing.trust_arguments(parser)


def reproduce(options: argparse.Namespace) -> int:
    """Print the commands that make a release again, or run them and compare."""
    from training import reproduce

    manifest = _manifest(options)
    work = options.work or Path("build/reproduce") / manifest["version"]
    with reproduce.checkout(manifest) as tree:
        plan = reproduce.plan(manifest, tree, options.data, work, options.registry)
        if not options.run_steps:
            print(reproduce.script(manifest, plan, work))
            return 0
        reproduce.run(manifest, plan, tree, work)
    from training import reproduction_report

    again = reproduction_report.compare(manifest, work / "release")
    print(again)
    return 0 if again.holds else 1


def _reproduce_arguments(parser: argparse.ArgumentParser) -> None:
    _release(parser)
    parser.add_argument("--data", default="", help="the faces that it was made of; folder or archive")
    parser.add_argument("--run", dest="run_steps", action="store_true", help="run them, here and now, and compare")
    parser.add_argument("--work", type=Path, help="folder of the steps' files (default: build/reproduce/VERSION)")


def _release(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("version", help="as `releases` lists it, or a release's folder")
    parser.add_argument("--registry", default="", help="folder or gs://bucket/path of the releases")


def _manifest(options: argparse.Namespace) -> dict[str, Any]:
    from serving.release import MANIFEST, parse_manifest
    from training.registry.registry import Registry, require_version

    local = Path(options.version, MANIFEST)
    if local.is_file():
        manifest: dict[str, Any] = parse_manifest(local.read_bytes())
        # It becomes a part of the path that the steps work in.
        require_version(manifest["version"])
        return manifest
    return Registry(_registry(options)).manifest(options.version)


def _registry(options: argparse.Namespace) -> str:
    from training.errors import StepError

    if not options.registry:
        raise StepError(f"{options.version} is no release's folder; name the registry that holds it with --registry")
    uri: str = options.registry
    return uri


COMMANDS = (
    Command(verify_signature, _verify_signature_arguments),
    Command(reproduce, _reproduce_arguments),
)
