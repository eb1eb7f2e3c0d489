"""Demographics of a file of answers."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Any

from serving.demographics.tally import Tally


def lines(stream: Iterable[bytes]) -> Iterator[dict[str, Any]]:
    """Return the faces of JSON lines, one a face or one an image."""
    for line in stream:
        row = json.loads(line)
        faces = row.get("faces")
        yield from faces if isinstance(faces, list) else [row]


def count(faces: Iterable[dict[str, Any]], tally: Tally) -> None:
    """Count faces."""
    for face in faces:
        tally.add(face)
