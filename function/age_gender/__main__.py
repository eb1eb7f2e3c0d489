"""The command line `age-gender`."""

from __future__ import annotations

import argparse
import io
import json
import logging
import os
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from age_gender import image_files, quiet, runner, sources
from age_gender.detection import Detection, Result
from age_gender.prediction import Prediction
from age_gender.progress import Progress
from age_gender.sources import API_KEY, UnusableError, UsageError
from age_gender.table import Csv, FaceTable, Format, JsonLines, Table, counted_faces
from age_gender.transport import ServerError, check_header, log
from serving.detection import DetectorError
from serving.heads import HEADS
from serving.release import ReleaseError
from serving.text import printable

if TYPE_CHECKING:
    from age_gender.copies import Copies

# Exit codes; the help text explains them.
OK, SOME_FAILED, USAGE, UNUSABLE = 0, 1, 2, 3
# Concurrent requests to a server.
_CONNECTIONS = 4

_CODES = (
    "exit codes: 0 every image is predicted, or was searched for faces; 1 some have an error instead, or no "
    "annotated copy, and each is named; 2 wrong usage, or a name without an image; 3 the server or the release cannot "
    "be used"
)


def predict(options: argparse.Namespace) -> int:
    """Find the faces of images and predict each, on this machine, or with --url on a server."""
    if options.aligned and options.annotate is not None:
        raise UsageError("--annotate draws the faces that were found, and --aligned finds none; leave out one of them")
    if options.probabilities and options.format == "csv":
        raise UsageError("CSV has no columns for --probabilities; use --json, which `summarize` reads")
    try:
        found = image_files.find(options.images)
    except image_files.NothingFoundError as error:
        raise UsageError(str(error)) from error
    predictor = sources.server(options) if options.url is not None else sources.local(options)
    copies = None if options.annotate is None else sources.annotated_copies(options.annotate, found.names)
    if options.format == "csv" and not sys.stdout.isatty():
        _encode(sys.stdout, "utf-8")
    threads = os.cpu_count() or 1 if options.url is None else _CONNECTIONS
    with Progress(len(found.names)) as progress, _reported(progress):
        if options.aligned:
            predictions = runner.predict_files(found.names, predictor.predict, Prediction, threads)
            failed = _print(predictions, _format(options.format, Prediction) or Table(found.names), progress)
        else:
            seen = copies.write if copies else None
            detections = runner.predict_files(found.names, predictor.detect, Detection, threads, seen)
            failed = _print(detections, _format(options.format, Detection) or FaceTable(found.names), progress)
    _report_passed_over(found.passed_over)
    if copies:
        failed += _report_copies(copies)
    return SOME_FAILED if failed else OK


def batch(options: argparse.Namespace) -> int:
    """Predict a folder or a gs:// pattern with Apache Beam, which takes further options of its own."""
    settings = sources.settings_of(options.heads, options.model)
    try:
        with quiet.imports():
            from age_gender.batch import BatchError, InterruptedBatchError, Job, run
    except ImportError as error:
        raise UnusableError(f"a batch needs {error.name}: pip install '.[batch]' installs it") from error
    try:
        job = Job.of(
            options.output,
            settings,
            detect=options.detect,
            probabilities=options.probabilities,
            summarize=options.summary,
        )
        summary = run(options.images, job, options.part_size, options.beam)
    except BatchError as error:
        raise UsageError(str(error)) from error
    except InterruptedBatchError as error:
        raise UnusableError(str(error)) from error
    print(f"{printable(options.output)}: {_counted(summary)}, {summary['failed']} errors")
    if options.summary:
        print(f"{printable(job.demographics)}: shares and ages of all faces")
    _report_passed_over(Counter(summary.get("passed_over", {})))
    return SOME_FAILED if summary["failed"] else OK


