"""Work that asks a server which may never answer."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

from training.errors import StepError


def within(seconds: float, work: Callable[[], Any], failure: str, cure: str) -> None:
    """Run `work`, whatever it may raise, for no longer than that.

    Raises:
        StepError: `failure`, the reason and the `cure`.
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
        raise StepError(f"{failure}: no answer within {seconds} s; {cure}") from error
    except Exception as error:
        raise StepError(f"{failure}: {reason(error)}; {cure}") from error


def reason(error: BaseException) -> str:
    """The first line of what an error says, and of what it goes back to."""
    root = error
    while root.__cause__:
        root = root.__cause__
    said = [next(iter(str(each).splitlines()), "") or type(each).__name__ for each in (error, root)]
    return said[0] if error is root else f"{said[0]} ({said[1]})"
