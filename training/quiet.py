"""Hide the messages that TensorFlow and LiteRT print at every start.

Their C++ code writes to file descriptor 2, partly before any log level counts. A process of its own filters that
descriptor, so that the last message of a crash still arrives. Python's own standard error is not filtered.
"""

from __future__ import annotations

import atexit
import os
import re
import subprocess
import sys
import warnings
from contextlib import suppress

_NOISE = re.compile(
    rb"WARNING: All log messages before absl::InitializeLog"
    rb"|.*oneDNN custom operations are on"
    rb"|.*Unable to register cu\w+ factory"
    rb"|.*computation placer already registered"
    rb"|INFO: Created TensorFlow Lite XNNPACK delegate"
    rb"|fully_quantize: \d, inference_type: \d"
)
# Beginnings of warnings about a default that `convert` wants, and about a class that only TensorFlow itself uses.
_WARNINGS = ("Statistics for quantized inputs were expected", r"\s*Warning: tf\.lite\.Interpreter is deprecated")
_DESCRIPTOR = 2


def hide_runtime_messages() -> None:
    """Filter this process's standard error until it ends. Call this before TensorFlow is imported."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    for message in _WARNINGS:
        warnings.filterwarnings("ignore", message, UserWarning)
    if _is_plain():
        _filter_descriptor()


def _is_plain() -> bool:
    """Return whether Python's standard error is still the descriptor. Tests and notebooks replace it."""
    try:
        return sys.stderr.fileno() == _DESCRIPTOR
    except (AttributeError, OSError, ValueError):
        return False


def _filter_descriptor() -> None:
    original = os.dup(_DESCRIPTOR)
    # A session of its own: Ctrl-C ends the command, and the filter after it.
    command = [sys.executable, "-I", "-S", __file__]
    child = subprocess.Popen(command, stdin=subprocess.PIPE, start_new_session=True)  # noqa: S603
    if child.stdin is None:
        raise AssertionError("Popen made no pipe")
    os.dup2(child.stdin.fileno(), _DESCRIPTOR)
    child.stdin.close()
    sys.stderr = os.fdopen(original, "w", buffering=1, encoding=sys.stderr.encoding, errors="backslashreplace")

    def finish() -> None:
        os.dup2(original, _DESCRIPTOR)
        # A process that this one started may still hold the other end.
        with suppress(subprocess.TimeoutExpired):
            child.wait(timeout=5)

    atexit.register(finish)


def _forward() -> None:
    """Copy standard input to standard error without the noise."""
    for line in sys.stdin.buffer:
        if not _NOISE.match(line):
            sys.stderr.buffer.write(line)
            sys.stderr.buffer.flush()


if __name__ == "__main__":
    _forward()