def summarize(options: argparse.Namespace) -> int:
    """Estimate shares of gender and age from answers, corrected for the errors of the release that gave them."""
    settings = sources.settings_of(None, options.model)
    # Imported here: the other commands work without numpy.
    from age_gender import summarize, summary_page, summary_text
    from age_gender.answer_files import AnswersError
    from serving import release
    from serving.demographics import bands, confusion

    columns = [name for name in (options.by or "").split(",") if name]
    loaded = release.load(settings.model_uri, settings.pins)
    known = confusion.parse(loaded.manifest, loaded.labels)
    try:
        chosen = bands.parse(options.bands) if options.bands else bands.DEFAULT
        found = summarize.summarize(options.answers, known, loaded.version, chosen, columns)
    except (AnswersError, bands.BandsError) as error:
        raise UsageError(str(error)) from error
    if options.format == "json":
        print(json.dumps(found.as_json()))
    else:
        lines = {"csv": summary_text.comma_separated, "html": summary_page.page}.get(options.format, summary_text.table)
        if not sys.stdout.isatty():
            _encode(sys.stdout, "utf-8")
        print("\n".join(lines(found)))
    return OK


def main(arguments: list[str] | None = None) -> int:
    """Run the command line and return its exit code."""
    for stream in (sys.stdout, sys.stderr):
        _encode(stream)
    program = parser()
    options, beam = program.parse_known_args(arguments)
    if options.run is not batch and beam:
        program.error(f"unknown arguments: {' '.join(beam)}")
    options.beam = beam
    try:
        code: int = options.run(options)
    except UsageError as error:
        return _fail(error, USAGE)
    except (UnusableError, ServerError, ReleaseError, DetectorError) as error:
        return _fail(error, UNUSABLE)
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        # The reader of the output has closed it. Python must not flush the rest at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return SOME_FAILED
    return code


def _format(name: str | None, kind: type[Result]) -> JsonLines | Csv[Result] | None:
    """Return the format of an option, or None for a table."""
    if name is None:
        return None
    return JsonLines() if name == "json" else Csv(kind)


def _print(results: Iterable[tuple[str, Result]], output: Format[Result], progress: Progress) -> int:
    """Print each result as it comes, and return how many images have an error instead."""
    # At a terminal the row of a bad image names it already.
    silent = sys.stdout.isatty() and sys.stderr.isatty()
    failed = 0
    for name, result in results:
        progress.print(*output.lines(name, result))
        if result.error:
            failed += 1
            if not silent:
                progress.complain(_message(f"{name}: {result.error.detail}"))
        progress.advance()
    progress.print(*output.end())
    return failed


def _counted(summary: dict[str, Any]) -> str:
    """Return how many results a batch has, as text."""
    if not summary.get("detect"):
        return f"{summary['answered']} predictions"
    return counted_faces(summary["faces"], summary["answered"], summary["without_face"])


def _report_copies(copies: Copies) -> int:
    """Say where the copies are, and which are missing. Return the number of these."""
    for name, problem in copies.problems.items():
        print(_message(f"{name}: {problem}"), file=sys.stderr)
    print(_message(f"annotated copies in {copies.folder}: {copies.count}"), file=sys.stderr)
    return len(copies.problems)


def _encode(stream: TextIO, encoding: str | None = None) -> None:
    """Let a stream escape the characters that it cannot show, which must not end the command."""
    if isinstance(stream, io.TextIOWrapper):
        stream.reconfigure(encoding=encoding, errors="backslashreplace")


@contextmanager
def _reported(progress: Progress) -> Iterator[None]:
    """Print the client's log, which reports its retries, above the progress bar."""
    handler = _ProgressHandler(progress)
    log.addHandler(handler)
    try:
        yield
    finally:
        log.removeHandler(handler)


class _ProgressHandler(logging.Handler):
    def __init__(self, progress: Progress) -> None:
        super().__init__()
        self._progress = progress

    def emit(self, record: logging.LogRecord) -> None:
        self._progress.complain(_message(record.getMessage()))


def _report_passed_over(passed_over: Counter[str]) -> None:
    if passed_over:
        print(_message(f"passed over: {image_files.listed(passed_over)}"), file=sys.stderr)


def _message(text: str) -> str:
    return f"age-gender: {printable(text)}"


