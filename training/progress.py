"""Progress of long loops: a bar on a terminal, a line every ten seconds in a log."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Iterator, Sized
from typing import TypeVar

from tqdm import tqdm

_Item = TypeVar("_Item")

# Seconds between two lines where standard error is not a terminal, as in a CI job.
_PAUSE = 10.0


def progress(items: Iterable[_Item], title: str, unit: str, total: int | None = None) -> Iterator[_Item]:
    """Yield `items` and show how many are done on standard error.

    Args:
        items: what the loop works on.
        title: name of the work.
        unit: name of one item.
        total: number of items, where known; taken from `items` where these have a length.
    """
    if total is None and isinstance(items, Sized):
        total = len(items)
    if sys.stderr.isatty():
        yield from tqdm(items, total=total, desc=title, unit=unit, leave=False)
        return
    began = printed = time.monotonic()
    for done, item in enumerate(items, start=1):
        yield item
        now = time.monotonic()
        if now - printed >= _PAUSE:
            printed = now
            share = f" of {total} ({done / total:.0%})" if total else ""
            print(
                f"{title}: {unit} {done}{share}, {done / (now - began):.3g} a second",
                file=sys.stderr,
                flush=True,
            )
