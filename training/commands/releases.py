"""Commands for the releases in a registry."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from serving.heads import CHOICES
from serving.release import MANIFEST
from training.commands import Command, listed_registry, made_from, registry, signing, work
from training.files import write_text
from training.registry.registry import REPORT_FILE, Entry, Pointer, Registry


def publish(options: argparse.Namespace) -> int:
    """Publish the release in a registry. An existing version is never overwritten."""
    from training import tracking
    from training.publish import publish
    from training.registry.signatures import SIGNATURE

    release = options.work / "release"
    address = publish(release, Registry(options.registry), signing.signer(options), options.made_from)
    tracking.of(options.work / "model").release(release, address)
    # Later jobs of the pipeline read it.
    write_text(options.work / "release.env", f"VERSION={address.rpartition('/')[2]}\n")
    print(_signed(release / SIGNATURE))
    print(f"release: {address}")
    print(f"serve it: MODEL_URI={address} make run")
    return 0


def _publish_arguments(parser: argparse.ArgumentParser) -> None:
    work(parser)
    registry(parser)
    made_from(parser, "the release states it")
    signing.signer_arguments(parser)


def _signed(signature: Path) -> str:
    from training.registry import signatures

    if not signature.is_file():
        return "unsigned: there is neither --signing-key nor SIGSTORE_ID_TOKEN"
    return f"signed by {signatures.read(signature.read_bytes())}"


def releases(options: argparse.Namespace) -> int:
    """List the releases of a registry: * is in production, + was in production."""
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
        return "incomplete: publish it again, or remove it with `prune`"
    if entry.pruned:
        return "being removed by `prune`"
    try:
        return _summary(entry.manifest)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        return f"unusable: its {MANIFEST} lacks or garbles {error}"


def _summary(manifest: dict[str, Any]) -> str:
    metrics, preset = manifest["metrics"], manifest["provenance"]["preset"]
    # Where no test face has an exact age, there is only the distance to the range.
    age = metrics.get("age_mae") or metrics["age_range_distance"]
    found = [f"age {age['value']:.2f} years"]
    shares = {head: metrics[f"{head}_accuracy"] for head in CHOICES if f"{head}_accuracy" in metrics}
    found += [f"{head} {share['value']:.1%}" for head, share in shares.items()]
    # One line, whatever the manifest says.
    return " ".join(f"{preset:8}  {'  '.join(found)}  {manifest['created']}".splitlines())


def first_release(options: argparse.Namespace) -> int:
    """Print `--first-release`, for `evaluate`, if the registry has no production release yet."""
    if Registry(options.registry).production() is None:
        print("--first-release")
    return 0


def report(options: argparse.Namespace) -> int:
    """Write the report on the release in production to a file. Without a release in production nothing is written."""
    found = Registry(options.registry)
    pointer = found.production()
    stored = pointer and found.storage.read(f"{pointer.version}/{REPORT_FILE}")
    if not (pointer and stored):
        print(f"{found.uri} has no release in production" if not pointer else f"{pointer.version} has no report")
        return 0
    options.output.parent.mkdir(parents=True, exist_ok=True)
    options.output.write_bytes(stored.data)
    print(f"{options.output}: the report on {pointer.version}")
    return 0


def _report_arguments(parser: argparse.ArgumentParser) -> None:
    registry(parser)
    parser.add_argument("--output", type=Path, required=True, metavar="FILE", help="file for the report, as HTML")


def promote(options: argparse.Namespace) -> int:
    """Verify a release and point `production` at it."""
    promoted = Registry(options.registry).promote(options.version, signing.trust_if_any(options))
    print(f"production: {promoted.version}")
    return 0


def _promote_arguments(parser: argparse.ArgumentParser) -> None:
    registry(parser)
    parser.add_argument("version", help="version as `releases` lists it")
    signing.trust_arguments(parser)


def prune(options: argparse.Namespace) -> int:
    """Delete old releases that were never in production, and leftovers of interrupted uploads."""
    from training.registry.retention import Retention, prune

    going = 0
    for decision in prune(Registry(options.registry), Retention(options.keep, options.older_than), options.dry_run):
        going += decision.goes
        print(f"{'delete' if decision.goes else 'keep  '}  {decision.version:20}  {decision.reason}")
    print(f"{going} would be deleted; nothing was changed" if options.dry_run else f"{going} deleted")
    return 0


def _prune_arguments(parser: argparse.ArgumentParser) -> None:
    registry(parser)
    parser.add_argument("--keep", type=_count, default=10, help="number of the newest releases that stay (default: 10)")
    parser.add_argument(
        "--older-than", type=_count, default=30, metavar="DAYS", help="younger releases stay, too (default: 30)"
    )
    parser.add_argument("--dry-run", action="store_true", help="only print what would be deleted")


def _count(text: str) -> int:
    """Return a number of at least 0, or let argparse refuse the text."""
    number = int(text)
    if number < 0:
        raise argparse.ArgumentTypeError(f"{number} is negative")
    return number


COMMANDS = (
    Command(publish, _publish_arguments),
    Command(releases, listed_registry),
    Command(first_release, registry),
    Command(report, _report_arguments),
    Command(promote, _promote_arguments),
    Command(prune, _prune_arguments),
)