def _fail(error: Exception, code: int) -> int:
    print(_message(str(error)), file=sys.stderr)
    return code


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line. `batch` leaves unknown options to Beam."""
    result = argparse.ArgumentParser(
        "age-gender",
        description="Find the faces of images, and estimate age and gender of each.",
        epilog=_CODES,
    )
    result.add_argument("--version", action="version", version=f"age-gender {_version()}")
    commands = result.add_subparsers(required=True, metavar="command")
    one = commands.add_parser("predict", help=predict.__doc__, description=predict.__doc__, epilog=_CODES)
    one.set_defaults(run=predict)
    one.add_argument("images", nargs="+", metavar="image", help="file, folder, glob pattern, or - for standard input")
    one.add_argument("--url", help=f"URL of a deployed function; {API_KEY} holds its API key, if it requires one")
    one.add_argument(
        "--identity-token",
        nargs="?",
        const="",
        metavar="TOKEN",
        help="send an identity token, for a private Cloud Run service: TOKEN, or one from Application Default "
        "Credentials, the metadata server or gcloud; write it after the images",
    )
    one.add_argument(
        "--header", type=_header, action="append", default=[], metavar="NAME=VALUE", help="send this header too"
    )
    one.add_argument(
        "--aligned", action="store_true", help="each image is one aligned, cropped face; find no others in it"
    )
    one.add_argument(
        "--annotate",
        type=Path,
        metavar="DIR",
        help="write a copy of each image into this folder, with the faces drawn in",
    )
    _format_options(one, {"json": "a line of JSON for each image", "csv": "CSV for a spreadsheet"})
    _probabilities_option(one)
    _local_options(one)
    many = commands.add_parser(
        "batch", help=batch.__doc__, description=batch.__doc__, epilog=_CODES, allow_abbrev=False
    )
    many.set_defaults(run=batch)
    many.add_argument("images", help="folder or pattern, local or gs://; it comes before Beam's options")
    many.add_argument("--output", required=True, help="file of predictions to write, .parquet or .jsonl")
    many.add_argument(
        "--detect", action="store_true", help="find the faces of whole images: one row a face, one for an image without"
    )
    _probabilities_option(many)
    many.add_argument(
        "--summary",
        action="store_true",
        help="also write shares of genders and ages, corrected as by `summarize`, to <output>.demographics.json",
    )
    many.add_argument("--part-size", type=_positive, default=500, help="images in one part (default: 500)")
    _local_options(many)
    counted = commands.add_parser("summarize", help=summarize.__doc__, description=summarize.__doc__)
    counted.set_defaults(run=summarize)
    counted.add_argument(
        "answers",
        nargs="+",
        metavar="file",
        help="answers with probabilities, of `predict --json` or `batch`: .jsonl, .parquet, or - for standard input",
    )
    counted.add_argument("--bands", metavar="0-17,18-24,…", help="age bands, the last one like 65+")
    counted.add_argument("--by", metavar="COLUMN,…", help="a summary for each value of these columns of the answers")
    _format_options(counted, {"json": "one JSON object", "csv": "CSV for a spreadsheet", "html": "a page"})
    counted.add_argument("--model", help="the release that answered (default: $MODEL_URI, else the bundled release)")
    return result


def _version() -> str:
    try:
        return metadata.version("age-gender-detection")
    except metadata.PackageNotFoundError:
        return "(not installed: run from its source)"


def _header(text: str) -> tuple[str, str]:
    name, separator, value = text.partition("=")
    if not separator:
        raise argparse.ArgumentTypeError("expected NAME=VALUE")
    try:
        check_header(name, value)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error
    return name, value


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) == 0:
        raise argparse.ArgumentTypeError(f"expected an integer of at least 1, got {text!r}")
    return int(text)


def _format_options(parser: argparse.ArgumentParser, meanings: dict[str, str]) -> None:
    formats = parser.add_mutually_exclusive_group()
    for name, meaning in meanings.items():
        formats.add_argument(
            f"--{name}", dest="format", action="store_const", const=name, help=f"print {meaning} instead of a table"
        )


def _probabilities_option(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--probabilities", action="store_true", help="also write what each estimate was chosen from, for `summarize`"
    )


def _local_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--heads", help=f"estimates to make, comma-separated: {', '.join(HEADS)} (default: $HEADS, else age,gender)"
    )
    parser.add_argument(
        "--model", help="release: a folder or gs://bucket/path (default: $MODEL_URI, else the bundled release)"
    )


if __name__ == "__main__":
    sys.exit(main())
