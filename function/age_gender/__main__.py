"""The command line `age-gender`."""

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

# Exit codes; the help text explains them.
OK, SOME_FAILED, USAGE, UNUSABLE = 0, 1, 2, 3
API_KEY = "AGE_GENDER_API_KEY"
# Concurrent requests to a server.
_CONNECTIONS = 4

_CODES = (
    "exit codes: 0 every image has a prediction; 1 some have an error instead, which standard error names; "
    "2 wrong usage, or a name without an image; 3 the server or the release cannot be used"
)


class UsageError(Exception):
    """The command line is wrong; the message says how to correct it."""


class UnusableError(Exception):
    """No prediction is possible here or now; the message says why and what to do."""


def predict(options: argparse.Namespace) -> int:
    """Predict images on this machine, or with --url on a server."""
    try:
        names = image_files.find(options.images)
    except image_files.NothingFoundError as error:
        raise UsageError(str(error)) from error
    predictor = _server(options) if options.url else _local(options)
    threads = _CONNECTIONS if options.url else os.cpu_count() or 1
    table, failed = Table(names), 0
    with Progress(len(names)) as progress:
        for name, prediction in runner.predict_files(names, predictor, threads):
            progress.print(*([json_line(name, prediction)] if options.json else table.lines(name, prediction)))
            if prediction.error:
                failed += 1
                progress.complain(f"age-gender: {name}: {prediction.error.detail}")
            progress.advance()
    return SOME_FAILED if failed else OK


def batch(options: argparse.Namespace) -> int:
    """Predict a folder or a gs:// pattern with Apache Beam, which takes further options of its own."""
    settings = _settings(options)
    try:
        with _without_warnings():
            from age_gender.batch import BatchError, InterruptedBatchError, Job, run
    except ImportError as error:
        raise UnusableError(f"a batch needs {error.name}: pip install '.[batch]' installs it") from error
    try:
        summary = run(options.images, Job.of(options.output, settings), options.part_size, options.beam)
    except BatchError as error:
        raise UsageError(str(error)) from error
    except InterruptedBatchError as error:
        raise UnusableError(str(error)) from error
    print(f"{options.output}: {summary['answered']} predictions, {summary['failed']} errors")
    return SOME_FAILED if summary["failed"] else OK


def main(arguments: list[str] | None = None) -> int:
    """Run the command line and return its exit code."""
    program = parser()
    options, beam = program.parse_known_args(arguments)
    if options.run is predict and beam:
        program.error(f"unknown arguments: {' '.join(beam)}")
    options.beam = beam
    try:
        code: int = options.run(options)
    except UsageError as error:
        return _fail(error, USAGE)
    except (UnusableError, ServerError, ReleaseError) as error:
        return _fail(error, UNUSABLE)
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        # The reader of the output has closed it. Python must not flush the rest at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return SOME_FAILED
    return code


@contextmanager
def _without_warnings() -> Iterator[None]:
    """Silence the import of Beam, which warns about optional dependencies."""
    logging.disable(logging.WARNING)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
    logging.disable(logging.NOTSET)


def _fail(error: Exception, code: int) -> int:
    print(f"age-gender: {error}", file=sys.stderr)
    return code


def _server(options: argparse.Namespace) -> runner.Predictor:
    if options.heads or options.model:
        raise UsageError("--heads and --model work without --url only; a server has its own heads and model")
    return Client(options.url, os.environ.get(API_KEY))


def _local(options: argparse.Namespace) -> runner.Predictor:
    settings = _settings(options)
    with _with_hint():
        from age_gender.local import LocalPredictor

        return LocalPredictor(settings)


def _settings(options: argparse.Namespace) -> Settings:
    with _with_hint():
        from serving import settings
    named = {"HEADS": options.heads, "MODEL_URI": options.model}
    try:
        return settings.from_environment({**os.environ, **{key: value for key, value in named.items() if value}})
    except settings.SettingsError as error:
        raise UsageError(str(error)) from error


@contextmanager
def _with_hint() -> Iterator[None]:
    """Explain a missing package of the function."""
    try:
        yield
    except ImportError as error:
        raise UnusableError(
            "predictions on this machine need the packages of the function, and "
            f"{error.name} is missing: pip install '.[local]' installs them; or name a server with --url"
        ) from error


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line. `batch` leaves unknown options to Beam."""
    result = argparse.ArgumentParser(
        "age-gender",
        description="Estimate age and gender of faces. Each image is one aligned, cropped face.",
        epilog=_CODES,
    )
    commands = result.add_subparsers(required=True, metavar="command")
    one = commands.add_parser("predict", help=predict.__doc__, description=predict.__doc__, epilog=_CODES)
    one.set_defaults(run=predict)
    one.add_argument("images", nargs="+", metavar="image", help="file, folder, glob pattern, or - for standard input")
    one.add_argument("--url", help=f"URL of a deployed function; {API_KEY} holds its API key, if it requires one")
    one.add_argument("--json", action="store_true", help="print one JSON object a line instead of a table")
    _local_options(one)
    many = commands.add_parser(
        "batch", help=batch.__doc__, description=batch.__doc__, epilog=_CODES, allow_abbrev=False
    )
    many.set_defaults(run=batch)
    many.add_argument("images", help="folder or pattern, local or gs://; it comes before Beam's options")
    many.add_argument("--output", required=True, help="file of predictions to write, .parquet or .jsonl")
    many.add_argument("--part-size", type=_positive, default=500, help="images in one part (default: 500)")
    _local_options(many)
    return result


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) == 0:
        raise argparse.ArgumentTypeError(f"expected an integer of at least 1, got {text!r}")
    return int(text)


def _local_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--heads", help=f"estimates to make, comma-separated: {', '.join(HEADS)} (default: $HEADS, else age,gender)"
    )
    parser.add_argument(
        "--model", help="release: a folder or gs://bucket/path (default: $MODEL_URI, else the bundled release)"
    )


if __name__ == "__main__":
    sys.exit(main())
