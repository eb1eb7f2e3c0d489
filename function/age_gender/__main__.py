"""The command `age-gender`: its options, and nothing else."""

from __future__ import annotations

import argparse
import logging
import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from age_gender import image_files, runner
from age_gender.client import Client
from age_gender.progress import Progress
from age_gender.table import Table, json_line
from age_gender.transport import ServerError
from serving.heads import HEADS
from serving.release import ReleaseError

if TYPE_CHECKING:
    from serving.settings import Settings

# Exit codes: every image was answered; some were not; the command cannot mean this; nothing here can answer.
ANSWERED, SOME_FAILED, USAGE, UNUSABLE = 0, 1, 2, 3
API_KEY = "AGE_GENDER_API_KEY"
# requests under way at once
_CONNECTIONS = 4

_CODES = (
    "exit codes: 0 every image was answered; 1 some were not, each is named on standard error; "
    "2 wrong usage, or a name without an image; 3 the server or the release cannot be used"
)


class UsageError(Exception):
    """The command cannot mean this."""


class UnusableError(Exception):
    """Nothing here can answer, or not now; the message says why and how to mend it."""


def predict(options: argparse.Namespace) -> int:
    """Answer images, from the release on this machine or from a server."""
    try:
        names = image_files.find(options.images)
    except image_files.NothingFoundError as error:
        raise UsageError(str(error)) from error
    source = _server(options) if options.url else _local(options)
    threads = _CONNECTIONS if options.url else os.cpu_count() or 1
    table, failed = Table(names), 0
    with Progress(len(names)) as progress:
        for name, prediction in runner.ask(names, source, threads):
            progress.print(*([json_line(name, prediction)] if options.json else table.lines(name, prediction)))
            if prediction.error:
                failed += 1
                progress.complain(f"age-gender: {name}: {prediction.error.detail}")
            progress.advance()
    return SOME_FAILED if failed else ANSWERED


def batch(options: argparse.Namespace) -> int:
    """Answer a folder or a gs:// pattern by Apache Beam; further options are Beam's own."""
    settings = _settings(options)
    try:
        with _unwarned():
            from age_gender.batch import BatchError, BrokenOffError, Job, run
    except ImportError as error:
        raise UnusableError(f"a batch needs {error.name}: install age-gender-detection[batch]") from error
    try:
        summary = run(options.images, Job.of(options.output, settings), options.part_size, options.beam)
    except BatchError as error:
        raise UsageError(str(error)) from error
    except BrokenOffError as error:
        raise UnusableError(str(error)) from error
    print(f"{options.output}: {summary['answered']} answered, {summary['failed']} not")
    return SOME_FAILED if summary["failed"] else ANSWERED


def main(arguments: list[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    program = parser()
    options, beam = program.parse_known_args(arguments)
    if options.run is predict and beam:
        program.error(f"unknown: {' '.join(beam)}")
    options.beam = beam
    try:
        code: int = options.run(options)
    except UsageError as error:
        return _refuse(error, USAGE)
    except (UnusableError, ServerError, ReleaseError) as error:
        return _refuse(error, UNUSABLE)
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        # The reader of the output has had enough; Python must not try to write the rest at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return SOME_FAILED
    return code


@contextmanager
def _unwarned() -> Iterator[None]:
    """Importing Beam warns at length of what its dependencies may want one day; the pinned ones lack nothing."""
    logging.disable(logging.WARNING)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
    logging.disable(logging.NOTSET)


def _refuse(error: Exception, code: int) -> int:
    print(f"age-gender: {error}", file=sys.stderr)
    return code


def _server(options: argparse.Namespace) -> runner.Source:
    if options.heads or options.model:
        raise UsageError("--heads and --model are for answers without a server; the function at --url has its own")
    return Client(options.url, os.environ.get(API_KEY))


def _local(options: argparse.Namespace) -> runner.Source:
    settings = _settings(options)
    with _explained():
        from age_gender.local import LocalPredictor

        return LocalPredictor(settings)


def _settings(options: argparse.Namespace) -> Settings:
    with _explained():
        from serving import settings
    named = {"HEADS": options.heads, "MODEL_URI": options.model}
    try:
        return settings.from_environment(
            {**os.environ, **{key: value for key, value in named.items() if value is not None}}
        )
    except settings.SettingsError as error:
        raise UsageError(str(error)) from error


@contextmanager
def _explained() -> Iterator[None]:
    """Without the packages of the function there are answers from a server only."""
    try:
        yield
    except ImportError as error:
        wanted = "install age-gender-detection[local], or name a server by --url"
        raise UnusableError(f"answers without a server need {error.name}: {wanted}") from error


def parser() -> argparse.ArgumentParser:
    """The whole command line; `batch` leaves what it does not know to Beam."""
    result = argparse.ArgumentParser(
        "age-gender", description="Age and gender of aligned, cropped faces, one an image.", epilog=_CODES
    )
    commands = result.add_subparsers(required=True, metavar="command")
    one = commands.add_parser("predict", help=predict.__doc__, description=predict.__doc__, epilog=_CODES)
    one.set_defaults(run=predict)
    one.add_argument("images", nargs="+", metavar="image", help="file, folder, glob pattern, or - (standard input)")
    one.add_argument("--url", help=f"ask the function there, with the key in {API_KEY} where it wants one")
    one.add_argument("--json", action="store_true", help="one JSON object a line instead of a table")
    _local_options(one)
    many = commands.add_parser(
        "batch", help=batch.__doc__, description=batch.__doc__, epilog=_CODES, allow_abbrev=False
    )
    many.set_defaults(run=batch)
    many.add_argument("images", help="folder or pattern, on a disk or under gs://; stands before Beam's options")
    many.add_argument("--output", required=True, help="file of answers to write, .parquet or .jsonl")
    many.add_argument("--part-size", type=_positive, default=500, help="images of one part (default: 500)")
    _local_options(many)
    return result


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) == 0:
        raise argparse.ArgumentTypeError(f"{text!r}; it takes a whole number, at least 1")
    return int(text)


def _local_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--heads", help=f"of {','.join(HEADS)} (default: HEADS or age,gender)")
    parser.add_argument("--model", help="release: a folder or gs://… (default: MODEL_URI or the bundled one)")


if __name__ == "__main__":
    sys.exit(main())
