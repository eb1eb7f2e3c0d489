"""The log: JSON lines for Cloud Logging, or text at a terminal.

The JSON lines contain nothing that a caller wrote, and no line contains a control character of a caller.
"""

from __future__ import annotations

import json
import logging
import sys
import traceback
from datetime import UTC, datetime

from serving.text import printable

log = logging.getLogger("function")
"""The logger of this project's own lines."""


class JsonFormatter(logging.Formatter):
    """Formats a record as one line: `severity`, `time`, `message`, the record's `fields`, a failure's `stack_trace`."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line, without its line break."""
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
    """Formats a record as text: time, level, message, and the stack of a failure.

    The record's attribute `shown`, if any, takes the place of its message. It may quote the caller.
    """

    def format(self, record: logging.LogRecord) -> str:
        """Return the line, and further lines for a failure."""
        text = printable(getattr(record, "shown", message(record)))
        line = f"{datetime.fromtimestamp(record.created):%H:%M:%S} {record.levelname:7} {text}"
        failed = record.exc_info and record.exc_info[1]
        return f"{line}\n{stack(failed)}" if failed else line


def setup(level: str) -> None:
    """Write all records of this process, including the server's, to standard error in one format.

    `level` applies to this project's records. Libraries' records appear from WARNING on.
    """
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(TerminalFormatter() if sys.stderr.isatty() else JsonFormatter())
    # Libraries' records below WARNING contain addresses, queries and image metadata.
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
    log.setLevel(level)

    def ours(record: logging.LogRecord) -> bool:
        handler.handle(record)
        return False

    # gunicorn adds its own handler later. This filter ends its records before that handler.
    logging.getLogger("gunicorn.error").addFilter(ours)


def message(record: logging.LogRecord) -> str:
    """Return the record's text, cut before the addresses and queries that gunicorn adds."""
    if record.name != "gunicorn.error":
        return record.getMessage()
    if record.exc_info:
        return str(record.msg).partition(" %")[0]
    return record.getMessage().partition(" from ip=")[0]


def stack(failure: BaseException) -> str:
    """Return a traceback without the exceptions' messages, because these may quote the caller."""
    cause = failure.__cause__ or failure.__context__
    before = f"{stack(cause)}\n\n" if cause else ""
    frames = "".join(traceback.format_tb(failure.__traceback__))
    return f"{before}Traceback (most recent call last):\n{frames}{type(failure).__qualname__}"
