"""The command line of the training side: every command of training/commands/, nothing else."""

from __future__ import annotations

import argparse
import os
import sys

# TensorFlow prints pages about its build before it says anything of use.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

# Each command imports what it needs when it runs: `releases` need not wait for TensorFlow.
from training.commands import deployment, model, monitoring, provenance, releases
from training.errors import StepError

COMMANDS = (
    *model.COMMANDS,
    *releases.COMMANDS,
    *provenance.COMMANDS,
    *deployment.COMMANDS,
    *monitoring.COMMANDS,
)


# commands of former versions -> what they are called now
RENAMED = {"signature": "verify-signature"}


def parser() -> argparse.ArgumentParser:
    """The whole command line."""
    result = argparse.ArgumentParser(prog="python -m training", description="Labelled faces in, a release out.")
    commands = result.add_subparsers(dest="command", required=True, metavar="command")
    for command in COMMANDS:
        explained = command.run.__doc__
        added = commands.add_parser(command.name, help=explained, description=explained)
        added.set_defaults(run=command.run)
        command.arguments(added)
    return result


def main(arguments: list[str] | None = None) -> int:
    """Run one command; exit code 1 with a sentence where it cannot go on, 2 for wrong usage."""
    program = parser()
    given = sys.argv[1:] if arguments is None else arguments
    if given and given[0] in RENAMED:
        program.error(f"{given[0]} is now {RENAMED[given[0]]}: rename it")
    options = program.parse_args(given)
    try:
        result: int = options.run(options)
    except StepError as error:
        print(f"{options.command}: {error}", file=sys.stderr)
        return 1
    return result


if __name__ == "__main__":
    sys.exit(main())
