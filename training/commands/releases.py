"""Releases into the registry, and what is done with those in it."""

from __future__ import annotations

import argparse
from pathlib import Path

from serving.heads import CHOICES
from training.commands import Command, registry, signing, work
from training.files import write_text
from training.registry.registry import Entry, Pointer, Registry


def publish(options: argparse.Namespace) -> int:
    """Write the release into the registry, never over an existing version."""
    from training import tracking
    from training.publish import publish
    from training.registry.signatures import SIGNATURE

    release = options.work / "release"
    address = publish(release, Registry(options.registry), signing.signer(options))
    tracking.of(options.work / "model").release(release, address)
    # For a pipeline's later jobs.
    write_text(options.work / "release.env", f"VERSION={address.rpartition('/')[2]}\n")
    print(_signed(release / SIGNATURE))
    print(f"release: {address}")
    print(f"serve it: MODEL_URI={address} make run")
    return 0


def _publish_arguments(parser: argparse.ArgumentParser) -> None:
    work(parser)
    registry(parser)
    signing.signer_arguments(parser)


def _signed(signature: Path) -> str:
    from training.registry import signatures

    if not signature.is_file():
        return "unsigned: neither --signing-key nor SIGSTORE_ID_TOKEN says who signs"
    return f"signed by {signatures.read(signature.read_bytes())}"


def releases(options: argparse.Namespace) -> int:
    """List the releases of a registry: * is in production, + was once."""
    registry = Registry(options.registry)
    registry.require()
    production = registry.production() or Pointer("")
    for entry in registry.entries():
        mark = "*" if entry.version == production.version else "+" if entry.version in production.promoted else " "
        print(f"{mark} {entry.version}  {_described(entry)}")
    print(f"production: {production.version or 'none yet'}")
    return 0


def _described(entry: Entry) -> str:
    if entry.problem:
        return f"no release: {entry.problem}"
    if entry.manifest is None:
        return "incomplete: publish it again, or let `prune` remove it"
    if entry.pruned:
        return "removed by `prune`"
    metrics, preset = entry.manifest["metrics"], entry.manifest["provenance"]["preset"]
    found = [f"age {metrics['age_mae']['value']:.2f} years"]
    shares = {head: metrics[f"{head}_accuracy"] for head in CHOICES if f"{head}_accuracy" in metrics}
    found += [f"{head} {share['value']:.1%}" for head, share in shares.items()]
    return f"{preset:8}  {'  '.join(found)}  {entry.manifest['created']}"


def promote(options: argparse.Namespace) -> int:
    """Point `production` at a release."""
    print(f"production: {Registry(options.registry).promote(options.version).version}")
    return 0


def _promote_arguments(parser: argparse.ArgumentParser) -> None:
    registry(parser)
    parser.add_argument("version", help="as `releases` lists it")


def prune(options: argparse.Namespace) -> int:
    """Remove old releases that never were in production, and what killed publishers left."""
    from training.registry.retention import Retention, prune

    going = 0
    for decision in prune(Registry(options.registry), Retention(options.keep, options.older_than), options.dry_run):
        going += decision.goes
        print(f"{'goes ' if decision.goes else 'stays'}  {decision.version:20}  {decision.reason}")
    print(f"{going} would go; nothing was changed" if options.dry_run else f"{going} removed")
    return 0


def _prune_arguments(parser: argparse.ArgumentParser) -> None:
    registry(parser)
    parser.add_argument("--keep", type=_count, default=10, help="how many of the newest stay (default: 10)")
    parser.add_argument(
        "--older-than", type=_count, default=30, metavar="DAYS", help="younger ones stay as well (default: 30)"
    )
    parser.add_argument("--dry-run", action="store_true", help="only print what would go")


def _count(text: str) -> int:
    """What argparse refuses below 0."""
    number = int(text)
    if number < 0:
        raise argparse.ArgumentTypeError(f"{number} is negative")
    return number


COMMANDS = (
    Command(publish, _publish_arguments),
    Command(releases, registry),
    Command(promote, _promote_arguments),
    Command(prune, _prune_arguments),
)
