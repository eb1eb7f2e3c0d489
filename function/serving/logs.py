"""Lines of the log: JSON as Cloud Logging reads it, or readable at a terminal; nothing of a request's content."""

from __future__ import annotations

import json
import logging
import sys
import traceback
from datetime import UTC, datetime

# this project's own lines
log = logging.getLogger("function")


class JsonFormatter(logging.Formatter):
    """One record, one line: `severity`, `time`, `message`, the record's `fields`, and `stack_trace` of a failure."""

    def format(self, record: logging.LogRecord) -> str:
        """The line, without its end."""
        line = {
            "severity": record.levelname,
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(),
            "message": message(record),
            **getattr(record, "fields", {}),
        }
        if record.exc_info and record.exc_info[1]:
            line["stack_trace"] = stack(record.exc_info[1])
        return json.dumps(line)


class TerminalFormatter(logging.Formatter):
    """The same for people: time, level, message, and where a failure came from."""

    def format(self, record: logging.LogRecord) -> str:
        """One line, and those of a failure."""
        line = f"{datetime.fromtimestamp(record.created):%H:%M:%S} {record.levelname:7} {message(record)}"
        failed = record.exc_info and record.exc_info[1]
        return f"{line}\n{stack(failed)}" if failed else line


def setup(level: str) -> None:
    """Write every line of this process, the server's own too, to standard error in one way.

    `level` chooses among this project's lines; of the libraries' it writes warnings and worse.
    """
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(TerminalFormatter() if sys.stderr.isatty() else JsonFormatter())
    # Libraries' lines below warnings hold addresses, queries, and what cameras wrote into an image.
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
    log.setLevel(level)

    def ours(record: logging.LogRecord) -> bool:
        handler.handle(record)
        return False

    # gunicorn adds a handler of its own later; its records end before they get there.
    logging.getLogger("gunicorn.error").addFilter(ours)


def message(record: logging.LogRecord) -> str:
    """The record's text; where gunicorn would name an address or a query, what stands before it."""
    if record.name != "gunicorn.error":
        return record.getMessage()
    if record.exc_info:
        return str(record.msg).partition(" %")[0]
    return record.getMessage().partition(" from ip=")[0]


def stack(failure: BaseException) -> str:
    """Where a failure came from, as Python writes it, without its message: that may quote what was sent."""
    cause = failure.__cause__ or failure.__context__
    before = f"{stack(cause)}\n\n" if cause else ""
    frames = "".join(traceback.format_tb(failure.__traceback__))
    return f"{before}Traceback (most recent call last):\n{frames}{type(failure).__qualname__}"
