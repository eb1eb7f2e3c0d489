"""Faces that a candidate is asked about: drawn ones, or real ones of a folder."""

from __future__ import annotations

from pathlib import Path

from training.errors import StepError
from training.faces import draw, labels


def drawn(count: int) -> list[bytes]:
    """Encoded faces of all ages and genders, the same ones each time."""
    return [draw(*labels(number), seed=number) for number in range(count)]


def real(folder: Path, count: int) -> list[bytes]:
    """Encoded faces of a folder, spread over its names in their order.

    Raises:
        StepError: it holds none.
    """
    found = sorted(path for path in folder.glob("*") if path.suffix.lower() in (".jpg", ".jpeg", ".png", ".webp"))
    if not found:
        raise StepError(f"{folder} holds no images")
    return [path.read_bytes() for path in found[:: max(1, len(found) // count)][:count]]
