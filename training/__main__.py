"""The command line `python -m training`, with all commands of training/commands/."""

from __future__ import annotations

import argparse
import io
import logging
import os
import sys

# Each command imports its modules when it runs, so that `releases` does not wait for TensorFlow.
from serving.text import printable_lines
from training.commands import beam, data, deployment, model, monitoring, provenance, releases
from training.errors import StepError

COMMANDS = (
    *data.COMMANDS,
    *beam.COMMANDS,
    *model.COMMANDS,
    *releases.COMMANDS,
    *provenance.COMMANDS,
    *deployment.COMMANDS,
    *monitoring.COMMANDS,
)

# Names of commands in former versions, with today's name.
RENAMED = {"signature": "verify-signature"}
# 128 and the number of the signal, as shells report it.
_INTERRUPTED = 130


def parser() -> argparse.ArgumentParser:
    """Return the parser of the whole command line."""
    result = argparse.ArgumentParser(
        prog="python -m training",
        description="Make a release from labelled faces, publish it to a registry, deploy and monitor it.",
    )
    commands = result.add_subparsers(dest="command", required=True, metavar="command")
    for command in COMMANDS:
        explained = command.run.__doc__
        added = commands.add_parser(
            command.name, help=explained, description=explained, allow_abbrev=not command.takes_beam_options
        )
        added.set_defaults(run=command.run)
        command.arguments(added)
    return result


def main(arguments: list[str] | None = None) -> int:
    """Run a command and return its exit code: 1 after a failure with a message, 2 for wrong usage, 130 for Ctrl-C."""
    for stream in (sys.stdout, sys.stderr):
        # No name and no sign that the terminal's encoding lacks ends a command.
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    # Matplotlib works without a home that can be written, and says so at every start.
    logging.getLogger("matplotlib").setLevel(logging.ERROR)
    program = parser()
    given = sys.argv[1:] if arguments is None else arguments
    if given and given[0] in RENAMED:
        program.error(f"{given[0]} is now {RENAMED[given[0]]}: rename it")
    options, further = program.parse_known_args(given)
    if any(command.takes_beam_options and command.run is options.run for command in COMMANDS):
        options.beam = further
    elif further:
        program.error(f"unrecognized arguments: {' '.join(further)}")
    try:
        result: int = options.run(options)
    except KeyboardInterrupt:
        _failed(options.command, "interrupted")
        return _INTERRUPTED
    except StepError as error:
        return _failed(options.command, str(error))
    except OSError as error:
        # A full or read-only file system, a missing permission, no folder for temporary files.
        if not error.strerror:
            raise
        place = f"{os.fsdecode(error.filename)}: " if isinstance(error.filename, str | bytes) else ""
        return _failed(options.command, f"{place}{error.strerror}")
    return result


def _failed(command: str, message: str) -> int:
    # Messages quote names from archives, releases and servers, with whatever characters these have.
    print(f"{command}: {printable_lines(message)}", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
