"""Time limits for calls to servers that may never respond."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

from training.errors import StepError


def within(seconds: float, work: Callable[[], Any], failure: str, remedy: str) -> None:
    """Run `work` for at most so many seconds.

    Raises:
        StepError: it raised any exception, or took longer. The message has `failure`, the reason and the `remedy`.
    """
    done: Future[Any] = Future()

    def run() -> None:
        try:
            done.set_result(work())
        except Exception as error:
            done.set_exception(error)

    threading.Thread(target=run, daemon=True).start()
    try:
        done.result(seconds)
    except TimeoutError as error:
        raise StepError(f"{failure}: no response within {seconds} s; {remedy}") from error
    except Exception as error:
        raise StepError(f"{failure}: {reason(error)}; {remedy}") from error


def reason(error: BaseException) -> str:
    """Return the first line of an error's message and of its root cause's."""
    root = error
    while root.__cause__:
        root = root.__cause__
    said = [next(iter(str(each).splitlines()), "") or type(each).__name__ for each in (error, root)]
    return said[0] if error is root else f"{said[0]} ({said[1]})"
