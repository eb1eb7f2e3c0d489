"""Commands for the origin of a release: its signature and its reproduction."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from training.commands import Command, signing
from training.config import BUNDLED

if TYPE_CHECKING:
    from training.registry.releases import StoredRelease
    from training.registry.signing import Trust


def verify_signature(options: argparse.Namespace) -> int:
    """Verify that a trusted signer signed every file of a release. Exit code 1 if not."""
    from training.registry.releases import BUNDLED_KEY
    from training.registry.signing import Trust

    trust = Trust(BUNDLED_KEY) if options.version == BUNDLED else signing.trust(options)
    found = _release_of(options, trust)
    print(f"{found.version}: signed by {found.signer}")
    return 0


def _verify_signature_arguments(parser: argparse.ArgumentParser) -> None:
    _release(parser)
    signing.trust_arguments(parser)


def reproduce(options: argparse.Namespace) -> int:
    """Print the commands that reproduce a release, or run them and compare."""
    from training import reproduce

    manifest = _release_of(options).manifest
    work = options.work or Path("build/reproduce") / manifest["version"]
    with reproduce.checkout(manifest) as tree:
        dataset = reproduce.Dataset(options.data, tuple(options.labels), options.values, options.other)
        plan = reproduce.plan(manifest, tree, dataset, work, options.registry)
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
    parser.add_argument("--data", default="", help="folder or archive of the release's dataset")
    parser.add_argument(
        "--labels",
        metavar="TABLE",
        nargs="+",
        default=[],
        help="tables of labels that lie elsewhere than in the dataset",
    )
    parser.add_argument("--values", metavar="FILE", default="", help="file of values for these tables")
    parser.add_argument(
        "--other", metavar="DATA", default="", help="output of `prepare` with the other faces of a fine-tuning"
    )
    parser.add_argument("--run", dest="run_steps", action="store_true", help="run the commands and compare")
    parser.add_argument(
        "--work", type=Path, help="folder for the files of the steps (default: build/reproduce/VERSION)"
    )


def _release(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("version", help="version as `releases` lists it, a release's folder, or bundled")
    parser.add_argument("--registry", default="", help="folder or gs://bucket/path of the releases")


def _release_of(options: argparse.Namespace, trust: Trust | None = None) -> StoredRelease:
    """Read the bundled release, the one in a local folder, or the version in --registry."""
    from training.errors import StepError
    from training.registry import releases
    from training.registry.registry import Registry, require_version

    if options.version == BUNDLED or Path(options.version).is_dir():
        found = releases.read(options.version, trust)
        # The version becomes a part of the path of --work.
        require_version(found.version)
        return found
    if not options.registry:
        raise StepError(f"{options.version} is no release's folder; name the registry of the version with --registry")
    return Registry(options.registry).read(options.version, trust)


COMMANDS = (
    Command(verify_signature, _verify_signature_arguments),
    Command(reproduce, _reproduce_arguments),
)
